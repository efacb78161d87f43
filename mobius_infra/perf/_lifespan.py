"""Starts what a service is made of, and ends it so that nothing under way is lost."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Literal, Self

from mobius_infra.core import (
    Clock,
    Event,
    Events,
    Stats,
    SystemClock,
    call_later,
    counter,
    gauge,
    require,
    state,
)
from mobius_infra.perf._checks import is_number, require_name

log = logging.getLogger("mobius_infra")

# Any: what the user's functions return; it is awaited if it can be.
Work = Callable[[], Any]
Phase = Literal["new", "starting", "ready", "draining", "closing", "closed"]

LINGER = 1.0
"""Seconds that work which was cancelled at its deadline is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifespanChanged(Event):
    """A service came into another phase."""

    phase: Phase
    before: Phase


@dataclass(frozen=True, slots=True)
class LifespanStats(Stats):
    """The numbers of a life cycle."""

    phase: str = state("new, starting, ready, draining, closing or closed")
    parts: int = gauge("Parts that have started and are not closed")
    overdue: int = counter("Parts that were not drained or closed in time")
    failures: int = counter("Parts whose draining or closing raised")


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    start: Work | None
    drain: Work | None
    close: Work | None
    after: tuple[str, ...]


class Lifespan:
    """The life of a service: from its start to the end of its last request.

        life = Lifespan("bot", drain_timeout=20)
        life.add("database", database.open, close=database.close)
        life.add("http", server.start, drain=server.drain, close=server.stop, after=["database"])

        async def main() -> None:
            async with life:
                await life.wait()  # until SIGTERM, SIGINT or `life.stop()`

    Parts start one after the other, each after those that it needs. If one can't, those that have
    started are closed and its error is raised. At the end the service is `ready` no longer, for
    `notice` seconds, so that no new work is sent to it. Then each part's `drain` is called, all at
    once: it stops taking work and returns when none is left. After `drain_timeout` it is
    cancelled. Then all are closed, in reverse; one that raises is logged and keeps none from being
    closed. A second signal ends the draining at once.

    Args:
        name: for numbers and events.
        notice: seconds between being ready no longer and taking no more work: as long as whoever
            sends work needs to see that.
        drain_timeout: seconds for work that is under way.
        close_timeout: seconds for each part to close.
        signals: which of the process's end it; none where that is somebody else's matter.
        clock: for all of these.

    Raises:
        ConfigurationError: if a time is negative or no number.
    """

    __slots__ = (
        "__weakref__", "_clock", "_close_timeout", "_drain_timeout", "_drains", "_failures",
        "_handlers", "_notice", "_order", "_overdue", "_parts", "_signals", "_stop", "events",
        "name", "phase",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        notice: float = 0.0,
        drain_timeout: float = 20.0,
        close_timeout: float = 5.0,
        signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
        clock: Clock | None = None,
    ) -> None:
        require_name(name)
        for field, value in (
            ("notice", notice), ("drain_timeout", drain_timeout), ("close_timeout", close_timeout),
        ):  # fmt: skip
            require(is_number(value) and value >= 0, field, value, "seconds, zero or more")
        self.name = name
        self.events = Events()
        self.phase: Phase = "new"
        self._notice, self._drain_timeout = notice, drain_timeout
        self._close_timeout = close_timeout
        self._signals = tuple(signals)
        self._clock = clock or SystemClock()
        self._parts: dict[str, _Part] = {}
        self._order: list[_Part] = []  # those that have started
        self._handlers: dict[signal.Signals, Any] = {}
        self._stop = asyncio.Event()
        self._drains: asyncio.Task[None] | None = None
        self._overdue = self._failures = 0

    def add(
        self,
        name: str,
        start: Work | None = None,
        *,
        drain: Work | None = None,
        close: Work | None = None,
        after: Iterable[str] = (),
    ) -> None:
        """Add a part. Its functions may be async or not; one that is not must not block.

        Args:
            name: of the part, for errors and for `after` of others.
            start: makes it able to work.
            drain: takes no more work, and returns when none is under way.
            close: gives back what it holds.
            after: parts that must have started before, and are closed later.
        """
        require(self.phase == "new", "part", name, "added before the start")
        require(name not in self._parts, "part", name, "added once")
        require(not isinstance(after, str), "after", after, 'a list of names, such as ["database"]')
        self._parts[name] = _Part(name, start, drain, close, tuple(after))

    @property
    def ready(self) -> bool:
        """Whether work may be sent to it: for a readiness probe."""
        return self.phase == "ready"

    async def __aenter__(self) -> Self:
        require(self.phase == "new", "lifespan", self.name, "entered once")
        order = in_order({part.name: part.after for part in self._parts.values()})
        self._stop = asyncio.Event()
        self._enter("starting")
        self._listen()
        try:
            for name in order:
                part = self._parts[name]
                await _call(part.start)
                self._order.append(part)
        except BaseException:
            await self._close()
            raise
        self._enter("ready")
        return self

    async def wait(self) -> None:
        """Return when it is to end: a signal came, or somebody called `stop`."""
        await self._stop.wait()

    def stop(self) -> None:
        """End `wait`; the second time, end the draining at once."""
        if self._stop.is_set() and self._drains is not None:
            self._drains.cancel()
        self._stop.set()

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self._drain()
        finally:
            await self._close()

    async def _drain(self) -> None:
        self._stop.set()
        self._enter("draining")
        self._drains = asyncio.ensure_future(self._drain_all())
        try:
            await asyncio.wait([self._drains])
        finally:
            self._drains.cancel()
            self._drains = None

    async def _drain_all(self) -> None:
        await self._clock.sleep(self._notice)
        drains = [part for part in reversed(self._order) if part.drain is not None]
        timeout = self._drain_timeout
        await asyncio.gather(
            *(self._within(timeout, "drained", part.name, part.drain) for part in drains)
        )

    async def _close(self) -> None:
        self._enter("closing")
        cancelled: asyncio.CancelledError | None = None
        while self._order:
            part = self._order.pop()
            try:
                await self._within(self._close_timeout, "closed", part.name, part.close)
            except asyncio.CancelledError as error:  # the others have to be closed all the same
                cancelled = error
        self._forget_signals()
        self._enter("closed")
        if cancelled is not None:
            raise cancelled

    async def _within(self, seconds: float, what: str, name: str, work: Work | None) -> None:
        """Do a part's work; cancel it after `seconds`, and leave it if it does not mind."""
        if work is None:
            return
        task = asyncio.ensure_future(_call(work))
        over = asyncio.Event()
        task.add_done_callback(lambda _: over.set())

        def too_late() -> None:
            task.cancel()

        stops = [
            call_later(self._clock, seconds, too_late),
            call_later(self._clock, seconds + LINGER, over.set),
        ]
        try:
            await over.wait()
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            for stop in stops:
                stop()
        if not task.done() or task.cancelled():
            self._overdue += 1
            log.error("%r: %r was not %s within %g s", self.name, name, what, seconds)
        elif (error := task.exception()) is not None:
            self._failures += 1
            log.error("%r: %r could not be %s", self.name, name, what, exc_info=error)

    def _enter(self, phase: Phase) -> None:
        before, self.phase = self.phase, phase
        at = self._clock.time()
        self.events.emit(LifespanChanged(source=self.name, at=at, phase=phase, before=before))

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for each in self._signals:
            before = signal.getsignal(each)
            # Windows' loops can't, and no thread but the main one may.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(each, self.stop)
                self._handlers[each] = before

    def _forget_signals(self) -> None:
        loop = asyncio.get_running_loop()
        while self._handlers:
            each, before = self._handlers.popitem()
            loop.remove_signal_handler(each)
            if before is not None:  # else it was not set from Python
                signal.signal(each, before)

    def stats(self) -> LifespanStats:
        """Return the numbers as they are now."""
        return LifespanStats(
            phase=self.phase,
            parts=len(self._order),
            overdue=self._overdue,
            failures=self._failures,
        )

    def __repr__(self) -> str:
        return f"Lifespan({self.name!r}, {self.phase}, parts={len(self._parts)})"


async def _call(work: Work | None) -> None:
    answer: Awaitable[object] | object = None if work is None else work()
    if isawaitable(answer):
        await answer


def in_order(after: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names so that each comes after those that it needs, otherwise as they were added.

    Raises:
        ConfigurationError: for a name that there is not, and for parts that need each other.
    """
    for name, needs in after.items():
        for need in needs:
            require(need in after, f"after of {name!r}", need, "a part that was added")
    order: list[str] = []
    left = dict(after)
    while left:
        free = [name for name, needs in left.items() if all(need in order for need in needs)]
        require(bool(free), "after", sorted(left), "without parts that wait for each other")
        order.append(free[0])
        del left[free[0]]
    return order
