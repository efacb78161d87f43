"""How late the event loop runs what is due, and how much waits in it."""

import asyncio
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass
from typing import Self

from mobius_infra.core import (
    Clock,
    Durations,
    Events,
    Kept,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)
from mobius_infra.metrics._checks import require_seconds
from mobius_infra.metrics._moments import Window


@dataclass(frozen=True, slots=True)
class EventLoopStats(Stats):
    """What an event loop did since it is watched."""

    lag_seconds: float = gauge("How late the loop is now")
    worst_lag_seconds: float = gauge("How late it was at worst in the last minute")
    late_seconds: float = counter("Lateness of all looks together")
    looks: Mapping[str, int] = counter("Looks that were late by at most so much", label="within")
    tasks: int | None = gauge("Tasks that are not done")


class EventLoop:
    """Watches the event loop that it is entered in.

        async with EventLoop() as loop:
            metrics.watch(loop)

    A task sleeps for `interval` and sees how late it wakes: what it had to wait for, everything
    else in the loop had to wait for too. Four looks a second cost about 0.01 % of a processor. A
    callback that blocks for less than `interval` may fall between two looks; one that blocks for
    longer is always seen, and its length known within `interval`.

    Args:
        name: for its numbers.
        interval: seconds between two looks.
        keep: seconds for which the number of tasks holds: counting them takes time for each one.
        clock: measures the lateness, and sleeps.

    Raises:
        ConfigurationError: if `name` is empty, or a time is not positive and finite.
    """

    __slots__ = (
        "__weakref__", "_clock", "_due", "_interval", "_keep", "_lag", "_lags", "_recent",
        "_task", "_tasks", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str = "loop",
        *,
        interval: float = 0.25,
        keep: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "a name for its numbers")
        require_seconds("interval", interval)
        require_seconds("keep", keep)
        self.name = name
        self.events = Events()
        self._clock = clock or SystemClock()
        self._interval = interval
        self._lag = 0.0
        self._lags = Durations()
        self._recent = Window(60, clock=self._clock)
        self._due: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._keep = keep
        self._tasks: Kept[int] | None = None

    async def __aenter__(self) -> Self:
        require(self._task is None, "event loop", self.name, "entered once at a time")
        loop = asyncio.get_running_loop()
        # In a context of its own: it would keep that of some request for ever.
        self._task = loop.create_task(
            self._watch(), name=f"watch event loop {self.name}", context=Context()
        )
        self._tasks = Kept(lambda _: len(asyncio.all_tasks(loop)), self._keep, self._clock)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        task, self._task, self._tasks = self._task, None, None
        self._due, self._lag = None, 0.0
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            self._due = self._clock.monotonic() + self._interval
            await self._clock.sleep(self._interval)
            self._lag = self._overdue()
            self._lags.add(self._lag)
            self._recent.add(self._lag)

    def _overdue(self) -> float:
        return 0.0 if self._due is None else max(self._clock.monotonic() - self._due, 0.0)

    def stats(self) -> EventLoopStats:
        """Return the numbers. Another thread may ask too, and sees a loop that hangs hang."""
        overdue, tasks = self._overdue(), self._tasks
        return EventLoopStats(
            lag_seconds=max(self._lag, overdue),
            worst_lag_seconds=max(self._recent.read().max, overdue),
            late_seconds=self._lags.total,
            looks=self._lags.within(),
            tasks=None if tasks is None else tasks.value(),
        )

    def __repr__(self) -> str:
        return f"EventLoop({self.name!r}, lag={max(self._lag, self._overdue()):g})"
