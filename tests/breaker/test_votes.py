"""What a fleet decides: the step against a model that keeps all that happened, and its Lua twin."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mobius_infra.breaker._votes import KEPT, VOTES, Ask, FleetView, Op, step
from mobius_infra.core import State
from tests.servers.redis import RedisServer
from tests.twins import run_twin

NODES = st.sampled_from(["a", "b", "c", "ключ"])
QUORUM = 2
START = 1_700_000_000.0

OPS = (
    "look", "vote", "vote", "vote", "withdraw", "claim", "claim", "claim", "succeed", "succeed",
    "succeed", "fail", "fail", "release", "isolate", "reset", "?",
)  # fmt: skip


class Circuit:
    """A circuit in a backend, at a time that the test sets."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.now = START
        self.ttl: float | None = None

    def ask(self, op: Op, who: str = "", **given: Any) -> FleetView:
        self.state, view, self.ttl = step(self.state, self.now, *Ask(op, who, **given))
        return view

    def vote(self, node: str, generation: int = 0, **given: Any) -> FleetView:
        ballot: dict[str, Any] = {"needed": QUORUM, "seconds": 60.0, "pause": 10.0} | given
        return self.ask("vote", node, generation=generation, **ballot)

    def open(self) -> FleetView:
        self.vote("a")
        return self.vote("b")


@pytest.fixture
def circuit() -> Circuit:
    return Circuit()


def test_a_look_at_what_never_was_writes_nothing(circuit: Circuit) -> None:
    view = circuit.ask("look")
    assert (circuit.state, circuit.ttl) == (None, None)
    assert (view.phase, view.generation, view.moved) == ("closed", 0, False)


def test_two_nodes_open_it_and_one_alone_does_not_however_often_it_votes(circuit: Circuit) -> None:
    for _ in range(5):
        assert circuit.vote("a").phase == "closed"
    view = circuit.vote("b", reason="5 failures in a row")
    assert (view.phase, view.wait, view.votes) == ("open", 10.0, 2)
    assert (view.reason, view.openings, view.moved) == ("5 failures in a row", 1, True)


def test_a_vote_that_ran_out_or_was_withdrawn_does_not_count(circuit: Circuit) -> None:
    circuit.vote("a", seconds=5.0)
    circuit.now += 5.0
    assert circuit.vote("b").phase == "closed"
    assert circuit.ask("withdraw", "b").done
    assert circuit.vote("c").phase == "closed"
    assert circuit.state is not None
    assert circuit.ask("withdraw", "c").votes == 0


def test_the_least_alarmed_vote_says_for_how_long(circuit: Circuit) -> None:
    circuit.vote("a", number=6, pause=60.0)
    view = circuit.vote("b", number=1, pause=1.0)
    assert (view.openings, view.wait) == (1, 1.0)


def test_one_probe_at_a_time_when_the_pause_is_over(circuit: Circuit) -> None:
    generation = circuit.open().generation
    lease = {"generation": generation, "seconds": 30.0, "pause": 20.0}
    assert not circuit.ask("claim", "a:1", **lease).done
    circuit.now += 10.0
    assert circuit.ask("claim", "a:1", **lease).done
    refused = circuit.ask("claim", "b:1", **lease)
    assert (refused.done, refused.probing) == (False, 30.0)
    assert not circuit.ask("release", "b:1", generation=generation).done
    freed = circuit.ask("release", "a:1", generation=generation)
    assert (freed.done, freed.moved, freed.generation) == (True, True, generation)
    assert circuit.ask("claim", "b:1", **lease).done


def test_as_many_successes_as_needed_close_it(circuit: Circuit) -> None:
    generation = circuit.open().generation
    circuit.now += 10.0
    for number, phase in enumerate(["open", "open", "closed"]):
        token = f"{number}"
        circuit.ask("claim", token, generation=generation, seconds=30.0)
        view = circuit.ask("succeed", token, generation=generation, needed=3)
        assert (view.done, view.phase) == (True, phase)
    assert (view.openings, view.votes, view.reason) == (0, 0, "")


def test_a_failed_probe_opens_it_again_for_what_it_says_and_forgets_successes(
    circuit: Circuit,
) -> None:
    generation = circuit.open().generation
    circuit.now += 10.0
    for token, op in (("1", "succeed"), ("2", "fail")):
        circuit.ask("claim", token, generation=generation, seconds=30.0)
        op_: Op = "succeed" if op == "succeed" else "fail"
        view = circuit.ask(op_, token, generation=generation, needed=2, pause=20.0, reason="x")
    assert (view.phase, view.openings, view.wait, view.reason) == ("open", 2, 20.0, "x")
    circuit.now += 20.0
    circuit.ask("claim", "3", generation=view.generation, seconds=30.0)
    assert circuit.ask("succeed", "3", generation=view.generation, needed=2).phase == "open"


def test_a_probe_that_died_failed_when_its_lease_ended_whoever_looks_whenever(
    circuit: Circuit,
) -> None:
    generation = circuit.open().generation
    circuit.now += 10.0
    circuit.ask("claim", "dead", generation=generation, seconds=30.0, pause=20.0)
    circuit.now += 35.0
    late = circuit.ask("succeed", "dead", generation=generation)
    assert (late.done, late.moved, late.phase, late.openings) == (False, True, "open", 2)
    assert late.wait == 15.0
    circuit.now += 15.0
    assert not circuit.ask("claim", "stale", generation=generation, seconds=30.0).done
    assert circuit.ask("claim", "next", generation=late.generation, seconds=30.0).done


def test_who_is_of_an_older_generation_changes_nothing(circuit: Circuit) -> None:
    old = circuit.open().generation
    circuit.ask("reset")
    kept = copy.deepcopy(circuit.state)
    asks: list[tuple[Op, str]] = [("vote", "a"), ("vote", "b"), ("claim", "t"), ("succeed", "t")]
    for op, who in asks:
        assert not circuit.ask(op, who, generation=old, seconds=9.0, needed=1).done
    assert circuit.state == kept


def test_an_isolation_outranks_votes_and_ends_by_itself_or_by_hand(circuit: Circuit) -> None:
    view = circuit.ask("isolate", seconds=100.0, reason="maintenance")
    assert (view.phase, view.wait, view.reason) == ("isolated", 100.0, "maintenance")
    assert not circuit.vote("a", view.generation, needed=1).done
    assert not circuit.ask("claim", "t", generation=view.generation, seconds=9.0).done
    circuit.now += 100.0
    ended = circuit.ask("look")
    assert (ended.phase, ended.moved) == ("closed", True)
    circuit.ask("isolate", seconds=100.0)
    assert circuit.ask("reset").phase == "closed"


def test_generations_grow_though_the_backend_forgot_and_its_clock_went_back(
    circuit: Circuit,
) -> None:
    first = circuit.open().generation
    circuit.state = None
    circuit.now -= 1000.0
    assert circuit.vote("a", first).done
    assert circuit.vote("b", first).generation > first


class Model(RuleBasedStateMachine):
    """Nodes that vote, probe, die, come late and come twice, against all that ever happened."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.phase = "closed"
        self.generation = 0
        self.openings = 0
        self.until = 0.0
        self.votes: list[tuple[str, float, int, float]] = []  # node, expires, number, pause
        self.granted: list[tuple[str, int, float, float]] = []  # token, generation, ends, lost
        self.settled: set[str] = set()
        self.successes = 0
        self.tokens = 0
        self.heard: list[int] = [0]  # all generations that there were

    @property
    def now(self) -> float:
        return self.circuit.now

    def living(self) -> list[tuple[str, int, float, float]]:
        """Return who probes in the present generation, whether or not the lease has ended."""
        return [
            grant
            for grant in self.granted
            if grant[1] == self.generation and grant[0] not in self.settled
        ]

    def become(self, phase: str, openings: int = 0, until: float = 0.0) -> None:
        self.phase, self.openings, self.until = phase, openings, until
        self.generation = -1  # to be learned
        self.successes = 0
        self.votes = []

    def time_decides(self) -> None:
        ended = [grant for grant in self.living() if self.now >= grant[2]]
        if ended:
            self.become("open", self.openings + 1, ended[0][2] + ended[0][3])
        elif self.phase == "isolated" and self.now >= self.until:
            self.become("closed")
        self.votes = [vote for vote in self.votes if self.now < vote[1]]

    def check(self, view: FleetView, *, done: bool) -> None:
        if self.generation == -1:
            assert view.generation > max(self.heard)
            assert view.moved
            self.generation = view.generation
            self.heard.append(view.generation)
        probing = [grant[2] - self.now for grant in self.living()]
        assert len(probing) <= 1
        assert view.done == done
        assert view.phase == self.phase
        assert view.generation == self.generation
        assert view.openings == self.openings
        assert view.wait == max(self.until - self.now, 0.0)
        assert [view.probing] == (probing or [0.0])
        if self.phase == "closed":
            assert view.votes == len(self.votes)

    def known(self, back: int) -> int:
        return self.heard[max(len(self.heard) - 1 - back, 0)]

    @rule(seconds=st.sampled_from([0.001, 0.5, 3.0, 10.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.circuit.now += seconds

    @rule(
        node=NODES,
        back=st.integers(0, 2),
        number=st.integers(1, 5),
        seconds=st.sampled_from([5.0, 60.0]),
        pause=st.sampled_from([1.0, 10.0]),
    )
    def somebody_votes(
        self, node: str, back: int, number: int, seconds: float, pause: float
    ) -> None:
        generation = self.known(back)
        self.time_decides()
        done = self.phase == "closed" and generation >= max(self.generation, self.heard[-1])
        if self.generation == -1:
            done = False  # the isolation has just ended: nobody can know of it
        if done:
            self.votes = [vote for vote in self.votes if vote[0] != node]
            self.votes.append((node, self.now + seconds, number, pause))
            if len({vote[0] for vote in self.votes}) >= QUORUM:
                shortest = min(vote[3] for vote in self.votes)
                self.become("open", min(vote[2] for vote in self.votes), self.now + shortest)
        given = {"number": number, "seconds": seconds, "pause": pause}
        self.check(self.circuit.vote(node, generation, **given), done=done)

    @rule(node=NODES)
    def somebody_withdraws(self, node: str) -> None:
        self.time_decides()
        kept = [vote for vote in self.votes if vote[0] != node]
        done = self.phase == "closed" and len(kept) < len(self.votes)
        if self.phase == "closed":
            self.votes = kept
        self.check(self.circuit.ask("withdraw", node), done=done)

    @rule(back=st.integers(0, 1), seconds=st.sampled_from([5.0, 30.0]))
    def somebody_claims(self, back: int, seconds: float) -> None:
        generation = self.known(back)
        self.tokens += 1
        token = str(self.tokens)
        self.time_decides()
        done = (
            self.phase == "open"
            and self.generation == generation
            and not self.living()
            and self.now >= self.until
        )
        if done:
            self.granted.append((token, generation, self.now + seconds, 20.0))
        view = self.circuit.ask("claim", token, generation=generation, seconds=seconds, pause=20.0)
        self.check(view, done=done)

    @precondition(lambda self: self.granted)
    @rule(data=st.data(), op=st.sampled_from(["succeed", "fail", "release"]))
    def a_probe_ends(self, data: st.DataObject, op: Op) -> None:
        """In time, late, or for the second time."""
        token, generation, _, _ = data.draw(st.sampled_from(self.granted[-3:]))
        self.time_decides()
        done = token in [grant[0] for grant in self.living()]
        if done:
            self.settled.add(token)
            if op == "fail":
                self.become("open", self.openings + 1, self.now + 7.0)
            elif op == "succeed":
                self.successes += 1
                if self.successes == 2:
                    self.become("closed")
        view = self.circuit.ask(op, token, generation=generation, needed=2, pause=7.0)
        self.check(view, done=done)

    @rule(seconds=st.sampled_from([5.0, 50.0]))
    def somebody_isolates(self, seconds: float) -> None:
        self.become("isolated", 0, self.now + seconds)
        self.check(self.circuit.ask("isolate", seconds=seconds), done=True)

    @rule()
    def somebody_resets(self) -> None:
        self.become("closed")
        self.check(self.circuit.ask("reset"), done=True)

    @invariant()
    def it_is_kept_as_long_as_anything_is_under_way_and_an_hour(self) -> None:
        if self.circuit.state is not None:
            assert self.circuit.ttl is not None
            assert KEPT <= self.circuit.ttl <= KEPT + 100.0

    @invariant()
    def it_recovers_if_probes_succeed(self) -> None:
        """From wherever it is, whoever died: within its pause and lease, by two probes."""
        trial = copy.deepcopy(self.circuit)
        for attempt in range(6):
            view = trial.ask("look")
            if view.phase == "closed":
                return
            trial.now += max(view.wait, view.probing)
            generation = trial.ask("look").generation
            trial.ask("claim", f"t{attempt}", generation=generation, seconds=30.0)
            trial.ask("succeed", f"t{attempt}", generation=generation, needed=2)
        raise AssertionError(trial.state)


TestModel = Model.TestCase
TestModel.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)

# One server answers all examples: starting one for each would test nothing more.
one_server = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=30,
)
PROBER = "whoever probes"
AHEAD = -1  # of a backend that has forgotten
ASKS = st.builds(
    Ask,
    op=st.sampled_from(OPS),
    who=NODES | st.just(PROBER),
    generation=st.sampled_from([0] * 8 + [1, 2, AHEAD]),  # steps back from the present one
    needed=st.sampled_from([1, 2, 2, 3]),
    number=st.integers(1, 9),
    seconds=st.sampled_from([5.0, 30.0]) | st.floats(0.001, 100),
    pause=st.sampled_from([0.5, 1.0]) | st.floats(0.001, 100),
    reason=st.sampled_from(["", "5 failures in a row", "50 % gefällt nicht"]),
)
PASSED = st.sampled_from([0.0, 0.0, 0.125, 1.0, 1.0, 3.3, 50.0]) | st.floats(0, 10)
HISTORY = st.lists(st.tuples(ASKS, PASSED), min_size=20, max_size=60)


def alike(server: RedisServer, state: State | None, now: float, ask: Ask) -> State | None:
    """Return the new state, on which step and twin agree."""
    expected, view, ttl = step(copy.deepcopy(state), now, *ask)
    assert run_twin(server, VOTES, state, now, *ask) == (expected, tuple(view), ttl)
    return expected


@pytest.mark.parametrize("server", ["redis_server", "valkey_server"])
@one_server
@given(history=HISTORY)
def test_the_twin_decides_alike_in_any_history(
    request: pytest.FixtureRequest, server: str, history: list[tuple[Ask, float]]
) -> None:
    real: RedisServer = request.getfixturevalue(server)
    state: State | None = None
    now = START
    generations = [0]
    for ask, passed in history:
        now += passed
        known = generations[max(len(generations) - 1 - max(ask.generation, 0), 0)]
        if ask.generation == AHEAD:
            known = int(now * 1_000_000) + 10
        probes = "a" if state is None else str(state[5]) or "a"
        who = probes if ask.who == PROBER else ask.who
        state = alike(real, state, now, ask._replace(generation=known, who=who))
        if state is not None and state[1] != generations[-1]:
            generations.append(state[1])


def test_the_twin_tells_a_probes_story_alike(redis_server: RedisServer) -> None:
    """The turns that a random history seldom takes: what is stale, two successes, two failures."""
    state = alike(redis_server, None, START, Ask("vote", "a", seconds=9.0))
    assert state is not None
    stale, present = state[1] - 1, state[1]
    story: list[tuple[Op, int]] = [
        ("claim", stale), ("claim", present), ("succeed", stale), ("fail", stale),
        ("succeed", present), ("claim", present), ("succeed", present), ("claim", present),
    ]  # fmt: skip
    for op, generation in story:
        ask = Ask(op, "a", generation, needed=3, seconds=9.0)
        state = alike(redis_server, state, START, ask)
    assert state is not None
    endings: list[tuple[Op, str, int]] = [("fail", "open", 2), ("succeed", "closed", 0)]
    for op, phase, openings in endings:
        told = alike(redis_server, state, START, Ask(op, "a", present, needed=3, pause=9.0))
        assert told is not None
        assert (told[0], told[2]) == (phase, openings)
