"""Many checks on one core: what they cost, how exactly they are on time, how soon they notice."""

import asyncio
import time
from collections.abc import Callable

import pytest

from mobius_infra.health import Health, HealthMonitor
from mobius_infra.health._schedule import Schedule

CHECKS = 500
SECONDS = 10.0

Record = Callable[[str, str], None]


async def run_many(monitor: HealthMonitor, check: Callable[[int], Callable[[], object]]) -> float:
    """Run the checks for a while; return the share of one core that they took."""
    for number in range(CHECKS):
        monitor.check(str(number), every=1.0, timeout=0.5)(check(number))
    async with monitor:
        await asyncio.sleep(2.0)  # the first round is all at once, to know soon
        before, began = time.process_time(), time.monotonic()
        await asyncio.sleep(SECONDS)
        return (time.process_time() - before) / (time.monotonic() - began)


async def empty_loop(check: Callable[[int], Callable[[], object]]) -> float:
    """Do the least that could be called the same: a task for each, that sleeps and calls."""

    async def keep(func: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(0.95)
            await func()  # type: ignore[misc]  # all are async here

    tasks = [asyncio.create_task(keep(check(number))) for number in range(CHECKS)]
    before, began = time.process_time(), time.monotonic()
    await asyncio.sleep(SECONDS)
    share = (time.process_time() - before) / (time.monotonic() - began)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return share


def quick(number: int) -> Callable[[], object]:
    async def check() -> None: ...

    return check


def waits(number: int) -> Callable[[], object]:
    async def check() -> None:
        await asyncio.sleep(0.005)

    return check


@pytest.mark.parametrize("check", [quick, waits])
def test_500_checks_each_second_on_one_core(
    check: Callable[[int], Callable[[], object]], record_figure: Record
) -> None:
    late: list[float] = []

    monitor, schedule = HealthMonitor(), pytest.MonkeyPatch()
    with schedule.context() as patch:
        woke = Schedule.woke

        def watch(self: Schedule, now: float, draw: float) -> bool:
            late.append(now - self.due)
            return woke(self, now, draw)

        patch.setattr(Schedule, "woke", watch)
        share = asyncio.run(run_many(monitor, check))
    floor = asyncio.run(empty_loop(check))
    measured = sorted(late[CHECKS:])
    p99 = measured[int(len(measured) * 0.99)]
    record_figure("share of one core", f"{share:.1%}")
    record_figure("of that, what bare tasks take", f"{floor:.1%}")
    record_figure("runs", f"{len(measured):,}")
    record_figure("schedule error, p50", f"{measured[len(measured) // 2] * 1000:.2f} ms")
    record_figure("schedule error, p99", f"{p99 * 1000:.2f} ms")
    assert len(measured) > CHECKS * SECONDS
    assert share < 0.10
    assert p99 < 0.050


def test_an_outage_is_noticed_within_interval_and_timeout(record_figure: Record) -> None:
    async def measure() -> float:
        monitor, away = HealthMonitor(), False

        @monitor.check("db", every=0.5, timeout=0.1)
        async def check() -> None:
            if away:
                await asyncio.sleep(60)

        async with monitor:
            await asyncio.sleep(0.9)
            away, began = True, time.monotonic()
            while monitor.report().state is not Health.DOWN:  # noqa: ASYNC110 - as a page asks
                await asyncio.sleep(0.001)
            return time.monotonic() - began

    worst = max(asyncio.run(measure()) for _ in range(10))
    record_figure("worst of 10, interval 500 ms, time-out 100 ms", f"{worst * 1000:.0f} ms")
    assert worst < 0.65


def test_a_report_costs_nothing_to_those_who_ask(record_figure: Record) -> None:
    async def measure() -> tuple[float, float]:
        monitor = HealthMonitor()
        for number in range(CHECKS):
            monitor.check(str(number), every=60)(quick(number))
            await monitor.run(str(number))
        cached = anew = float("inf")
        for _ in range(50):
            began = time.perf_counter()
            for _ in range(1_000):
                monitor.report()
            cached = min(cached, (time.perf_counter() - began) / 1_000)
        for _ in range(50):
            await monitor.run("0")
            began = time.perf_counter()
            monitor.report()
            anew = min(anew, time.perf_counter() - began)
        return cached, anew

    cached, anew = asyncio.run(measure())
    record_figure("nothing changed", f"{cached * 1e9:,.0f} ns")
    record_figure("after a run, of 500 checks", f"{anew * 1e6:,.0f} us")
