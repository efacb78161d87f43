"""Threads for what blocks: limits, context, and threads whose caller has gone."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import assert_type

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.perf import Threads, WorkClosedError, WorkFullError, run_in_threads

pytestmark = pytest.mark.usefixtures("nothing_is_left")

who: ContextVar[str] = ContextVar("who", default="nobody")


class Gate:
    """A blocking function that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.opened = threading.Semaphore(0)

    def __call__(self, item: str = "") -> str:
        self.begun += 1
        assert self.opened.acquire(timeout=60)
        return item

    def open(self, number: int = 1) -> None:
        self.opened.release(number)


async def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def names(threads: Threads) -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(threads.name)]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def threads(gate: Gate) -> AsyncIterator[Threads]:
    threads = run_in_threads("t", limit=2, queue=1, most_abandoned=1)
    yield threads
    gate.open(20)
    await threads.close(60)
    await until(lambda: not names(threads))


async def test_a_blocking_function_becomes_an_async_one_with_the_callers_context(
    threads: Threads,
) -> None:
    @threads
    def work(item: int, *, twice: bool = False) -> tuple[int, str, bool]:
        there = threading.current_thread()
        return item, who.get(), there is not threading.main_thread() and there.daemon

    who.set("me")
    result = await work(1, twice=True)
    assert_type(result, tuple[int, str, bool])
    assert result == (1, "me", True)
    assert await threads.run(str, 5) == "5"


async def test_errors_come_to_the_caller(threads: Threads) -> None:
    def broken() -> None:
        raise OSError("gone")

    def stop() -> None:
        raise StopIteration

    with pytest.raises(OSError, match="gone"):
        await threads.run(broken)
    with pytest.raises(RuntimeError):
        await threads.run(stop)
    assert await threads.run(str, 1) == "1"


async def test_no_more_run_than_the_limit_and_no_more_wait_than_the_queue(
    threads: Threads, gate: Gate
) -> None:
    tasks = [asyncio.create_task(threads.run(gate, each)) for each in "abc"]
    await until(lambda: gate.begun == 2)
    with pytest.raises(WorkFullError, match="its limit is 2, 1 wait"):
        await threads.run(gate)
    assert repr(threads) == "Threads('t', 2 of 2 under way, 0 abandoned)"
    gate.open(3)
    assert [await each for each in tasks] == list("abc")
    assert len(names(threads)) == 2


async def test_who_is_cancelled_while_he_waits_never_runs(threads: Threads, gate: Gate) -> None:
    tasks = [asyncio.create_task(threads.run(gate, each)) for each in "abc"]
    await until(lambda: gate.begun == 2)
    tasks[2].cancel()
    await asyncio.wait(tasks[2:])
    gate.open(2)
    await asyncio.gather(*tasks[:2])
    assert gate.begun == 2
    assert threads.stats().waiting == 0


async def test_a_turn_given_to_one_who_is_just_cancelled_is_not_lost(
    threads: Threads, gate: Gate
) -> None:
    tasks = [asyncio.create_task(threads.run(gate, each)) for each in "ab"]
    await until(lambda: gate.begun == 2)
    waiting = asyncio.create_task(threads.run(gate, "c"))
    await asyncio.sleep(0)
    gate.open()
    while threads.stats().waiting:
        await asyncio.sleep(0)
    waiting.cancel()
    gate.open()
    await asyncio.wait([waiting, *tasks])
    assert waiting.cancelled()
    assert threads.stats().under_way == threads.stats().abandoned == 0


async def test_one_cancelled_as_his_answer_comes_abandons_no_thread(
    threads: Threads, gate: Gate
) -> None:
    task = asyncio.create_task(threads.run(gate))
    await until(lambda: gate.begun == 1)
    gate.open()
    while threads.stats().under_way:
        await asyncio.sleep(0)
    task.cancel()  # before its turn comes
    await asyncio.wait([task])
    assert task.cancelled()
    stats = threads.stats()
    assert (stats.under_way, stats.abandoned, stats.given_up) == (0, 0, 0)


async def test_an_error_is_freed_without_the_garbage_collector(threads: Threads) -> None:
    class BrokenError(Exception):
        pass

    def fail() -> None:
        raise BrokenError

    gc.disable()
    try:
        try:
            await threads.run(fail)
        except BrokenError as error:
            left = weakref.ref(error)
        await until(lambda: left() is None)
    finally:
        gc.enable()


async def test_abandoned_threads_are_replaced_up_to_a_cap_and_counted(
    threads: Threads, gate: Gate
) -> None:
    async def abandon(number: int) -> None:
        begun = gate.begun
        tasks = [asyncio.create_task(threads.run(gate)) for _ in range(number)]
        await until(lambda: gate.begun == begun + number)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    await abandon(2)
    stats = threads.stats()
    assert (stats.abandoned, stats.given_up, stats.under_way) == (2, 2, 0)
    # One doesn't count; the other keeps its place.
    one = asyncio.create_task(threads.run(gate, "one"))
    await until(lambda: gate.begun == 3)
    waits = asyncio.create_task(threads.run(gate, "waits"))
    await asyncio.sleep(0.02)
    assert gate.begun == 3
    gate.open(4)
    assert (await one, await waits) == ("one", "waits")
    await until(lambda: threads.stats().abandoned == 0)
    await until(lambda: len(names(threads)) == 2)


async def test_closing_waits_for_who_works_and_refuses_who_waits(
    threads: Threads, gate: Gate
) -> None:
    tasks = [asyncio.create_task(threads.run(gate, each)) for each in "abc"]
    await until(lambda: gate.begun == 2)
    closing = asyncio.create_task(threads.close())
    with pytest.raises(WorkClosedError):
        await tasks[2]
    assert not closing.done()
    assert await threads.close(0.01) == 2
    with pytest.raises(WorkClosedError):
        await threads.run(gate)
    gate.open(2)
    assert await closing == 0
    await asyncio.gather(*tasks[:2])
    await until(lambda: not names(threads))


def test_a_thread_that_outlives_its_loop_is_forgotten_when_it_ends(gate: Gate) -> None:
    threads = run_in_threads("outlives", limit=1, queue=0, most_abandoned=0)

    async def hang() -> None:
        task = asyncio.create_task(threads.run(gate))
        await until(lambda: gate.begun == 1)
        task.cancel()
        await asyncio.wait([task])
        assert threads.stats().abandoned == 1

    asyncio.run(hang())
    gate.open()

    async def again() -> str:
        await until(lambda: bool(threads._late))
        return await threads.run(str, 1)

    assert asyncio.run(again()) == "1"
    assert threads.stats().abandoned == 0


async def test_threads_end_with_what_made_them() -> None:
    threads = run_in_threads("ends")
    await threads.run(str, 1)
    assert len(names(threads)) == 1
    del threads
    await until(lambda: not [each for each in threading.enumerate() if each.name == "ends-1"])


async def test_what_can_not_work_is_refused() -> None:
    for field in ("limit", "queue", "most_abandoned", "grace"):
        with pytest.raises(ConfigurationError, match=field):
            run_in_threads("t", **{field: -1})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="needs no thread"):
        run_in_threads("t")(asyncio.sleep)
