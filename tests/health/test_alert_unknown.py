"""What can't be known ends no alert, hides none, and is not counted as watched."""

from typing import Any

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.health import (
    Above,
    Absent,
    Below,
    Condition,
    Is,
    Route,
    Rule,
    Severity,
    Totals,
    burn_rate_rules,
)
from mobius_infra.health._alert_reader import Reader
from mobius_infra.testing import ManualClock
from tests.health.alerting import Recorder, Timeline, World, manager, memory

PHONE = Recorder("phone")
ROUTE = Route(channels=(PHONE,), wait=0, interval=60, repeat=1e6)


def test_a_check_that_was_down_and_is_unknown_now_is_not_resolved() -> None:
    state = ["down"]
    rule = Rule(name="database", source=lambda: state[0], condition=Is("down"))
    time = Timeline([rule], [ROUTE])
    time.until(10)
    state[0] = "unknown"
    time.until(1000)
    assert [each[2] for each in time.told] == ["firing"]
    assert time.book.alerts["database"].state.reason == "the state is unknown"
    state[0] = "degraded"
    time.until(1010)
    assert [each[2] for each in time.told] == ["firing", "resolved"]


def test_which_states_say_nothing_can_be_chosen() -> None:
    def says(condition: Condition, state: str) -> bool | None:
        return condition.step(None, 0.0, state)[1].active

    assert says(Is("down"), "unknown") is None
    assert says(Is("down", "unknown"), "unknown") is True
    assert says(Is("open", unknown=("half-open",)), "half-open") is None
    assert says(Is("open", unknown=()), "unknown") is False
    with pytest.raises(ConfigurationError, match="unknown"):
        Is("down", unknown="unknown")  # type: ignore[arg-type]  # its letters would be states


def test_time_that_was_not_seen_does_not_count_as_well() -> None:
    world = World()
    time = Timeline([world.rule("a", keep_firing_for=60)], [ROUTE])
    world.bad = {"a"}
    time.until(10)
    world.bad = set()
    time.until(20)  # well from 15, seen so for 5 seconds
    world.unknown = {"a"}
    time.until(500)
    world.unknown = set()
    time.until(555)
    assert [each[2] for each in time.told] == ["firing"]
    time.until(600)
    assert [each[:3] for each in time.told[1:]] == [(560, "phone", "resolved")]


async def test_neither_does_time_over_a_restart(manual_clock: ManualClock) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    rules = [world.rule("a", keep_firing_for=60)]
    world.bad = {"a"}
    async with manager(manual_clock, backend, rules, phone):
        await manual_clock.advance(5)
        world.bad = set()
        await manual_clock.advance(10)
    await manual_clock.advance(1000)
    async with manager(manual_clock, backend, rules, phone):
        await manual_clock.advance(10)
        assert phone.heard() == [("firing", ["a"], [])]
        await manual_clock.advance(600)
        assert phone.heard()[1:] == [("resolved", [], ["a"])]


def test_a_parent_that_is_pending_and_can_not_be_looked_at_hides_nothing() -> None:
    world = World()
    parent = world.rule("database", "critical", for_=60)
    time = Timeline([world.rule("api", parents=("database",)), parent], [ROUTE])
    world.bad = {"database", "api"}
    time.until(20)
    assert time.told == []
    world.unknown = {"database"}  # it may never fire, and then nobody would be told
    time.until(25)
    assert [each[3] for each in time.told] == [["api"]]


@pytest.mark.parametrize(
    ("condition", "before", "after"),
    [(Above(5, clear=3), 6.0, 4.0), (Below(5, clear=7), 4.0, 6.0), (Absent(10), None, None),
     (Absent(10, unmoved=True), 7.0, 7.0)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("by", [None, "queue"])
async def test_what_is_still_alarming_after_a_restart_is_not_resolved_by_it(
    manual_clock: ManualClock, condition: Condition, before: Any, after: Any, by: str | None
) -> None:
    backend, phone, reading = memory(manual_clock), Recorder(), [before]

    def read() -> Any:
        # Of several, one that has no reading is not there at all.
        return reading[0] if by is None else {} if reading[0] is None else {"x": reading[0]}

    rules = [Rule(name="a", source=read, condition=condition, by=by)]
    first: Any = reading[0] if reading[0] is not None else 1.0
    reading[0] = first
    async with manager(manual_clock, backend, rules, phone):
        await manual_clock.advance(5)
        reading[0] = before
        await manual_clock.advance(30)
        assert [kind for kind, _, _ in phone.heard()] == ["firing"]
    reading[0] = after
    async with manager(manual_clock, backend, rules, phone) as alerts:
        await manual_clock.advance(600)
        assert [kind for kind, _, _ in phone.heard()] == ["firing"]
        assert alerts.snapshot().alerts[0].phase == "firing"


async def test_what_is_absent_no_more_after_a_restart_is_resolved(
    manual_clock: ManualClock,
) -> None:
    backend, phone = memory(manual_clock), Recorder()
    reading: list[float | None] = [None]
    rules = [Rule(name="a", source=lambda: reading[0], condition=Absent(10))]
    async with manager(manual_clock, backend, rules, phone):
        await manual_clock.advance(30)
    reading[0] = 1.0
    async with manager(manual_clock, backend, rules, phone):
        await manual_clock.advance(600)
    assert [kind for kind, _, _ in phone.heard()] == ["firing", "resolved"]


async def test_a_burn_rate_does_not_end_because_the_process_began_anew(
    manual_clock: ManualClock,
) -> None:
    backend, phone = memory(manual_clock), Recorder()

    def rules(totals: Totals) -> list[Rule]:
        return burn_rate_rules("api", totals, objective=0.999)[:1]

    totals = Totals()
    async with manager(manual_clock, backend, rules(totals), phone):
        for _ in range(30):
            totals.bad += 1
            await manual_clock.advance(5)
    totals = Totals()
    async with manager(manual_clock, backend, rules(totals), phone):
        for _ in range(29):
            totals.good += 1
            await manual_clock.advance(60)
        assert [kind for kind, _, _ in phone.heard()] == ["firing"]
        for _ in range(10):  # half an hour without a bad one, and the interval
            totals.good += 1
            await manual_clock.advance(60)
    assert [kind for kind, _, _ in phone.heard()] == ["firing", "resolved"]


async def test_what_is_found_after_a_restart_is_noted_when_it_is_known(
    manual_clock: ManualClock,
) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    rules = [world.rule(each) for each in ("still", "over", "new", "later")]
    world.bad = {"still", "over"}
    async with manager(manual_clock, backend, rules, phone):
        await manual_clock.advance(5)
    await manual_clock.advance(1000)
    world.unknown, world.bad = {"still", "over", "new"}, {"still", "new"}
    async with manager(manual_clock, backend, rules, phone) as alerts:
        await manual_clock.advance(20)
        assert {each.note for each in alerts.snapshot().alerts} == {""}
        world.unknown = set()
        await manual_clock.advance(10)
        world.bad = {"still", "new", "later"}  # began while it was watched
        await manual_clock.advance(10)
        notes = {each.id: each.note for each in alerts.snapshot().alerts}
    assert notes == {
        "still": "still so when watching resumed",
        "over": "ended while unwatched since 2023-11-14 22:13:25+00:00",
        "new": "began while unwatched since 2023-11-14 22:13:25+00:00",
        "later": "",
    }


def test_of_readings_beyond_the_bound_nothing_is_known_and_that_is_said() -> None:
    queues = {"x": 1.0}
    rule = Rule(name="a", source=lambda: queues, condition=Above(0), by="queue",
                severity=Severity.INFO)  # fmt: skip
    reader = Reader([rule])
    reader.read(0.0, {})
    queues = {str(number): 0.0 for number in range(1000)} | queues
    seen = reader.read(1.0, {"a": {"x": True}})
    assert seen["a (queue=x)"].verdict.active is None
    assert seen["a (queue=0)"].verdict.active is False
    assert reader.failing() == {"a": "OverflowError"}
