"""The manual clock: time moves only when told, and everybody acts at the time they asked for."""

import asyncio

import pytest

from mobius_infra.core import Clock, ConfigurationError, SystemClock
from mobius_infra.testing import ManualClock


async def test_sleepers_wake_in_order_each_at_its_own_time(manual_clock: ManualClock) -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await manual_clock.sleep(seconds)
        woken.append((name, manual_clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 5.0), ("early", 1.0), ("same", 5.0)):
            group.create_task(sleeper(name, seconds))
        await manual_clock.advance(4.9)
        assert woken == [("early", 1.0)]
        await manual_clock.advance(0.1)
    assert woken == [("early", 1.0), ("late", 5.0), ("same", 5.0)]


async def test_sleeps_begun_on_the_way_count_too() -> None:
    clock, beats = ManualClock(start=100.0), list[float]()

    async def beat() -> None:
        while True:
            await clock.sleep(10)
            beats.append(clock.monotonic())

    task = asyncio.create_task(beat())
    await clock.advance(35)
    task.cancel()
    assert beats == [110.0, 120.0, 130.0]
    assert clock.monotonic() == 135.0


async def test_auto_jump_makes_an_hour_of_sleeps_take_no_time() -> None:
    clock = ManualClock(auto_jump=True)

    async def worker(seconds: float) -> float:
        for _ in range(60):
            await clock.sleep(seconds)
        return clock.monotonic()

    assert list(await asyncio.gather(worker(60), worker(30))) == [3600.0, 1800.0]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.advance(0)
    assert clock.sleepers == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.sleepers == 0
    await clock.advance(2)
    assert clock.monotonic() == 2.0


def test_wall_time_moves_along_and_can_be_set_wrong() -> None:
    clock = ManualClock(epoch=1_000.0)
    clock.tick(5)
    assert (clock.monotonic(), clock.time()) == (5.0, 1_005.0)
    clock.set_time(50.0)
    assert (clock.monotonic(), clock.time()) == (5.0, 50.0)


async def test_time_can_not_go_back() -> None:
    clock = ManualClock()
    with pytest.raises(ConfigurationError):
        clock.tick(-1)
    with pytest.raises(ConfigurationError):
        await clock.advance(-1)


async def test_the_system_clock_is_a_clock_that_moves() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(-1)
    assert clock.monotonic() >= before
    assert repr(clock) == "SystemClock()"
