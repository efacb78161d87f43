"""Who holds up the loop is named, while it happens and after."""

import asyncio
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError, SystemClock
from mobius_infra.perf import LoopBlocked, LoopMonitor, find_stuck_tasks, loop_factory
from mobius_infra.perf._watchdog import MOST_SAMPLES, Watchdog
from mobius_infra.testing import ManualClock

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def block_until(done: Callable[[], bool]) -> None:
    """Hold up the loop, as a program that calculates does."""
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end


def dog(**options: Any) -> Watchdog:
    return Watchdog(
        "loop", **{"slow": 1.0, "hang": 5.0, "thread": threading.get_ident(), "now": 0.0} | options
    )


async def blocked(slow: float = 0.02) -> LoopBlocked:
    """Hold up the loop until the thread has seen it, and return what it tells."""
    told: list[Any] = []
    async with LoopMonitor(slow=slow) as monitor:
        monitor.events.subscribe(told.append)
        watch = monitor._dog
        assert watch is not None
        while not monitor.stats().looks["+Inf"]:
            await asyncio.sleep(0.001)
        turn, began = watch.turn, time.monotonic()
        block_until(lambda: watch._samples[0] == turn and time.monotonic() > began + 2 * slow)
        while not any("block_until" in str(each) for each in told):
            await asyncio.sleep(0.001)
        stats = monitor.stats()
        assert stats.blocked >= 1
        assert stats.blocked_seconds >= slow
        assert monitor.blocks[-1] in told
    found: LoopBlocked = next(each for each in told if "block_until" in str(each))
    return found


async def test_the_code_that_holds_up_the_loop_is_named_line_by_line() -> None:
    block = await blocked()
    assert any("in block_until" in line for line in block.stack)
    assert "test_loop.py" in str(block)
    # Nothing of the loop, nor of what started it.
    assert "in test_the_code_that_holds_up" in block.stack[0] or "in blocked" in str(block)
    assert not re.search(r"run_forever|_run_once|runners\.py|Handle\._run", str(block))
    assert sum(block.samples.values()) >= 1


def test_so_it_is_on_uvloop() -> None:
    pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        block = runner.run(blocked())
    assert any("in block_until" in line for line in block.stack)
    assert "runners.py" not in str(block)


def test_it_looks_only_while_the_loop_is_late() -> None:
    watch = dog()
    watch.beat(due=1.0, depth=0)
    watch.look(1.2, 0.25)
    assert watch.beat(due=2.0, depth=0) == ({}, 0.0)
    watch.look(2.25, 0.25)
    watch.look(2.5, 0.25)
    seen, _ = watch.beat(due=3.0, depth=0)
    assert sum(seen.values()) == 2
    assert watch.beat(due=4.0, depth=0) == ({}, 0.0)  # of this turn nothing was seen


def test_a_stack_of_the_next_turn_is_not_taken_for_this_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = dog()
    watch.beat(due=1.0, depth=0)

    def goes_on(*_: object) -> tuple[str, ...]:
        watch.beat(due=5.0, depth=0)
        return ("another callback",)

    monkeypatch.setattr("mobius_infra.perf._watchdog.read_stack", goes_on)
    watch.look(7.0, 0.25)
    assert watch.beat(due=6.0, depth=0)[0] == {}
    assert not caplog.records


def test_a_block_is_sampled_so_often_and_no_more() -> None:
    watch = dog(hang=1e9)
    watch.look(1.0, 1.0)
    watch.beat(due=1.0, depth=0)
    for number in range(500):
        watch.look(2.0 + number, 1.0)
    seen, still = watch.beat(due=1000.0, depth=0)
    assert sum(seen.values()) == MOST_SAMPLES
    assert still == 0


def test_that_the_watching_thread_stood_still_too_is_told() -> None:
    watch = dog()
    watch.look(0.9, 0.9)
    watch.beat(due=1.0, depth=0)
    watch.look(4.0, 0.25)
    assert watch.beat(due=5.0, depth=0)[1] == pytest.approx(2.85)
    assert watch.beat(due=6.0, depth=0)[1] == 0


def test_a_loop_that_waits_is_in_no_callback() -> None:
    depth = 0
    frame = sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    watch = dog()
    watch.beat(due=1.0, depth=depth + 5)
    watch.look(2.0, 0.25)
    assert watch.beat(due=3.0, depth=0)[0] == {(): 1}


def test_a_loop_that_hangs_is_logged_once_by_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    watch = dog()
    watch.beat(due=1.0, depth=0)
    for at in (5.9, 6.1, 7.0, 8.0):
        watch.look(at, 1.0)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "event loop 'loop' hangs for 5.1 s in" in record.message
    assert "test_a_loop_that_hangs" in record.message
    watch.beat(due=9.0, depth=0)
    watch.look(15.0, 1.0)
    assert len(caplog.records) == 2


async def test_lateness_is_a_histogram(manual_clock: ManualClock) -> None:
    async with LoopMonitor(slow=1.0, clock=manual_clock) as monitor:
        for late in (0.0, 0.004, 0.2, 1.5):
            await asyncio.sleep(0)  # the timer's task begins to sleep
            manual_clock.tick(0.5 + late)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        stats = monitor.stats()
        assert stats.late_seconds == pytest.approx(1.704)
        assert (stats.looks["0.001"], stats.looks["0.005"], stats.looks["0.25"]) == (1, 2, 3)
        assert stats.blocked == 1
        assert stats.blocked_seconds == pytest.approx(1.5)
        manual_clock.tick(31)
        assert monitor.stats().lag_seconds == pytest.approx(30.5)
        assert repr(monitor) == "LoopMonitor('loop', lag=30.5, blocked=1)"


async def test_it_ends_with_its_block_however_often_it_is_entered() -> None:
    monitor = LoopMonitor(clock=SystemClock())
    for _ in range(3):
        async with monitor:
            thread = monitor._thread
            assert thread is not None
            with pytest.raises(ConfigurationError, match="entered once at a time"):
                await monitor.__aenter__()
        await asyncio.to_thread(thread.join, 30)
        assert not thread.is_alive()
    assert monitor.stats().lag_seconds == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("slow", 0), ("slow", nan), ("slow", True), ("hang", 0.05), ("hang", inf), ("keep", 0)],
)
def test_what_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        LoopMonitor(**{field: value})  # type: ignore[arg-type]


async def stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_tasks_that_wait_for_each_other_are_found() -> None:
    """Three in a ring, one of them by a `gather`, and one that waits for the ring."""
    tasks: dict[str, asyncio.Task[Any]] = {}
    gathered: list[asyncio.Future[Any]] = []

    async def wait_for(*names: str) -> None:
        await asyncio.sleep(0)
        if len(names) == 1:
            await tasks[names[0]]
        else:
            gathered.append(asyncio.gather(*(tasks[name] for name in names)))
            await gathered[0]

    async def sleep() -> None:
        await asyncio.sleep(1000)

    tasks["slow"] = asyncio.create_task(sleep(), name="slow")
    for name, others in {"a": ["b"], "b": ["c", "slow"], "c": ["a"], "d": ["a"]}.items():
        tasks[name] = asyncio.create_task(wait_for(*others), name=name)
    tasks["patient"] = asyncio.create_task(wait_for("slow"), name="patient")
    for _ in range(5):
        await asyncio.sleep(0)
    stuck = find_stuck_tasks()
    assert [(each.task, each.why, each.waits_for) for each in stuck] == [
        ("a", "cycle", ("b",)), ("b", "cycle", ("c", "slow")),
        ("c", "cycle", ("a",)), ("d", "cycle", ("a",)),
    ]  # fmt: skip
    assert all("wait_for" in each.where and "test_loop.py" in each.where for each in stuck)
    gathered[0].set_result([])  # a ring can't be cancelled: it would be so without end
    await asyncio.gather(*(tasks[name] for name in "abcd"))
    await stop(tasks["slow"], tasks["patient"])


async def test_a_future_that_nobody_can_set_is_found_and_no_other() -> None:
    loop = asyncio.get_running_loop()
    kept: list[asyncio.Future[None]] = []

    async def forgotten() -> None:
        future = loop.create_future()
        await future

    async def somebody_has_it() -> None:
        future = loop.create_future()
        kept.append(future)
        await future

    event = asyncio.Event()
    tasks = [
        asyncio.create_task(forgotten(), name="forgotten"),
        asyncio.create_task(somebody_has_it(), name="kept"),
        asyncio.create_task(asyncio.sleep(1000), name="sleeps"),
        asyncio.create_task(event.wait(), name="event"),
    ]
    for _ in range(3):
        await asyncio.sleep(0)
    stuck = find_stuck_tasks()
    assert [(each.task, each.why) for each in stuck] == [("forgotten", "unset")]
    assert "forgotten" in stuck[0].where
    await stop(*tasks)
