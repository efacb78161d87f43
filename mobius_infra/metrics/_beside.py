"""Blocking work beside the event loop: at intervals, in order, one thing at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from mobius_infra.core import Clock, require
from mobius_infra.metrics._family import Family

T = TypeVar("T")
Step = Callable[[], Awaitable[object]]


class Source(Protocol):
    """What has families to export: a `MetricsCollector`, or whatever has this one method."""

    async def collect_async(self) -> list[Family]:
        """Return all families as they are now."""
        ...


class Beside:
    """A thread and a task for one exporter.

    The thread is its own, so that a pool full of the application's work can't hold it up, and so
    that what was begun by one who gave up waiting is finished before anything else is begun: a
    thread can't be cancelled.

    Args:
        name: of the thread and the task.
        interval: seconds from one step to the next.
        clock: waits for the interval.

    Raises:
        ConfigurationError: if the interval is not positive and finite.
    """

    __slots__ = ("_clock", "_interval", "_name", "_task", "_thread")

    def __init__(self, name: str, interval: float, clock: Clock) -> None:
        require(0 < interval < float("inf"), "interval", interval, "a positive number of seconds")
        self._name = name
        self._interval = interval
        self._clock = clock
        self._thread: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Call `work` in the thread, after all that was asked for before."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def start(self, step: Step) -> None:
        """Await `step` after each interval, until `stop`."""
        self._task = asyncio.create_task(self._always(step), name=self._name)

    async def _always(self, step: Step) -> None:
        while True:
            await self._clock.sleep(self._interval)
            await step()

    async def stop(self, step: Step) -> None:
        """Await `step` a last time, and no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await step()

    async def close(self, work: Callable[[], object] = bool) -> None:
        """Call `work` in the thread, even if nobody waits for it to the end; then end it."""
        thread, self._thread = self._thread, None
        if thread is not None:
            last = thread.submit(work)
            thread.shutdown(wait=False)
            await asyncio.shield(asyncio.wrap_future(last))
