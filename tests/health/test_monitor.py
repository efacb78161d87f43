"""The health monitor: checks on their own time, remembered, and told when they change."""

import asyncio
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError, Event, open_backend
from mobius_infra.health import (
    CheckFailed,
    CheckRecovered,
    Health,
    HealthMonitor,
    backend_check,
)
from mobius_infra.testing import ManualClock


class Dependency:
    def __init__(self) -> None:
        self.error: Exception | None = None
        self.calls = 0

    async def check(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def monitor(manual_clock: ManualClock) -> HealthMonitor:
    return HealthMonitor(clock=manual_clock, draw=lambda: 0.5)


async def test_checks_run_at_their_intervals_and_asking_runs_none(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    fast, slow = Dependency(), Dependency()
    monitor.check("fast", every=10)(fast.check)
    monitor.check("slow", every=60)(slow.check)
    assert monitor.report().state is Health.UNKNOWN
    async with monitor:
        await manual_clock.advance(65)
        for _ in range(1_000):
            assert monitor.report().state is Health.UP
        assert (fast.calls, slow.calls) == (7, 2)
    await manual_clock.advance(60)
    assert fast.calls == 7
    assert manual_clock.sleepers == 0


async def test_changes_are_told_once(monitor: HealthMonitor, manual_clock: ManualClock) -> None:
    dependency, heard = Dependency(), list[Event]()
    monitor.events.subscribe(heard.append)
    monitor.check("db", every=10)(dependency.check)
    async with monitor:
        await manual_clock.advance(5)
        dependency.error = OSError("gone")
        await manual_clock.advance(30)
        assert monitor.report().checks[0].reason == "OSError: gone"
        dependency.error = None
        await manual_clock.advance(30)
    start = manual_clock.time() - 65
    assert heard == [
        CheckFailed(source="health", at=start + 10, check="db", reason="OSError: gone"),
        CheckRecovered(source="health", at=start + 40, check="db", down_for=30.0),
    ]


async def test_it_takes_failures_in_a_row_to_go_down_and_successes_to_come_up(
    monitor: HealthMonitor,
) -> None:
    dependency = Dependency()
    monitor.check("db", failures=3, successes=2)(dependency.check)
    await monitor.run("db")
    states = []
    for failed in (True, True, False, True, True, True, False, True, False, False):
        dependency.error = OSError() if failed else None
        states.append((await monitor.run("db")).state.value)
    assert states == ["up"] * 5 + ["down"] * 4 + ["up"]


async def test_a_hanging_check_is_cancelled_and_does_not_stop_the_others(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    well, cancelled = Dependency(), asyncio.Event()

    @monitor.check("hangs", every=10, timeout=2)
    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    @monitor.check("stubborn", every=10, timeout=2)
    async def stubborn() -> None:
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    monitor.check("well", every=1)(well.check)
    async with monitor:
        await manual_clock.advance(5)
        states = {each.name: (each.state.value, each.reason) for each in monitor.report().checks}
        assert states["hangs"] == states["stubborn"] == ("down", "no answer within 2 s")
        assert states["well"] == ("up", "")
        assert cancelled.is_set()
        assert well.calls == 6


@pytest.mark.parametrize(
    ("critical", "optional", "whole"),
    [(True, True, "up"), (False, True, "down"), (True, False, "degraded"), (False, False, "down")],
)
async def test_the_state_of_the_whole_is_derived(
    critical: bool, optional: bool, whole: str, monitor: HealthMonitor
) -> None:
    @monitor.check("critical")
    async def one() -> bool:
        return critical

    @monitor.check("optional", critical=False)
    async def other() -> bool:
        return optional

    await monitor.run("critical")
    await monitor.run("optional")
    assert monitor.report().state == whole
    assert monitor.stats().state == whole


async def test_a_backend_is_checked_by_asking_it(monitor: HealthMonitor) -> None:
    backend = open_backend("memory://")
    monitor.check("backend")(backend_check(backend))
    assert (await monitor.run("backend")).state is Health.UP
    await backend.close()
    report = await monitor.run("backend")
    assert report.state is Health.DOWN
    assert "closed" in report.reason


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"), ({"every": 0}, "every"), ({"timeout": -1}, "timeout"),
        ({"failures": 0}, "failures"), ({"successes": 0}, "successes"), ({"name": "taken"}, "name"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(
    options: dict[str, Any], field: str, monitor: HealthMonitor
) -> None:
    monitor.check("taken")(Dependency().check)
    with pytest.raises(ConfigurationError) as caught:
        monitor.check(**{"name": "x", **options})
    assert caught.value.field == field


def test_a_sync_check_is_refused(monitor: HealthMonitor) -> None:
    with pytest.raises(ConfigurationError, match="async def"):
        monitor.check("x")(lambda: None)  # type: ignore[type-var]  # what is tested
