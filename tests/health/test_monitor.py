"""The health monitor: checks on their own time, remembered, and told when they change."""

import asyncio
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.health import (
    CheckFailed,
    CheckRecovered,
    Degraded,
    Evidence,
    Health,
    HealthMonitor,
    Kind,
)
from mobius_infra.testing import ManualClock
from tests.health.support import Dependency, listen, report_of, states


async def test_checks_run_at_their_intervals_and_asking_runs_none(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    fast, slow = Dependency(manual_clock), Dependency(manual_clock)
    monitor.check("fast", every=10)(fast.check)
    monitor.check("slow", every=60)(slow.check)
    assert monitor.report().state is Health.UNKNOWN
    async with monitor:
        await manual_clock.advance(65)
        for _ in range(10_000):
            assert monitor.report().state is Health.UP
        assert fast.asked == [0, 10, 20, 30, 40, 50, 60]
        assert slow.asked == [0, 60]
    await manual_clock.advance(60)
    assert fast.calls == 7
    assert manual_clock.sleepers == 0


async def test_a_report_is_made_once_for_all_who_ask_until_something_changes(
    monitor: HealthMonitor,
) -> None:
    monitor.check("db")(Dependency().check)
    first = monitor.report()
    assert monitor.report() is first
    await monitor.run("db")
    assert monitor.report() is not first


async def test_changes_are_told_once(monitor: HealthMonitor, manual_clock: ManualClock) -> None:
    dependency, heard = Dependency(), listen(monitor)
    monitor.check("db", every=10)(dependency.check)
    async with monitor:
        await manual_clock.advance(5)
        dependency.error = OSError("gone")
        await manual_clock.advance(30)
        assert report_of(monitor, "db").reason == "OSError: gone"
        dependency.error = None
        await manual_clock.advance(30)
    start = manual_clock.time() - 65
    facts: dict[str, Any] = {"check_kind": Kind.READINESS, "consequence_of": (), "flapping": False}
    assert heard == [
        CheckFailed(
            source="health", at=start + 10, check="db", before=Health.UP, reason="OSError: gone",
            evidence=Evidence.ERROR, lasted=10.0, down_for=0.0, **facts,
        ),
        CheckRecovered(
            source="health", at=start + 40, check="db", before=Health.DOWN, reason="",
            evidence=Evidence.ANSWER, lasted=30.0, down_for=30.0, **facts,
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "state", "evidence", "reason"),
    [
        (None, "up", "answer", ""),
        (True, "up", "answer", ""),
        (Health.UP, "up", "answer", ""),
        (False, "down", "answer", "it returned False"),
        (Health.DOWN, "down", "answer", "it returned down"),
        (Degraded("half the replicas"), "degraded", "answer", "half the replicas"),
        (Health.DEGRADED, "degraded", "answer", "it returned degraded"),
        (Health.UNKNOWN, "unknown", "answer", "it returned unknown"),
        (0, "unknown", "nonsense", "it returned a int; return nothing, a bool, a Health or "),
        ("up", "unknown", "nonsense", "it returned a str; return nothing, a bool, a Health or "),
    ],
)
async def test_an_answer_is_a_state_and_nonsense_is_none(
    answer: object, state: str, evidence: str, reason: str, monitor: HealthMonitor
) -> None:
    dependency = Dependency()
    dependency.answer = answer
    monitor.check("x")(dependency.check)
    report = await monitor.run("x")
    assert (report.state.value, report.evidence.value) == (state, evidence)
    assert report.reason.startswith(reason)
    assert bool(report.reason) is bool(reason)


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(), "OSError"),
        (ValueError("a\nb\tc"), "ValueError: a b c"),
        (UnreadableError(), "UnreadableError: (its text could not be read)"),
        (ExceptionGroup("two", [OSError()]), "ExceptionGroup: two (1 sub-exception)"),
        (GeneratorExit("odd"), "GeneratorExit: odd"),
        (SystemExit(3), "RuntimeError: it raised SystemExit(3)"),
        (StopAsyncIteration(), "StopAsyncIteration"),
    ],
)
async def test_a_check_may_raise_anything_and_stops_nothing_else(
    error: BaseException, reason: str, monitor: HealthMonitor
) -> None:
    @monitor.check("raises")
    async def raises() -> None:
        raise error

    assert (await monitor.run("raises")).reason == reason
    assert states(monitor) == {"raises": "down"}


async def test_a_long_reason_is_cut(monitor: HealthMonitor) -> None:
    dependency = Dependency()
    dependency.error = ValueError("x" * 10_000)
    monitor.check("x")(dependency.check)
    assert len((await monitor.run("x")).reason) == 500


async def test_a_slow_pass_is_degraded_where_that_is_asked_for(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    quick, slow = Dependency(manual_clock, 0.1), Dependency(manual_clock, 0.4)
    for name, dependency in (("quick", quick), ("slow", slow)):
        monitor.check(name, every=10, timeout=1, slow=0.3)(dependency.check)
    async with monitor:
        await manual_clock.advance(1)
        assert states(monitor) == {"quick": "up", "slow": "degraded"}
        assert report_of(monitor, "slow").reason == "it took 0.4 s; more than 0.3 s is slow"
        assert monitor.report().state is Health.DEGRADED
        assert monitor.report().ready


async def test_a_run_is_joined_by_whoever_asks_meanwhile(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    dependency = Dependency(manual_clock, takes=0.5)
    monitor.check("db", every=10)(dependency.check)
    async with monitor:
        asked = [asyncio.create_task(monitor.run("db")) for _ in range(1_000)]
        await manual_clock.advance(0.2)
        asked[0].cancel()
        await manual_clock.advance(0.4)
        assert {(await each).state for each in asked[1:]} == {Health.UP}
    assert dependency.calls == 1


async def test_leaving_the_monitor_does_not_look_like_a_cancellation_to_those_who_asked(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    monitor.check("db")(Dependency(manual_clock, takes=0.5).check)
    async with monitor:
        asked = asyncio.create_task(monitor.run("db"))
        await manual_clock.advance(0.1)
    assert (await asked).state is Health.UNKNOWN
    assert manual_clock.sleepers == 0


async def test_a_cancelled_monitor_passes_the_cancellation_on_and_leaves_no_task(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    monitor.check("db")(Dependency(manual_clock, takes=0.5).check)
    before = asyncio.all_tasks()

    async def application() -> None:
        async with monitor:
            await asyncio.Event().wait()

    running = asyncio.create_task(application())
    await manual_clock.advance(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_check_may_be_added_while_the_monitor_runs(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    async with monitor:
        await manual_clock.advance(3)
        late = Dependency(manual_clock)
        monitor.check("late", every=10)(late.check)
        await manual_clock.advance(11)
        assert late.asked == [3, 13]


async def test_a_monitor_runs_once_at_a_time_and_may_run_again(monitor: HealthMonitor) -> None:
    async with monitor:
        with pytest.raises(ConfigurationError, match="once at a time"):
            await monitor.__aenter__()
    async with monitor:
        pass


@pytest.mark.parametrize(
    ("critical", "optional", "whole"),
    [
        (True, True, "up"), (False, True, "down"), (True, False, "degraded"),
        (False, False, "down"), (Health.DEGRADED, True, "degraded"),
        (True, Health.DEGRADED, "degraded"), (Health.UNKNOWN, False, "unknown"),
        (True, Health.UNKNOWN, "unknown"), (False, Health.UNKNOWN, "down"),
    ],
)  # fmt: skip
async def test_the_state_of_the_whole_is_derived(
    critical: object, optional: object, whole: str, monitor: HealthMonitor
) -> None:
    one, other = Dependency(), Dependency()
    one.answer, other.answer = critical, optional
    monitor.check("critical")(one.check)
    monitor.check("optional", critical=False)(other.check)
    await monitor.run("critical")
    await monitor.run("optional")
    assert monitor.report().state == whole
    assert monitor.stats().state == whole


async def test_startup_is_asked_until_the_first_yes_and_then_never_again(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    migrated = Dependency(manual_clock)
    migrated.answer = False
    monitor.check("migrated", kind="startup", every=10)(migrated.check)
    async with monitor:
        await manual_clock.advance(15)
        assert not monitor.report().started
        assert not monitor.report().ready
        migrated.answer = True
        await manual_clock.advance(1_000)
        assert monitor.report().started
        assert migrated.asked == [0, 10, 20]
        migrated.answer = False
        assert (await monitor.run("migrated")).state is Health.UP
        assert monitor.report().ready


async def test_a_dead_dependency_never_makes_liveness_fail(monitor: HealthMonitor) -> None:
    database, threads = Dependency(), Dependency()
    monitor.check("database")(database.check)
    monitor.check("threads", kind=Kind.LIVENESS)(threads.check)
    database.error = OSError()
    await monitor.run("database")
    assert monitor.report().alive
    assert not monitor.report().ready
    await monitor.run("threads")
    threads.answer = False
    await monitor.run("threads")
    assert not monitor.report().alive


def test_a_liveness_check_that_asks_outside_is_refused(monitor: HealthMonitor) -> None:
    monitor.check("database")(Dependency().check)
    edges: Any
    for edges in ({"depends_on": ["database"]}, {"uses": ["database"]}):
        with pytest.raises(ConfigurationError, match="outside the process"):
            monitor.check("alive", kind="liveness", **edges)(Dependency().check)


async def test_a_drain_ends_readiness_at_once_and_nothing_else(monitor: HealthMonitor) -> None:
    monitor.check("db")(Dependency().check)
    await monitor.run("db")
    assert monitor.report().ready
    monitor.drain()
    report = monitor.report()
    assert (report.ready, report.alive, report.started, report.state) == (False, True, True, "up")


async def test_its_numbers(monitor: HealthMonitor) -> None:
    one, other = Dependency(), Dependency()
    other.answer = Degraded("slow")
    monitor.check("one")(one.check)
    monitor.check("other")(other.check)
    await monitor.run("one")
    await monitor.run("other")
    one.error = OSError()
    await monitor.run("one")
    stats = monitor.stats()
    assert (stats.runs, stats.failures, stats.down, stats.degraded) == (3, 1, 1, 1)
    assert repr(monitor) == "HealthMonitor('health', down)"


async def test_a_check_that_does_not_exist_is_named(monitor: HealthMonitor) -> None:
    monitor.check("db")(Dependency().check)
    with pytest.raises(ConfigurationError, match="'bd'; it must be db"):
        await monitor.run("bd")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"), ({"name": "taken"}, "name"),
        ({"every": 0}, "every"), ({"every": float("nan")}, "every"), ({"every": True}, "every"),
        ({"timeout": -1}, "timeout"), ({"timeout": float("inf")}, "timeout"),
        ({"failures": 0}, "failures"), ({"failures": 1.5}, "failures"),
        ({"successes": 0}, "successes"), ({"failures_of": (3, 2)}, "failures_of"),
        ({"failures_of": (0, 2)}, "failures_of"), ({"failures_of": (1, 2, 3)}, "failures_of"),
        ({"slow": 0}, "slow"), ({"slow": 1.0}, "slow"), ({"jitter": 1}, "jitter"),
        ({"jitter": -0.1}, "jitter"), ({"kind": "deadness"}, "kind"),
        ({"depends_on": "db"}, "depends_on"), ({"depends_on": ["db", "db"]}, "depends_on"),
        ({"depends_on": ["db"], "uses": ["db"]}, "uses"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(
    options: dict[str, Any], field: str, monitor: HealthMonitor
) -> None:
    monitor.check("taken")(Dependency().check)
    with pytest.raises(ConfigurationError) as caught:
        monitor.check(**{"name": "x", **options})(Dependency().check)
    assert caught.value.field == field


async def _streams() -> Any:
    yield 1


@pytest.mark.parametrize("func", [None, "x", _streams, lambda x: x, lambda *, x: x])
def test_what_can_not_be_a_check_is_refused(func: Any, monitor: HealthMonitor) -> None:
    with pytest.raises(ConfigurationError, match="takes nothing and returns once"):
        monitor.check("x")(func)


def test_a_name_is_taken_once_also_by_two_who_hold_the_decorator(monitor: HealthMonitor) -> None:
    first, second = monitor.check("x"), monitor.check("x")
    first(Dependency().check)
    with pytest.raises(ConfigurationError, match="not yet taken"):
        second(Dependency().check)


async def test_leaving_the_monitor_before_a_look_began_leaves_nobody_waiting(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    monitor.check("db", every=60)(Dependency(manual_clock).check)
    async with monitor:
        await manual_clock.advance(1)
        asked = asyncio.create_task(monitor.run("db"))
        await asyncio.sleep(0)  # it has asked, and the look is about to begin
    assert (await asked).state is Health.UP
    assert (await monitor.run("db")).runs == 2
