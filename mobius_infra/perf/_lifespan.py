"""A service from its start to its end: parts in order, a signal, a drain, and the parts in reverse.

Parts are entered and left in one task, one after the other: what is inside them may hold task
groups and cancel scopes, which must be left where they were entered.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from graphlib import CycleError, TopologicalSorter
from math import inf
from types import TracebackType
from typing import Self

from mobius_infra.core import (
    Clock,
    ConfigurationError,
    Events,
    SystemClock,
    require,
)
from mobius_infra.perf._checks import require_name, require_seconds
from mobius_infra.perf._lifespan_signals import SIGNALS, listening
from mobius_infra.perf._lifespan_told import (
    LifeChanged,
    LifespanStats,
    LifeState,
    PartFailed,
    Phase,
)
from mobius_infra.perf._pool_timer import Limit, within

log = logging.getLogger("mobius_infra")

Drain = Callable[[], Awaitable[object]]
Part = AbstractAsyncContextManager[object]


@dataclass(frozen=True, slots=True)
class _Entry:
    part: Part
    drain: Drain | None
    needs: tuple[str, ...]


class Lifespan:
    """Starts the parts of a service in order, and ends them in reverse when it is told to.

        life = Lifespan("shop", grace=25)
        life.add("database", pool)
        life.add("orders", queue, drain=queue.drain, needs=["database"])
        await life.run()  # until SIGTERM or SIGINT

    At the end, in this order:

    1. `ready` is False at once, so that whoever sends work here is told to send it elsewhere.
       For `settle` seconds the service still takes what comes.
    2. Each part's `drain` is awaited, the last one started first: it takes nothing new, and
       finishes what it has.
    3. Each part is closed, in the same order.

    All of it has `grace` seconds. What is not drained by then is closed nevertheless, and each part
    has `parting` seconds more to close; then it is cancelled, and the next one's turn has come. A
    second signal does as if `grace` were over. Told to end while it starts, it starts no further
    part, and gives the present one `grace` seconds. No part's failure keeps another from being
    closed.

    Args:
        name: for numbers and events.
        grace: seconds from the signal until all should have ended: less than whoever sends it
            waits before it kills, which is 30 with Kubernetes and 10 with Docker.
        settle: seconds of `grace` in which the service is no longer ready, but still takes work:
            as long as a load balancer takes to notice.
        start_timeout: seconds that one part may take to start.
        parting: seconds that one part may take to close once `grace` is over.
        clock: measures all of them.

    Raises:
        ConfigurationError: for a value out of range.
    """

    __slots__ = (
        "_clock", "_deadline", "_entered", "_entries", "_failures", "_grace", "_hurry", "_limit",
        "_parting", "_reason", "_settle", "_start_by", "_start_timeout", "_state", "_stop",
        "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        grace: float = 25.0,
        settle: float = 0.0,
        start_timeout: float = 60.0,
        parting: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        require_name(name)
        require_seconds("grace", grace)
        require_seconds("settle", settle)
        require_seconds("start_timeout", start_timeout)
        require_seconds("parting", parting)
        require(settle <= grace, "settle", settle, f"at most grace, {grace:g}")
        self.name = name
        self.events = Events()
        self._grace = grace
        self._settle = settle
        self._start_timeout = start_timeout
        self._parting = parting
        self._clock = clock or SystemClock()
        self._entries: dict[str, _Entry] = {}
        self._entered: list[str] = []
        self._state: LifeState = "new"
        self._reason = ""
        self._deadline = inf
        self._start_by = inf
        self._limit: Limit | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._failures: dict[str, int] = dict.fromkeys(("start", "drain", "close"), 0)

    # What it consists of.

    def add(
        self, name: str, part: Part, *, drain: Drain | None = None, needs: Collection[str] = ()
    ) -> None:
        """Add a part, before the start.

        Args:
            name: for events and errors.
            part: entered at the start, left at the end.
            drain: takes nothing new and returns when what it has is done.
            needs: names of parts that start before it and are closed after it. They may be added
                later. Parts that don't need each other start in the order in which they were added.

        Raises:
            ConfigurationError: for what is no part, or a name that another has.
        """
        require(self._state == "new", "part", name, "added before the start")
        require(name not in self._entries, "part", name, "a name that no other part has")
        good = isinstance(part, AbstractAsyncContextManager)
        require(good, f"part {name}", part, "an async context manager")
        require(drain is None or callable(drain), "drain", drain, "an async function")
        require(not isinstance(needs, str), "needs", needs, "a list of names")
        self._entries[name] = _Entry(part, drain, tuple(needs))

    def order(self) -> list[str]:
        """Return the parts' names as they start.

        Raises:
            ConfigurationError: for a part that is needed and not there, or parts that need each
                other, with the path.
        """
        for name, entry in self._entries.items():
            for other in entry.needs:
                known = ", ".join(self._entries)
                require(other in self._entries, f"needs of {name}", other, f"one of {known}")
        sorter = TopologicalSorter({name: each.needs for name, each in self._entries.items()})
        try:
            return list(sorter.static_order())
        except CycleError as error:
            path = " needs ".join(reversed(error.args[1]))
            raise ConfigurationError("needs", path, "no circle") from None

    # How it goes.

    @property
    def state(self) -> LifeState:
        """Say where in its life it is."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether it takes work: what a readiness probe should say."""
        return self._state == "ready"

    def stop(self, reason: str = "asked to") -> None:
        """Begin to end; called again, stop waiting for what is not done. For the loop's thread."""
        now = self._clock.monotonic()
        if self._stop.is_set():
            self._hurry.set()
            self._end_by(now)
            return
        self._reason = reason
        self._stop.set()
        self._end_by(now + self._grace)
        if self._state == "ready":  # else it is not up yet, or ends already
            self._change("draining")

    def _end_by(self, moment: float) -> None:
        if moment >= self._deadline:
            return  # a third signal gives no more time than the second
        self._deadline = moment
        if self._limit is not None:
            self._limit.within(self._left())

    def _left(self) -> float:
        """Return the seconds that what goes on may take."""
        left = self._deadline - self._clock.monotonic()
        if self._state == "starting":
            return max(min(left, self._start_by - self._clock.monotonic()), 0.0)
        return max(left, self._parting)

    async def _limited(self, work: Callable[[], Awaitable[object]]) -> None:
        """Start or close a part; a signal meanwhile leaves it less time."""
        self._limit = Limit(self._clock, self._left())
        try:
            await self._limit.keep(work)
        finally:
            self._limit = None

    async def until_stopped(self) -> None:
        """Wait until `stop` is called, or a signal of `run` comes."""
        await self._stop.wait()

    async def run(
        self,
        work: Callable[[], Awaitable[object]] | None = None,
        signals: Sequence[signal.Signals] = SIGNALS,
    ) -> None:
        """Start, go on until one of `signals`, and end.

        Args:
            work: runs meanwhile, in a task. It is cancelled when draining begins, after `settle`;
                if it returns or raises before, the service ends.
            signals: what is waited for. The handlers before are put back. None can be heard
                outside the main thread, nor by two at once: there it is `()`.

        Raises:
            ConfigurationError: if it ran before, or can't hear these signals.
            ExceptionGroup: of what parts raised when they were closed.
            BaseException: what a part raised at the start, or what `work` raised.
        """
        with listening(signals, self.stop):
            async with self:
                if work is None:
                    await self.until_stopped()
                else:
                    await self._beside(work)

    async def _beside(self, work: Callable[[], Awaitable[object]]) -> None:
        task = asyncio.ensure_future(_awaited(work))
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await self._settled()
        finally:
            stopped.cancel()
            await self._give_up(task)
        if task.done() and not task.cancelled():
            task.result()

    async def __aenter__(self) -> Self:
        require(self._state == "new", "lifespan", self.name, "entered once")
        order = self.order()
        self._change("starting")
        try:
            for name in order:
                if self._stop.is_set():
                    break
                await self._start(name)
        except BaseException:
            self._end_by(self._clock.monotonic() + self._grace)
            await self._close_all()
            raise
        self._change("draining" if self._stop.is_set() else "ready")
        return self

    async def _start(self, name: str) -> None:
        cancelled = _cancellations()
        self._start_by = self._clock.monotonic() + self._start_timeout
        try:
            await self._limited(self._entries[name].part.__aenter__)
        except BaseException as error:
            error.add_note(f"part {name!r} of {self.name!r} did not start")
            if isinstance(error, Exception) or _cancellations() == cancelled:
                self._failed(name, "start", error)
            raise
        self._entered.append(name)
        if _cancellations() > cancelled:  # which the part has swallowed
            raise asyncio.CancelledError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._stop.is_set():
            self.stop("ended by itself" if error is None else repr(error))
        try:
            if not isinstance(error, asyncio.CancelledError):  # who cancels does not wait
                await self._drain_all()
        finally:
            errors = await self._close_all()
        if errors and error is None:
            raise ExceptionGroup(f"parts of {self.name!r} were not closed well", errors)

    async def _settled(self) -> None:
        """Wait until nobody should send work here any more."""
        until = self._deadline - self._grace + self._settle
        await self._unless_hurried(lambda: self._clock.sleep(until - self._clock.monotonic()))

    async def _drain_all(self) -> None:
        await self._settled()
        for name in reversed(self._entered):
            drain = self._entries[name].drain
            if drain is None:
                continue
            try:
                left = max(self._deadline - self._clock.monotonic(), 0.0)
                if not await within(self._clock, left, partial(self._unless_hurried, drain)):
                    raise TimeoutError("it had not drained when told to hurry, or cancelled itself")
            except Exception as error:  # noqa: BLE001 - told and counted
                self._failed(name, "drain", error)

    async def _unless_hurried(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Do `work`, until a second signal; say whether it came to its end."""
        doing = asyncio.ensure_future(_awaited(work))
        hurried = asyncio.ensure_future(self._hurry.wait())
        try:
            await asyncio.wait({doing, hurried}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurried.cancel()
            await self._give_up(doing)
        if not doing.done() or doing.cancelled():
            return False
        doing.result()
        return True

    async def _give_up(self, task: "asyncio.Future[object]") -> None:
        """Cancel a task, and wait for its end; for one that resists not for long."""
        if not task.done():
            task.cancel()
            resting: asyncio.Future[object]
            resting = asyncio.ensure_future(self._clock.sleep(self._parting))
            await asyncio.wait([task, resting], return_when=asyncio.FIRST_COMPLETED)
            resting.cancel()
            if not task.done():
                log.warning("%r: left behind, since it resists: %r", self.name, task)

    async def _close_all(self) -> list[Exception]:
        """Close what has started, come what may; return what was raised."""
        self._change("closing")
        errors: list[Exception] = []
        passing: BaseException | None = None
        cancelled = _cancellations()
        while self._entered:
            name = self._entered[-1]
            before = _cancellations()
            try:
                await self._limited(partial(self._entries[name].part.__aexit__, None, None, None))
            except BaseException as error:  # noqa: BLE001 - the others are closed none the less
                if isinstance(error, Exception):
                    errors.append(error)
                else:
                    passing = error
                if isinstance(error, Exception) or _cancellations() == before:
                    self._failed(name, "close", error)
            self._entered.pop()
        self._change("ended")
        if passing is None and _cancellations() > cancelled:  # which a part has swallowed
            passing = asyncio.CancelledError()
        if passing is not None:
            raise passing
        return errors

    def _change(self, to: LifeState) -> None:
        self._state = to
        log.info("%r is %s%s", self.name, to, f": {self._reason}" if self._reason else "")
        now = self._clock.time()
        self.events.emit(LifeChanged(source=self.name, at=now, state=to, reason=self._reason))

    def _failed(self, name: str, phase: Phase, error: BaseException) -> None:
        self._failures[phase] += 1
        log.error("part %r of %r failed to %s", name, self.name, phase, exc_info=error)
        now = self._clock.time()
        self.events.emit(PartFailed(source=self.name, at=now, part=name, phase=phase, error=error))

    def stats(self) -> LifespanStats:
        """Return the numbers as they are now."""
        return LifespanStats(self._state, len(self._entered), dict(self._failures))

    def __repr__(self) -> str:
        return f"Lifespan({self.name!r}, {self._state}, parts={len(self._entries)})"


async def _awaited(work: Callable[[], Awaitable[object]]) -> object:
    return await work()


def _cancellations() -> int:
    """Return how often the current task was cancelled, to tell it from a part's own error."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
