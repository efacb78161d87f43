"""Blocking work beside the event loop: at intervals, in order, one thing at a time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mobius_infra.core import Clock, Event, Events, require
from mobius_infra.metrics._family import Family

log = logging.getLogger("mobius_infra")

T = TypeVar("T")
Step = Callable[[], Awaitable[object]]


class Source(Protocol):
    """What has families to export: a `MetricsCollector`, or whatever has this one method."""

    async def collect_async(self) -> list[Family]:
        """Return all families as they are now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFailed(Event):
    """The numbers could not be collected, written or sent. Said once, until they can be again.

    Attributes:
        reason: what the system said.
    """

    reason: str


def gently(parts: Iterable[T]) -> Iterator[T]:
    """Give `parts` in a thread, and let go of the interpreter after each.

    Who does not let go of it has the event loop wait for 5 ms, and until a call into C returns.
    """
    for part in parts:
        yield part
        time.sleep(0)


class Beside:
    """A thread and a task for one exporter, and what becomes of its failures.

    The thread is its own, so that a pool full of the application's work can't hold it up, and so
    that what was begun by one who gave up waiting is finished before anything else is begun: a
    thread can't be cancelled.

    Args:
        name: of the exporter.
        interval: seconds from one step to the next.
        clock: waits for the interval.

    Attributes:
        events: hears of `ExportFailed`.
        failures: steps that failed.

    Raises:
        ConfigurationError: if the interval is not positive and finite.
    """

    __slots__ = (
        "_clock", "_failing", "_interval", "_name", "_task", "_thread", "events", "failures",
    )  # fmt: skip

    def __init__(self, name: str, interval: float, clock: Clock) -> None:
        require(0 < interval < float("inf"), "interval", interval, "a positive number of seconds")
        self.events = Events()
        self.failures = 0
        self._failing = False
        self._name = name
        self._interval = interval
        self._clock = clock
        self._thread: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Call `work` in the thread, after all that was asked for before."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"metrics {self._name}")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def attempt(self, step: Step) -> bool:
        """Await `step`; whatever it raises is logged and counted. Say whether it went well."""
        try:
            await step()
        except Exception as error:  # of whatever is collected, too: the next time may be better
            self.failures += 1
            if not self._failing:
                self._failing = True
                log.exception("the metrics of %r could not be exported", self._name)
                now = self._clock.time()
                self.events.emit(ExportFailed(source=self._name, at=now, reason=str(error)))
            return False
        self._failing = False
        return True

    def start(self, step: Step) -> None:
        """Await `step` after each interval, until `stop`."""
        self._task = asyncio.create_task(self._always(step), name=f"metrics {self._name}")

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

    async def close(self, work: Callable[[], object] = lambda: None) -> None:
        """Call `work` in the thread, even if nobody waits for it to the end; then end it."""
        thread, self._thread = self._thread, None
        if thread is not None:
            last = thread.submit(work)
            thread.shutdown(wait=False)
            await asyncio.shield(asyncio.wrap_future(last))
