"""From what fires to what arrives: channels that fail, hang, refuse, and come back."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.health import (
    AlertFiring,
    AlertManager,
    AlertResolved,
    Heartbeat,
    Notification,
    NotificationLost,
    NotificationSent,
    Postponed,
    Refused,
    Route,
    Rule,
    RuleFailed,
    Step,
    Totals,
    Verdict,
    _alert_desk,
    burn_rate_rules,
)
from mobius_infra.health._alert_store import AlertStore
from mobius_infra.testing import ManualClock
from tests.health.alerting import Recorder, World, events_of, manager, memory


async def test_what_fires_arrives_and_what_resolves_too(manual_clock: ManualClock) -> None:
    world, phone = World(), Recorder()
    async with manager(manual_clock, None, [world.rule("a", "critical")], phone) as alerts:
        heard = events_of(alerts)
        world.bad = {"a"}
        await manual_clock.advance(5)
        assert alerts.stats().firing == {"critical": 1, "warning": 0, "info": 0}
        world.bad = set()
        await manual_clock.advance(600)
        assert alerts.stats().sent == {"phone": 2}
    assert phone.heard() == [("firing", ["a"], []), ("resolved", [], ["a"])]
    assert phone.sent[0].title == "[CRITICAL] m: a"
    kinds = [type(each) for each in heard]
    assert kinds[1:] == [AlertFiring, NotificationSent, AlertResolved, NotificationSent]


async def test_a_channel_that_was_down_hears_everything_once_and_in_order(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    rules = [world.rule(each) for each in "abc"]
    async with manager(manual_clock, None, rules, phone) as alerts:
        phone.error = OSError("no route to host")
        for name in "abc":
            world.bad.add(name)
            await manual_clock.advance(60)
        world.bad.discard("a")
        await manual_clock.advance(3600)
        assert alerts.stats().waiting == {"phone": 4}
        phone.error = None
        await manual_clock.advance(300)
    assert phone.heard() == [
        ("firing", ["a"], []), ("firing", ["b"], []), ("firing", ["c"], []),
        ("resolved", [], ["a"]),
    ]  # fmt: skip
    assert len({each.id for each in phone.sent}) == 4


async def test_a_try_that_took_too_long_is_made_again_under_the_same_id(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    phone.gate = asyncio.Event()
    async with manager(manual_clock, None, [world.rule("a")], phone, timeout=3):
        world.bad = {"a"}
        await manual_clock.advance(4)
        phone.gate.set()
        await manual_clock.advance(60)
    assert len(phone.tried) == 2
    assert len(set(phone.tried)) == 1
    assert phone.heard() == [("firing", ["a"], [])]


async def test_a_channel_that_hangs_does_not_hold_up_another(manual_clock: ManualClock) -> None:
    world, phone, pager = World(), Recorder("phone"), Recorder("pager")
    phone.gate = asyncio.Event()
    async with manager(manual_clock, None, [world.rule("a")], phone, pager):
        world.bad = {"a"}
        await manual_clock.advance(5)
        assert pager.heard() == [("firing", ["a"], [])]


async def test_pauses_between_tries_grow_and_are_never_shorter_than_asked(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    times: list[float] = []

    class Timed(Recorder):
        async def send(self, notification: Any) -> None:
            times.append(manual_clock.monotonic())
            raise Postponed(self.name, "later", 90.0 if len(times) == 3 else None)

    phone = Timed()
    async with manager(manual_clock, None, [world.rule("a")], phone, draw=lambda: 1.0):
        world.bad = {"a"}
        await manual_clock.advance(2000)
    pauses = [next_ - one for one, next_ in pairwise(times)]
    assert pauses[:6] == [1, 2, 90, 8, 16, 32]
    assert max(pauses) == 300


async def test_what_is_refused_is_not_tried_again_and_its_end_is_not_told(
    manual_clock: ManualClock,
) -> None:
    world, phone, pager = World(), Recorder("phone"), Recorder("pager")
    async with manager(manual_clock, None, [world.rule("a")], phone, pager) as alerts:
        heard = events_of(alerts)
        phone.error = Refused("phone", "it answered 403")
        world.bad = {"a"}
        await manual_clock.advance(5 * 3600)
        assert len(phone.tried) == 1
        phone.error = None
        world.bad = set()
        await manual_clock.advance(600)
        assert phone.sent == []
        assert pager.heard()[0] == ("firing", ["a"], [])
        assert pager.heard()[-1] == ("resolved", [], ["a"])
        assert alerts.stats().refused == {"phone": 1, "pager": 0}
        # The next time it is told again.
        world.bad = {"a"}
        await manual_clock.advance(600)
        assert phone.heard() == [("firing", ["a"], [])]
    lost = [each for each in heard if isinstance(each, NotificationLost)]
    assert [(each.channel, each.reason) for each in lost] == [("phone", "it answered 403")]


async def test_the_end_that_waits_behind_what_is_refused_is_withdrawn(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    async with manager(manual_clock, None, [world.rule("a")], phone) as alerts:
        phone.error = OSError()
        world.bad = {"a"}
        await manual_clock.advance(5)
        world.bad = set()
        await manual_clock.advance(1000)
        phone.error = Refused("phone", "it answered 403")
        await manual_clock.advance(300)
        phone.error = None
        await manual_clock.advance(600)
        progress = [each.progress for each in alerts.snapshot().deliveries]
    assert progress == ["withdrawn", "refused"]
    assert phone.sent == []


async def test_what_is_refused_in_one_step_withdraws_nothing_of_another(
    manual_clock: ManualClock,
) -> None:
    world = World()

    class Picky(Recorder):
        async def send(self, notification: Notification) -> None:
            if self.error is None and notification.step == 0:
                raise Refused(self.name, "not in this step")
            await super().send(notification)

    phone = Picky()
    route = Route(channels=(phone,), wait=0, escalation=(Step(60, (phone,)),))
    async with manager(manual_clock, None, [world.rule("a")], routes=[route]):
        phone.error = OSError()
        world.bad = {"a"}
        await manual_clock.advance(100)
        world.bad = set()
        await manual_clock.advance(1000)
        phone.error = None
        await manual_clock.advance(600)
    assert [(each.kind, each.step) for each in phone.sent] == [("firing", 1), ("resolved", 1)]


async def test_too_much_for_a_dead_channel_is_bounded_said_and_told_anew(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    rules = [world.rule(each) for each in "abcdefgh"]
    route = Route(channels=(phone,), wait=0, interval=60, repeat=600, most_incidents=100)
    many = manager(manual_clock, None, rules, phone, routes=[route], most_waiting=4)
    async with many as alerts:
        heard = events_of(alerts)
        phone.error = OSError()
        world.bad = set("abcdefgh")
        await manual_clock.advance(3600)
        assert alerts.stats().waiting == {"phone": 4}
        assert alerts.stats().dropped > 0
        assert any(isinstance(each, NotificationLost) for each in heard)
        phone.error = None
        await manual_clock.advance(1200)
    assert {alert for _, firing, _ in phone.heard() for alert in firing} == set("abcdefgh")


@pytest.mark.parametrize("error", [ValueError("secret"), asyncio.CancelledError(), KeyError()])
async def test_a_channel_may_raise_anything_and_what_it_says_is_not_shown(
    manual_clock: ManualClock, error: BaseException
) -> None:
    world, phone = World(), Recorder()
    async with manager(manual_clock, None, [world.rule("a")], phone) as alerts:
        phone.error = error  # type: ignore[assignment]
        world.bad = {"a"}
        await manual_clock.advance(30)
        assert "secret" not in str(alerts.snapshot())
        phone.error = None
        await manual_clock.advance(60)
    assert phone.heard() == [("firing", ["a"], [])]


async def test_a_rule_that_raises_is_said_once_and_stops_nothing(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    async with manager(manual_clock, None, [world.rule("a"), world.rule("b")], phone) as alerts:
        heard = events_of(alerts)
        world.unknown, world.bad = {"a"}, {"b"}
        await manual_clock.advance(60)
        assert alerts.snapshot().failing == {"a": "RuntimeError"}
        assert alerts.stats().rule_errors > 1
    assert [each.rule for each in heard if isinstance(each, RuleFailed)] == ["a"]
    assert phone.heard() == [("firing", ["b"], [])]


async def test_a_parent_is_asked_again_before_a_child_goes_out(manual_clock: ManualClock) -> None:
    world, phone, asked = World(), Recorder(), []

    async def ask() -> None:
        asked.append(manual_clock.monotonic())
        world.bad.add("database")  # it was down already, and nobody had looked

    rules = [world.rule("database", ask_again=ask), world.rule("api", parents=("database",))]
    async with manager(manual_clock, None, rules, phone):
        await manual_clock.advance(60)
        assert asked == []
        world.bad.add("api")
        await manual_clock.advance(5)
    assert phone.heard() == [("firing", ["database"], [])]


async def test_a_parent_that_hangs_when_asked_holds_nothing_up_for_long(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()

    async def ask() -> None:
        await asyncio.Event().wait()

    rules = [world.rule("database", ask_again=ask), world.rule("api", parents=("database",))]
    async with manager(manual_clock, None, rules, phone):
        world.bad.add("api")
        await manual_clock.advance(15)
    assert phone.heard() == [("firing", ["api"], [])]


async def test_a_heartbeat_is_sent_for_as_long_as_alerting_lives(
    manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = Recorder("outside")
    alerts = manager(manual_clock, None, [], Recorder(), heartbeats=[Heartbeat(outside, 60)])
    async with alerts:
        await manual_clock.advance(601)
        assert len(outside.sent) == 10
        assert {each.kind for each in outside.sent} == {"heartbeat"}
        outside.error = OSError()
        await manual_clock.advance(60)
        outside.error = None
        await manual_clock.advance(60)
        assert len(outside.sent) == alerts.stats().heartbeats == 11

        monkeypatch.setattr(alerts, "_reader", None)  # it can't look any more
        await manual_clock.advance(601)
        assert len(outside.sent) == 11


async def test_people_silence_and_unsilence_while_it_runs(manual_clock: ManualClock) -> None:
    world, phone = World(), Recorder()
    async with manager(manual_clock, None, [world.rule("a")], phone) as alerts:
        made = await alerts.silence({"alert": "a*"}, by="ann", seconds=100, note="moving house")
        world.bad = {"a"}
        await manual_clock.advance(50)
        (alert,) = alerts.snapshot().alerts
        assert (alert.silenced_by, alert.inhibited_by, phone.sent) == (made.id, None, [])
        assert await alerts.unsilence(made.id, by="ann")
        assert not await alerts.unsilence(made.id, by="ann")
        await manual_clock.advance(10)
        assert phone.heard() == [("firing", ["a"], [])]
        assert await alerts.acknowledge("a", by="bob", note="mine")
        assert not await alerts.acknowledge("nothing", by="bob")
        (alert,) = alerts.snapshot().alerts
        assert alert.acknowledged is not None
        assert alert.acknowledged.by == "bob"


@pytest.mark.parametrize(
    "options",
    [
        {"seconds": -1}, {"seconds": float("nan")}, {}, {"seconds": 1, "ends_at": 2e9},
        {"ends_at": 1_600_000_000.0}, {"ends_at": 1_800_000_000.0, "starts_at": 1_900_000_000.0},
    ],
)  # fmt: skip
async def test_a_silence_without_a_good_end_is_refused(
    manual_clock: ManualClock, options: Any
) -> None:
    async with manager(manual_clock, None, [], Recorder()) as alerts:
        with pytest.raises(ConfigurationError):
            await alerts.silence({"alert": "a"}, by="ann", **options)
        assert alerts.snapshot().silences == ()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"every": 0}, "every"), ({"every": float("nan")}, "every"), ({"lease": 3}, "lease"),
        ({"timeout": True}, "timeout"), ({"most_waiting": 0}, "most_waiting"),
        ({"name": ""}, "name"), ({"rules": [World().rule("a"), World().rule("a")]}, "name"),
        ({"rules": [World().rule("a", parents=("b",))]}, "parents"),
        ({"rules": [World().rule("a", parents=("b",)), World().rule("b", parents=("a",))]},
         "parents"),
        ({"routes": [Route(channels=(Recorder(),)), Route(channels=(Recorder(),), name="b")]},
         "channel"),
        ({"routes": [Route(channels=(Recorder(),))] * 2}, "routes"),
    ],
)  # fmt: skip
def test_what_can_not_work_is_refused_and_named(options: Any, field: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        AlertManager(**options)
    assert error.value.field == field


async def test_closing_ends_every_task_and_a_send_that_is_under_way(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    phone.gate = asyncio.Event()
    before = asyncio.all_tasks()
    async with manager(manual_clock, None, [world.rule("a")], phone) as alerts:
        world.bad = {"a"}
        await manual_clock.advance(5)
        assert phone.tried
    await manual_clock.advance(0)  # what was cancelled ends in the next turns of the loop
    assert asyncio.all_tasks() == before
    assert repr(alerts) == "AlertManager('m', rules=1, firing=1)"


async def test_what_can_not_be_written_as_text_stops_nothing(
    manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    phone = Recorder()
    half = "half \ud800"

    class Odd:
        def step(self, memory: Any, now: float, reading: Any) -> tuple[Any, Verdict]:
            return None, Verdict(True, half * 1000, half)

    class Nonsense:
        def step(self, memory: Any, now: float, reading: Any) -> Any:
            return None, True

    rules = [
        Rule(name="odd", source=lambda: {half: 1.0}, condition=Odd(), by="q"),
        Rule(name="nonsense", source=lambda: 1.0, condition=Nonsense()),
    ]
    backend = memory(manual_clock)
    async with manager(manual_clock, backend, rules, phone) as alerts:
        await manual_clock.advance(10)
        await alerts.silence({"alert": "x"}, by=half, note=half, seconds=60)
        await alerts.acknowledge("odd (q=half ?)", by=half)
        await manual_clock.advance(10)
        assert alerts.snapshot().failing == {"nonsense": "AttributeError"}
        assert len([each for each in caplog.records if "rule" in each.message]) == 1
        assert alerts.snapshot().alerts[0].acknowledged is not None
    assert phone.heard() == [("firing", ["odd (q=half ?)"], [])]
    book, _ = await AlertStore(backend, "m").load()
    assert book is not None
    assert list(book.alerts) == ["odd (q=half ?)"]
    with pytest.raises(ConfigurationError, match="surrogate"):
        Rule(name=half, source=lambda: 1.0, condition=Odd())


async def test_repetitions_do_not_pile_up_for_a_channel_that_is_down(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    route = Route(channels=(phone,), wait=0, interval=60, repeat=300)
    alerts = manager(manual_clock, None, [world.rule("a")], phone, routes=[route], every=10)
    async with alerts:
        phone.error = OSError()
        world.bad = {"a"}
        await manual_clock.advance(4000)
        assert alerts.stats().waiting == {"phone": 1}
        phone.error = None
        await manual_clock.advance(500)
    assert [each.kind for each in phone.sent[:2]] == ["firing", "repeated"]


async def test_of_a_total_outage_the_page_is_told_and_the_ticket_listed(
    manual_clock: ManualClock,
) -> None:
    phone, totals = Recorder(), Totals()
    route = Route(channels=(phone,), wait=0)
    rules = burn_rate_rules("api", totals, objective=0.999)
    page, ticket = (each.name for each in rules)
    async with manager(manual_clock, None, rules, phone, routes=[route]) as alerts:
        await manual_clock.advance(5)
        for _ in range(600):
            totals.bad += 1
            await manual_clock.advance(5)
        (incident,) = alerts.snapshot().incidents
        assert incident.folded == (ticket,)
        hidden = {each.id: each.inhibited_by for each in alerts.snapshot().alerts}
    assert phone.heard() == [("firing", [page], [])]
    assert hidden == {page: None, ticket: page}


async def test_a_silence_for_which_there_is_no_room_is_refused_and_not_promised(
    manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_alert_desk, "MOST_SILENCES", 3)
    async with manager(manual_clock, None, [], Recorder()) as alerts:
        for _ in range(3):
            await alerts.silence({"alert": "a"}, by="ann", seconds=60)
        with pytest.raises(ConfigurationError, match="silences"):
            await alerts.silence({"alert": "a"}, by="ann", seconds=60)


async def test_what_was_dropped_while_it_was_on_its_way_stays_dropped(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    phone.gate = asyncio.Event()
    rules = [world.rule("a"), world.rule("b")]
    async with manager(manual_clock, None, rules, phone, most_waiting=1, timeout=20) as alerts:
        world.bad = {"a"}
        await manual_clock.advance(5)
        world.bad = {"a", "b"}
        await manual_clock.advance(5)
        phone.gate.set()
        await manual_clock.advance(1)
        progress = [each.progress for each in reversed(alerts.snapshot().deliveries)]
        assert progress == ["dropped", "sent"]
        assert alerts.stats().sent == {"phone": 1}
