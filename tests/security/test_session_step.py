"""The step of sessions: against a model that remembers everything, and against its Lua twin."""

import copy
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mobius_infra.core import Scalar, State
from mobius_infra.security._session_step import SESSIONS, step
from tests.servers.redis import RedisServer
from tests.twins import run_twin

IDLE, ABSOLUTE, GRACE, LIMIT = 10.0, 50.0, 2.0, 3
START = 1_790_000_000.5
PAUSES = st.sampled_from([0.0, 0.25, 1.0, 2.0, 5.0, 9.75, 10.0, 30.0])


@dataclass
class Known:
    """A session as the model remembers it: when it ended, and every token that it ever had."""

    created: float
    seen: float
    binding: str
    tokens: list[tuple[str, float | None, float]]  # token, good until, verified by it
    ended: bool = False
    ids: list[str] = field(default_factory=list)

    def alive(self, now: float) -> bool:
        return not self.ended and now < min(self.seen + IDLE, self.created + ABSOLUTE)


class OfOneUser(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state: State | None = None
        self.now = START
        self.known: dict[str, Known] = {}
        self.made = 0

    def run(self, op: str, *args: Scalar) -> tuple[Scalar, ...]:
        # As a backend would: what it may forget, it forgets.
        self.state, answer, ttl = step(self.state, self.now, op, IDLE, ABSOLUTE, *args)
        assert (self.state is None) == (ttl is None)
        assert ttl is None or 0 < ttl <= ABSOLUTE
        return answer

    def alive(self) -> dict[str, Known]:
        return {key: each for key, each in self.known.items() if each.alive(self.now)}

    def fresh(self) -> str:
        self.made += 1
        return f"t{self.made}"

    @rule(pause=PAUSES)
    def wait(self, pause: float) -> None:
        self.now += pause

    @rule(binding=st.sampled_from(["", "b"]), verified=st.booleans(), replaces=st.booleans())
    def open(self, binding: str, verified: bool, replaces: bool) -> None:
        token, before = self.fresh(), self.alive()
        key = f"s{self.made}"
        opened, _, *ended = self.run("open", key, token, binding, "", verified, LIMIT, replaces)
        assert opened == (replaces or len(before) < LIMIT)
        if not opened:
            return
        assert len(ended) == (len(before) == LIMIT)
        for each in ended:
            assert before[str(each)].seen == min(other.seen for other in before.values())
            self.known[str(each)].ended = True
        since = self.now if verified else 0.0
        self.known[key] = Known(self.now, self.now, binding, [(token, None, since)])

    def told(self) -> list[str]:
        return [token for each in self.known.values() for token, _, _ in each.tokens] + ["never"]

    def holder(self, token: str) -> tuple[str, Known, float] | None:
        for key, each in self.alive().items():
            for known, until, verified in each.tokens:
                if known == token and (until is None or self.now < until):
                    return key, each, verified
        return None

    @rule(data=st.data(), binding=st.sampled_from(["", "b", "c"]))
    def check(self, data: Any, binding: str) -> None:
        token = data.draw(st.sampled_from(self.told()))
        found = self.holder(token)
        answer = self.run("check", token, binding)
        if found is None:
            assert answer == ("unknown", "")
            return
        key, session, verified = found
        if session.binding not in ("", binding):
            assert answer == ("binding", key)
            session.ended = True
            return
        session.seen = self.now
        assert answer == ("ok", key, session.created, self.now, verified, "", self.now)

    @rule(data=st.data(), verified=st.booleans(), grace=st.sampled_from([0.0, GRACE]))
    def rotate(self, data: Any, verified: bool, grace: float) -> None:
        token, fresh = data.draw(st.sampled_from(self.told())), self.fresh()
        found = self.holder(token)
        binding = "" if found is None else found[1].binding
        answer = self.run("rotate", token, binding, fresh, verified, grace)
        if found is None or found[1].tokens[-1][0] != token:
            assert answer == ("unknown", "")
            return
        _, session, since = found
        session.seen = self.now
        session.tokens[-1] = (token, self.now + grace, since)
        # An older token that was still in its grace is not kept beside.
        session.tokens[:-1] = [(each, 0.0, 0.0) for each, _, _ in session.tokens[:-1]]
        session.tokens.append((fresh, None, self.now if verified else since))

    @rule(data=st.data())
    def end(self, data: Any) -> None:
        key = data.draw(st.sampled_from([*self.known, "never"]))
        assert self.run("end", key, "") == ((key,) if key in self.alive() else ())
        if key in self.known:
            self.known[key].ended = True

    @rule(data=st.data())
    def end_all_but_one(self, data: Any) -> None:
        keep = data.draw(st.sampled_from([*self.known, ""]))
        assert set(self.run("end", "", keep)) == set(self.alive()) - {keep}
        for key, each in self.known.items():
            each.ended |= key != keep

    @invariant()
    def as_many_as_the_model_says(self) -> None:
        now, *rows = self.run("list")
        assert now == self.now
        assert rows[::5] == list(self.alive())
        assert len(rows) <= 5 * LIMIT

    @precondition(lambda self: self.state)
    @rule()
    def nothing_secret_is_kept_that_is_not_needed(self) -> None:
        assert all(len(each) == 10 for each in self.state or ())


OfOneUser.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOneUser = OfOneUser.TestCase

TOKENS = st.sampled_from(["t1", "t2", "t3"])
OPS = st.one_of(
    st.tuples(
        st.just("open"),
        st.sampled_from(["s1", "s2", "s3", "s4"]),
        TOKENS,
        st.sampled_from(["", "b"]),
        st.sampled_from(["", "Firefox, Ünïcode"]),
        st.booleans(),
        st.integers(1, 3),
        st.booleans(),
    ),
    st.tuples(st.just("check"), TOKENS, st.sampled_from(["", "b"])),
    st.tuples(
        st.just("rotate"), TOKENS, st.sampled_from(["", "b"]), TOKENS, st.booleans(), st.just(2.0)
    ),
    st.tuples(st.just("end"), st.sampled_from(["s1", "s2", ""]), st.sampled_from(["s1", ""])),
    st.tuples(st.just("list")),
)


def test_a_session_ends_to_the_moment() -> None:
    state: State | None = None
    state, *_ = step(state, START, "open", IDLE, ABSOLUTE, "s", "t", "", "", False, LIMIT, True)
    for used in (5.0, 10.0, 19.75, 29.5, 39.25, 49.0, 49.75):
        state, answer, ttl = step(state, START + used, "check", IDLE, ABSOLUTE, "t", "")
        assert answer[0] == "ok"
        assert ttl == min(IDLE, ABSOLUTE - used)
    kept = copy.deepcopy(state)
    assert step(state, START + ABSOLUTE, "check", IDLE, ABSOLUTE, "t", "")[0] is None
    assert step(kept, START + 49.75, "check", IDLE, ABSOLUTE, "t", "")[0] is not None
    state, *_ = step(None, START, "open", IDLE, ABSOLUTE, "s", "t", "", "", False, LIMIT, True)
    assert step(state, START + IDLE, "check", IDLE, ABSOLUTE, "t", "")[0] is None


def test_an_old_token_ends_to_the_moment() -> None:
    for away, wanted in ((1.75, "ok"), (2.0, "unknown")):
        state: State | None = None
        state, *_ = step(state, START, "open", IDLE, ABSOLUTE, "s", "t", "", "", False, LIMIT, True)
        state, *_ = step(state, START, "rotate", IDLE, ABSOLUTE, "t", "", "t2", True, GRACE)
        assert step(state, START + away, "check", IDLE, ABSOLUTE, "t", "")[1][0] == wanted


def opened(number: int, limit: int) -> tuple[float, tuple[Scalar, ...]]:
    return 0.0, ("open", f"s{number}", f"t{number}", "", "", True, limit, True)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(history=[opened(1, 3), opened(2, 3), opened(3, 3), opened(4, 2)])  # seen at one time
@example(
    history=[
        opened(1, 3),
        (0.0, ("rotate", "t1", "", "t2", True, 2.0)),
        (1.0, ("rotate", "t2", "", "t3", True, 2.0)),
        (0.0, ("check", "t2", "")),
        (2.0, ("check", "t2", "")),
        (0.0, ("check", "t3", "")),
    ]
)
@given(history=st.lists(st.tuples(PAUSES, OPS), min_size=1, max_size=12))
def test_the_twin_decides_as_the_step_does(redis_server: RedisServer, history: Any) -> None:
    state: State | None = None
    now = START
    for pause, (op, *args) in history:
        now += pause
        told = run_twin(redis_server, SESSIONS, state, now, op, IDLE, ABSOLUTE, *args)
        state, answer, ttl = step(copy.deepcopy(state), now, op, IDLE, ABSOLUTE, *args)
        assert told == (state, answer, ttl)
