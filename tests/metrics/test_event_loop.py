"""The event loop's lateness is what was waited, and watching it leaves nothing behind."""

import asyncio
import sys
import threading
import time
from contextvars import ContextVar
from math import inf, nan

import pytest

from mobius_infra.core import ConfigurationError, Durations, SystemClock
from mobius_infra.metrics import EventLoop
from mobius_infra.testing import ManualClock

request = ContextVar[str]("request")


class Late(ManualClock):
    """A clock by which sleepers wake late."""

    __slots__ = ("late",)

    def __init__(self) -> None:
        super().__init__()
        self.late = 0.0

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.tick(self.late)


async def test_lateness_is_from_when_it_was_due() -> None:
    clock = Late()
    async with EventLoop(interval=1, clock=clock) as loop:
        await clock.advance(3.5)
        assert loop.stats().lag_seconds == 0
        clock.late = 0.2
        await clock.advance(1)
        clock.late = 0.003
        await clock.advance(1)
    stats = loop.stats()
    assert stats.worst_lag_seconds == pytest.approx(0.2)
    assert stats.late_seconds == pytest.approx(0.203)
    looks = stats.looks
    assert (looks["0.0025"], looks["0.005"], looks["0.1"], looks["0.25"], looks["+Inf"]) == (
        3, 4, 4, 5, 5,
    )  # fmt: skip
    clock.tick(120)
    assert loop.stats().worst_lag_seconds == 0  # of the last minute, and nobody looks any more


async def test_a_loop_that_hangs_is_seen_to_hang_by_another_thread() -> None:
    clock = ManualClock()
    async with EventLoop(interval=1, clock=clock) as loop:
        await clock.advance(0.5)
        clock.tick(31)  # the loop did not run since
        seen = []
        other = threading.Thread(target=lambda: seen.append(loop.stats()))
        other.start()
        other.join()
        assert (seen[0].lag_seconds, seen[0].worst_lag_seconds) == (30.5, 30.5)
        assert repr(loop) == "EventLoop('loop', lag=30.5)"


async def test_a_callback_that_blocks_the_loop_is_measured() -> None:
    """By the real clock: however slow the machine, it was late at least by this much."""
    async with EventLoop(interval=0.001, clock=SystemClock()) as loop:
        await asyncio.sleep(0.005)
        time.sleep(0.05)
        await asyncio.sleep(0.005)
        assert loop.stats().worst_lag_seconds > 0.04


async def test_tasks_that_are_not_done_are_counted(manual_clock: ManualClock) -> None:
    async with EventLoop(clock=manual_clock) as loop:
        before = loop.stats().tasks  # at once
        assert before is not None
        waiting = [asyncio.create_task(asyncio.sleep(1000)) for _ in range(7)]
        assert loop.stats().tasks == before  # counted lately
        await manual_clock.advance(1)
        assert loop.stats().tasks == before + 7
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await manual_clock.advance(1)
        assert loop.stats().tasks == before


async def test_its_task_ends_with_it_however_often_it_is_entered(
    manual_clock: ManualClock,
) -> None:
    before = asyncio.all_tasks()
    request.set("one request's")
    loop = EventLoop(clock=manual_clock)
    for _ in range(3):
        async with loop:
            with pytest.raises(ConfigurationError, match="entered once at a time"):
                await loop.__aenter__()
            await asyncio.sleep(0)
            (task,) = asyncio.all_tasks() - before
            if sys.version_info >= (3, 12):
                assert request not in task.get_context()
        assert asyncio.all_tasks() == before
        assert manual_clock.sleepers == 0
    manual_clock.tick(5)
    assert (loop.stats().lag_seconds, loop.stats().tasks) == (0, None)


async def test_whoever_leaves_it_cancelled_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()

    async def serve() -> None:
        async with EventLoop():
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks() - before) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("seconds", [0, -1, nan, inf, True])
def test_what_makes_no_sense_is_refused(seconds: float) -> None:
    for field in ("interval", "keep"):
        with pytest.raises(ConfigurationError, match=field):
            EventLoop(**{field: seconds})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="name"):
        EventLoop("")


def test_durations_are_counted_by_length() -> None:
    durations = Durations()
    for seconds in (0.0, 0.001, 0.0011, 0.5, 1.0, 7.0):
        durations.add(seconds)
    within = durations.within()
    assert (within["0.001"], within["0.0025"], within["0.5"], within["1"]) == (2, 3, 4, 5)
    assert within["+Inf"] == durations.count == 6
    assert durations.total == pytest.approx(8.5021)
    assert repr(durations) == "Durations(count=6, longest=7)"
