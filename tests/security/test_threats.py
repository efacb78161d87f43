"""What a detector answers to what is done, in one process."""

import math
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Event, Rejected, samples
from mobius_infra.security import (
    Activity,
    Baseline,
    BlockedByHand,
    BlockLifted,
    BlocksImported,
    Detector,
    Evidence,
    Grades,
    GuardFailed,
    Scenario,
    Suspected,
    Terms,
    ThreatDecided,
    ThreatDetector,
    ThreatRefusedError,
    failed_logins,
    flooding,
    password_spraying,
    repeated_findings,
)
from mobius_infra.security._threat_allowed import TELEGRAM_NETWORKS
from mobius_infra.testing import ManualClock

ONE = Scenario("one", ["bad"], capacity=0, risk=100)


def make(clock: ManualClock, *scenarios: Scenario, **options: Any) -> ThreatDetector:
    return ThreatDetector("t", scenarios or (ONE,), clock=clock, **options)


def bad(threats: ThreatDetector, times: int = 1, **who: Any) -> None:
    for _ in range(times):
        threats.report(Activity("bad", **who))


def heard(threats: ThreatDetector) -> list[Event]:
    events: list[Event] = []
    threats.events.subscribe(events.append)
    return events


def test_blocks_grow_and_end_by_themselves(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)
    events = heard(threats)
    for seconds in (300, 1200, 4800):
        bad(threats, user=7)
        assert threats.check(user=7).retry_after == seconds
        manual_clock.tick(seconds - 1)
        assert threats.check(user=7).refused
        manual_clock.tick(1)
        assert not threats.check(user=7).refused
    manual_clock.tick(86_400)
    bad(threats, user=7)
    decided = [event for event in events if isinstance(event, ThreatDecided)]
    assert [(each.seconds, each.times) for each in decided] == [
        (300, 1), (1200, 2), (4800, 3), (300, 1),
    ]  # fmt: skip
    assert {each.answer for each in decided} == {"block"}


def test_an_event_has_the_evidence(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, Scenario("two", ["bad"], capacity=1, distinct=True, risk=45))
    events = heard(threats)
    for about in ("a", "b"):
        threats.report(Activity("bad", user=7, about=about))
    evidence = Evidence("two", manual_clock.time(), 45, ("a", "b"))
    assert events == [
        ThreatDecided(
            source="t", at=manual_clock.time(), subject="user:7", answer="throttle", risk=45,
            evidence=evidence, seconds=None, times=0, enforced=True,
        )
    ]  # fmt: skip
    assert threats.explain("user:7").evidence == (evidence,)


def test_what_is_refused_feeds_nothing(manual_clock: ManualClock) -> None:
    """Not the block of the one who is blocked, nor anything of the chat that he shouts in."""
    chat = Scenario("chat", ["bad"], by="chat", capacity=3, risk=100)
    threats = make(manual_clock, ONE, chat)
    bad(threats, user=7, chat=-1)
    before = threats.explain("user:7"), threats.explain("chat:-1")
    bad(threats, 1_000, user=7, chat=-1)
    assert (threats.explain("user:7"), threats.explain("chat:-1")) == before
    assert threats.stats().ignored == 1_000
    assert not threats.check(chat=-1).refused
    manual_clock.tick(300)
    assert not threats.check(user=7).refused


def test_allowed_users_are_never_refused_and_nothing_is_held_against_their_address(
    manual_clock: ManualClock,
) -> None:
    by_ip = Scenario("ip", ["bad"], by="ip", capacity=0, risk=100)
    for users in ([1], ["1"], lambda user: user == "1"):
        threats = make(manual_clock, ONE, by_ip, users=users)
        bad(threats, 50, user=1, ip="192.0.2.1")
        assert threats.check(user=1).answer == "observe"
        assert not threats.check(ip="192.0.2.1").refused
        assert threats.stats().spared == 50
        bad(threats, user=7, ip="192.0.2.1", chat=5)
        threats.block("chat:5", reason="")
        assert threats.check(user=7).refused
        assert threats.check(ip="192.0.2.1").refused
        # He is let in even where everybody else is not.
        assert not threats.check(user=1, ip="192.0.2.1", chat=5).refused
        with pytest.raises(ConfigurationError, match="an allowed user"):
            threats.block("user:1", reason="")
        threats.import_blocks("user:1", reason="")
        assert not threats.check(user=1).refused
        assert threats.explain("user:1").allowed == "an allowed user"
        assert threats.explain("user:1").answer == "observe"


def test_an_allowed_network_shields_its_addresses_but_not_the_users_behind_them(
    manual_clock: ManualClock,
) -> None:
    by_ip = Scenario("ip", ["bad"], by="ip", capacity=0, risk=100)
    threats = make(manual_clock, ONE, by_ip, networks=["192.0.2.0/24", "2001:db8::/32"])
    for ip in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"):
        bad(threats, 3, ip=ip)
        assert not threats.check(ip=ip).refused
    assert threats.blocks() == []
    threats.import_blocks("192.0.0.0/8", reason="feed")
    assert threats.check(ip="192.0.3.1").refused
    assert not threats.check(ip="192.0.2.1").refused
    bad(threats, user=7, ip="192.0.2.1")
    assert threats.check(user=7, ip="192.0.2.1").block == threats.explain("user:7").block
    for subject in ("192.0.2.7", "192.0.2.128/25"):
        with pytest.raises(ConfigurationError, match=r"in 192\.0\.2\.0/24"):
            threats.block(subject, reason="")
    threats.block("192.0.0.0/16", reason="")  # more than what is allowed


def test_an_allowed_user_of_a_long_name_is_not_blocked_by_hand(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, users=["Ada Lovelace"])
    other = make(manual_clock)
    bad(other, user="Ada Lovelace")
    (block,) = other.blocks()
    with pytest.raises(ConfigurationError, match="an allowed user"):
        threats.block(block.subject, reason="")
    assert threats.explain(block.subject).allowed == "an allowed user"


def test_telegram_itself_is_never_blocked(manual_clock: ManualClock) -> None:
    """The peer of each webhook: to block it is to block everybody."""
    by_ip = Scenario("ip", ["bad"], by="ip", capacity=0, risk=100)
    threats = make(manual_clock, ONE, by_ip)
    bad(threats, 5, user=7, ip="149.154.167.220")
    assert threats.check(user=7, ip="149.154.167.220").subject == "user:7"
    assert not threats.check(user=8, ip="149.154.167.220").refused
    for network in TELEGRAM_NETWORKS:
        with pytest.raises(ConfigurationError, match="may be refused"):
            threats.block(network, reason="")


def test_a_customer_cannot_wander_through_his_ipv6_network(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, password_spraying(3, risk=100))
    for number in range(4):
        ip = f"2001:db8::{number:x}"
        threats.report(Activity("login_failed", ip=ip, about=f"account{number}"))
    assert threats.check(ip="2001:db8::ffff").subject == "ip:2001:db8::/64"
    assert not threats.check(ip="2001:db8:0:1::").refused
    for ip in ("192.0.2.1", "::ffff:192.0.2.1") * 2:
        number += 1
        threats.report(Activity("login_failed", ip=ip, about=f"account{number}"))
    assert threats.check(ip="192.0.2.1").refused


def test_throttled_is_let_through_now_and_then(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, Scenario("one", ["bad"], capacity=0, risk=40))
    bad(threats, user=7)
    threats.demand(user=7)
    with pytest.raises(ThreatRefusedError) as told:
        threats.demand(user=7)
    assert (told.value.answer, told.value.retry_after) == ("throttle", 1.0)
    assert isinstance(told.value, Rejected)
    threats.demand(user=8)
    manual_clock.tick(1)
    threats.demand(user=7)
    manual_clock.tick(60)  # the risk is under 40 again
    for _ in range(3):
        assert threats.demand(user=7).answer == "observe"


def test_step_up_lets_through_who_shows_a_second_factor(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, Scenario("one", ["bad"], capacity=0, risk=70))
    bad(threats, user=7)
    with pytest.raises(ThreatRefusedError, match="second factor") as told:
        threats.demand(user=7)
    assert (told.value.answer, told.value.retry_after) == ("step_up", None)
    for _ in range(3):
        threats.demand(user=7, verified=True)
    bad(threats, user=7)
    with pytest.raises(ThreatRefusedError, match="blocked"):
        threats.demand(user=7, verified=True)
    assert threats.stats().refused == {"step_up": 1, "block": 1}


def test_the_severest_answer_counts(manual_clock: ManualClock) -> None:
    chat = Scenario("chat", ["bad"], by="chat", capacity=0, risk=75)
    user = Scenario("user", ["bad"], capacity=0, risk=45)
    threats = make(manual_clock, user, chat)
    bad(threats, user=7, chat=5)
    assert threats.check(user=7, chat=5).subject == "chat:5"
    assert threats.check(user=7).answer == "throttle"


def test_risk_decays_and_adds_up(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, Scenario("one", ["bad"], capacity=0, risk=60))
    bad(threats, user=7)
    manual_clock.tick(3600)
    assert threats.check(user=7).answer == "observe"
    bad(threats, user=7)
    assert threats.explain("user:7").risk == 90
    manual_clock.tick(3600 * 24 * 365 * 100)
    assert threats.explain("user:7").risk == 0


def test_to_observe_refuses_nobody_but_by_hand(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, mode="observe")
    events = heard(threats)
    bad(threats, user=7)
    assert not threats.check(user=7).refused
    assert [getattr(event, "enforced", None) for event in events] == [False]
    assert threats.stats().decisions == {"block": 1}
    threats.block("user:8", reason="spam")
    with pytest.raises(ThreatRefusedError):
        threats.demand(user=8)
    mild = make(manual_clock, Scenario("one", ["bad"], capacity=0, risk=70), mode="observe")
    bad(mild, user=7)
    assert mild.demand(user=7).answer == "step_up"


def test_a_clock_that_somebody_sets_ends_no_block(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)
    bad(threats, user=7)
    for epoch in (0.0, 4e9):
        manual_clock.set_time(epoch)
        assert threats.check(user=7).retry_after == 300


def test_who_makes_up_subjects_pushes_out_only_those(manual_clock: ManualClock) -> None:
    slow = Scenario("slow", ["odd"], capacity=1, leak=1e6, risk=60)
    threats = make(manual_clock, slow, max_subjects=50)
    for _ in range(2):
        threats.report(Activity("odd", user="attacker"))
    for number in range(10_000):
        threats.report(Activity("odd", user=number))
    stats = threats.stats()
    assert (stats.subjects, stats.forgotten) == (50, 9_951)
    assert threats.check(user="attacker").answer == "throttle"
    assert len(threats._graded) == 1


def test_a_graded_subject_that_is_forgotten_is_forgotten_everywhere(
    manual_clock: ManualClock,
) -> None:
    threats = make(manual_clock, Scenario("one", ["bad"], capacity=0, risk=50), max_subjects=10)
    for number in range(1_000):
        bad(threats, user=number)
    assert len(threats._graded) <= 10


def test_who_was_graded_and_never_comes_back_costs_the_others_nothing_for_long(
    manual_clock: ManualClock,
) -> None:
    threats = make(manual_clock, Scenario("one", ["bad"], capacity=0, risk=50))
    for user in range(5):
        bad(threats, user=user)
    for _ in range(20):
        assert threats.check(user=99).answer == "observe"
    assert threats.check(user=3).answer == "throttle"
    manual_clock.tick(3600)
    for _ in range(5):
        threats.check(user=99)
    assert threats.calm()


def test_two_scenarios_at_once_are_one_block(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, ONE, Scenario("other", ["bad"], capacity=0, risk=100))
    events = heard(threats)
    bad(threats, user=7)
    decided = [event for event in events if isinstance(event, ThreatDecided)]
    assert [(each.seconds, each.times) for each in decided] == [(300, 1)] * 2


def test_blocks_are_bounded(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, max_blocks=100)
    for number in range(1_000):
        bad(threats, user=number)
    assert threats.stats().blocks == 100


def test_blocks_that_ended_long_ago_are_forgotten(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)
    for number in range(100):
        bad(threats, user=number)
    manual_clock.tick(86_400 + 301)
    bad(threats, user=7)
    assert threats.stats().blocks == 1


def test_by_hand(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)
    events = heard(threats)
    threats.block("192.0.2.0/24", seconds=60, reason="scanner")
    threats.block("192.0.2.0/24", seconds=10, reason="again")
    block = threats.check(ip="192.0.2.9").block
    assert block is not None
    assert (block.subject, block.reason) == ("ip:192.0.2.0/24", "scanner")
    threats.block("user:7", reason="spam")
    manual_clock.tick(1e9)
    assert threats.check(user=7).retry_after is None
    assert [block.subject for block in threats.blocks()] == ["user:7"]
    assert threats.unblock("user:7")
    assert not threats.unblock("user:7")
    assert threats.import_blocks("192.0.2.1\nuser:8", seconds=5, reason="feed") == 2
    assert [type(event) for event in events] == [
        BlockedByHand, BlockedByHand, BlockedByHand, BlockLifted, BlocksImported,
    ]  # fmt: skip
    assert threats.export_blocks() == "192.0.2.1\nuser:8\n"
    with pytest.raises(ConfigurationError, match="line 1"):
        threats.import_blocks("nobody", reason="feed")


def test_lifting_a_block_forgives(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)
    bad(threats, user=7)
    threats.unblock("user:7")
    bad(threats, user=7)
    assert threats.check(user=7).retry_after == 300


def test_a_range_in_a_range_ends_and_the_larger_one_is_left(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)
    threats.block("192.0.2.0/24", seconds=10, reason="small")
    threats.block("192.0.0.0/16", seconds=100, reason="large")
    threats.block("198.51.100.7", seconds=10, reason="one")
    threats.block("198.51.100.0/24", seconds=100, reason="large")
    manual_clock.tick(11)
    assert "large" in str(threats.explain("192.0.2.7"))
    for address in ("192.0.2.7", "198.51.100.7"):
        block = threats.check(ip=address).block
        assert block is not None
        assert block.reason == "large"


def test_to_explain_changes_nothing(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)
    for subject in ("user:7", "192.0.2.1", "2001:db8::/48", "chat:x"):
        told = threats.explain(subject)
        assert (told.answer, told.risk, told.block, told.evidence) == ("observe", 0, None, ())
    assert threats.stats().subjects == 0
    assert str(threats.explain("user:7")) == "user:7 observe, risk 0"
    threats.block("192.0.2.0/24", seconds=60, reason="scanner")
    assert str(threats.explain("192.0.2.1")) == (
        "ip:192.0.2.1 block, risk 0; blocked for 60 s as ip:192.0.2.0/24: scanner"
    )


def test_findings_of_the_screen_are_a_scenario(manual_clock: ManualClock) -> None:
    """The same attack sent ten times is one; four different ones are too many."""
    threats = make(manual_clock, repeated_findings())
    screen = Detector("screen")

    def tell(event: Event) -> None:
        assert isinstance(event, Suspected)
        threats.report(Activity("suspected", user=7, about=event.verdict.text))

    screen.events.subscribe(tell)
    for _ in range(10):
        screen.check("' or 1=1 --")
    assert not threats.check(user=7).refused
    for number in range(2, 5):
        screen.check(f"' or {number}={number} --")
    assert threats.check(user=7).refused


def test_a_baseline_adds_risk(manual_clock: ManualClock) -> None:
    threats = ThreatDetector("t", [], baseline=Baseline(risk=100), clock=manual_clock)
    for _ in range(30):
        for _ in range(5):
            threats.report(Activity("command", user=7))
        manual_clock.tick(60)
    for _ in range(100):
        threats.report(Activity("command", user=7))
    assert threats.explain("user:7").evidence[0].scenario == "baseline"
    assert threats.check(user=7).refused


async def test_it_guards_every_kind_of_function(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)
    bad(threats, user=7)

    class Handlers:
        @threats.guarded(user="message.from_user.id", chat="message.chat")
        async def method(self, message: Any) -> str:
            return "method"

        @classmethod
        @threats.guarded(user=lambda _cls, user: user)
        async def by_class(cls, user: int) -> str:
            return "class"

        @staticmethod
        @threats.guarded(user="user")
        async def static(user: int = 7) -> str:
            return "static"

    def message(user: int) -> Any:
        return SimpleNamespace(from_user=SimpleNamespace(id=user), chat=1)

    assert await Handlers().method(message(8)) == "method"
    assert await Handlers.by_class(8) == "class"
    assert await Handlers.static(8) == "static"
    for call in (Handlers().method(message(7)), Handlers.by_class(7), Handlers.static()):
        with pytest.raises(ThreatRefusedError):
            await call


async def test_none_on_the_way_is_nobody_and_a_wrong_call_is_its_own_error(
    manual_clock: ManualClock,
) -> None:
    threats = make(manual_clock)

    @threats.guarded(user="message.from_user.id", chat="message.chat")
    async def handle(message: Any) -> str:
        return "handled"

    assert await handle(SimpleNamespace(from_user=None, chat=1)) == "handled"  # a channel's post
    assert await handle(SimpleNamespace(from_user=SimpleNamespace(id=None), chat=1)) == "handled"
    assert await handle(None) == "handled"
    assert threats.stats().errors == 0
    wrong: Any = handle
    with pytest.raises(TypeError, match="missing a required argument"):
        await wrong()


class Broken:
    """Has no user, and can't say why without telling what it should not."""

    @property
    def user(self) -> int:
        raise RuntimeError("the password is hunter2")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (SimpleNamespace(), "AttributeError"),
        (Broken(), "RuntimeError"),
        (SimpleNamespace(user=SimpleNamespace(id=7)), "TypeError"),  # `.id` was forgotten
        (SimpleNamespace(user=True), "TypeError"),
        (SimpleNamespace(user=7.0), "TypeError"),
    ],
)
async def test_a_caller_who_cannot_be_told_is_refused(
    manual_clock: ManualClock, message: object, error: str
) -> None:
    threats = make(manual_clock)
    events = heard(threats)

    @threats.guarded(user="message.user")
    async def handle(message: object) -> str:
        return "handled"

    with pytest.raises(ThreatRefusedError, match="who calls could not be told") as refused:
        await handle(message)
    assert (refused.value.subject, refused.value.answer) == ("unknown", "error")
    assert "hunter2" not in str(refused.value)
    (event,) = events
    assert isinstance(event, GuardFailed)
    assert (event.part, event.error, event.refused) == ("user", error, True)
    assert threats.stats().errors == 1
    assert threats.stats().refused == {"error": 1}


@pytest.mark.parametrize(
    ("mode", "on_error"), [("block", "pass"), ("observe", "refuse"), ("observe", "pass")]
)
async def test_a_caller_who_cannot_be_told_may_pass_as_far_as_the_rest_of_him_may(
    manual_clock: ManualClock,
    mode: Literal["block", "observe"],
    on_error: Literal["refuse", "pass"],
) -> None:
    threats = make(manual_clock, mode=mode)
    events = heard(threats)

    @threats.guarded(user="message.user", ip="message.ip", on_error=on_error)
    async def handle(message: object) -> str:
        return "handled"

    assert await handle(SimpleNamespace(ip="192.0.2.1")) == "handled"
    (event,) = events
    assert isinstance(event, GuardFailed)
    assert not event.refused
    assert (threats.stats().errors, threats.stats().refused) == (1, {})
    threats.block("192.0.2.1", reason="test")
    with pytest.raises(ThreatRefusedError, match=r"ip:192\.0\.2\.1 is blocked"):
        await handle(SimpleNamespace(ip="192.0.2.1"))


async def test_a_second_factor_that_cannot_be_looked_up_was_not_shown(
    manual_clock: ManualClock,
) -> None:
    threats = make(manual_clock, Scenario("one", ["bad"], capacity=0, risk=70))
    bad(threats, user=7)

    @threats.guarded(user="user", verified="session.user", on_error="pass")
    async def pay(user: int, session: object) -> str:
        return "paid"

    with pytest.raises(ThreatRefusedError, match="second factor"):
        await pay(7, Broken())
    assert threats.stats().errors == 1

    async def ask() -> bool:
        return False

    @threats.guarded(user="user", verified=lambda user: ask())  # true, as any coroutine is
    async def withdraw(user: int) -> str:
        return "paid"

    with pytest.raises(ThreatRefusedError, match="second factor"):
        await withdraw(7)
    assert threats.stats().errors == 2


async def test_a_second_factor_is_looked_up(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, Scenario("one", ["bad"], capacity=0, risk=70))
    bad(threats, user=7)

    @threats.guarded(user="user", verified="session.mfa")
    async def pay(user: int, session: Any) -> str:
        return "paid"

    assert await pay(7, SimpleNamespace(mfa=True)) == "paid"
    for session in (SimpleNamespace(mfa=False), None):
        with pytest.raises(ThreatRefusedError):
            await pay(7, session)


def test_what_could_not_work_is_refused_at_decoration(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)

    async def call(user: int) -> None: ...

    with pytest.raises(ConfigurationError, match="parameter of"):
        threats.guarded(user="nobody")(call)
    with pytest.raises(ConfigurationError, match="who calls"):
        threats.guarded(verified="user")
    number: Any = 7
    with pytest.raises(ConfigurationError, match="user is 7"):
        threats.guarded(user=number)
    sync: Any = lambda user: user  # noqa: E731
    with pytest.raises(ConfigurationError, match="async"):
        threats.guarded(user="user")(sync)
    with pytest.raises(ConfigurationError, match="not async"):
        threats.guarded(user=call)
    anything: Any = "ask"
    with pytest.raises(ConfigurationError, match="'refuse' or 'pass'"):
        threats.guarded(user="user", on_error=anything)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"mode": "maybe"}, "mode"),
        ({"max_subjects": 0}, "max_subjects"),
        ({"max_blocks": True}, "max_blocks"),
        ({"scenarios": [ONE, ONE]}, "scenarios"),
        ({"scenarios": [Scenario("baseline")]}, "scenarios"),
        ({"users": "1"}, "users"),
        ({"networks": "192.0.2.0/24"}, "networks"),
        ({"networks": ["192.0.2.1/24"]}, "networks"),
        ({"networks": ["user:7"]}, "networks"),
    ],
)
def test_what_could_not_work_is_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        ThreatDetector(**{"name": "t", "scenarios": [ONE], **options})
    assert told.value.field == field


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, True])
def test_a_block_of_no_length_is_refused(manual_clock: ManualClock, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="seconds"):
        make(manual_clock).block("user:7", seconds=seconds, reason="")


@given(
    user=st.one_of(st.none(), st.integers(), st.text()),
    ip=st.one_of(st.none(), st.text(), st.ip_addresses().map(str)),
    about=st.one_of(st.none(), st.text()),
)
@settings(max_examples=100, deadline=None)
def test_nothing_that_comes_in_raises(
    user: str | int | None, ip: str | None, about: str | None
) -> None:
    by_ip = Scenario("ip", by="ip", capacity=0, distinct=True, risk=100)
    threats = ThreatDetector("t", [ONE, by_ip], baseline=Baseline(), clock=ManualClock())
    for _ in range(2):
        threats.report(Activity("bad", user=user, ip=ip, chat=user, about=about))
        threats.check(user=user, ip=ip, chat=user)
    if user is not None:
        assert threats.check(user=user).refused
    # What is written out can be read in, whoever chose the ids.
    other = ThreatDetector("o", [], clock=ManualClock())
    other.import_blocks(threats.export_blocks(), reason="")
    assert other.export_blocks() == threats.export_blocks()


def test_a_listener_that_fails_changes_nothing(manual_clock: ManualClock) -> None:
    threats = make(manual_clock)

    def fail(event: Event) -> None:
        raise RuntimeError

    threats.events.subscribe(fail)
    bad(threats, user=7)
    assert threats.check(user=7).refused


def test_numbers_and_repr(manual_clock: ManualClock) -> None:
    threats = make(manual_clock, failed_logins(), flooding(), terms=Terms(), grades=Grades())
    for _ in range(6):
        threats.report(Activity("login_failed", user=7))
    threats.report(Activity("login_failed", user=7))
    stats = threats.stats()
    assert (stats.reported, stats.ignored, stats.spared) == (7, 1, 0)
    assert stats.scenarios == {"failed_logins": 1}
    assert (stats.subjects, stats.blocks, stats.blocklist) == (1, 1, "local")
    assert {sample.name for sample in samples(stats)} >= {"reported", "decisions", "blocklist"}
    assert repr(threats) == "ThreatDetector('t', mode='block', blocks=1)"
    assert repr(threats.guarded(user="user")) == (
        "ThreatDetector('t', mode='block', blocks=1).guarded(user='user')"
    )
