"""The connections of a pool: making, checking, lending and closing them, whoever wants them.

What awaits runs in tasks of the pool's own. So a borrower that is cancelled takes nothing with it,
and what a task leaves behind is booked by its callback, which runs even if the task never began.
"""

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import copy_context
from functools import partial
from math import inf
from typing import Any, Generic, TypeVar

from mobius_infra.core import Clock, ConfigurationError, Events, call_later
from mobius_infra.perf._pool_dial import Dialer
from mobius_infra.perf._pool_events import (
    PoolLeakSuspected,
    PoolReachable,
    PoolStats,
    PoolUnreachable,
)
from mobius_infra.perf._pool_settings import PoolConfig, Sizes, keep_interval
from mobius_infra.perf._pool_slot import Slot, name_of, shown
from mobius_infra.perf._pool_timer import within

T = TypeVar("T")
log = logging.getLogger("mobius_infra")

Connect = Callable[[], Awaitable[T]]
Close = Callable[[T], Awaitable[object] | object]
Check = Callable[[T], Awaitable[object]]

NOT_GIVEN_BACK = "not given back"


class Stock(Generic[T]):
    """A pool's connections, each in one place: idle, used, being checked or being closed.

    Attributes:
        idle: given back latest last; lent from that end, so that those at the other end expire.
        used: lent, by the `id` of the connection, which need not be hashable.
        connecting: attempts to connect, with the dialer's generation in which they began.
        on_ready: takes a connection that may be lent.
        on_change: is called when there is less than there was.
    """

    __slots__ = (
        "_broken", "_check", "_clock", "_close", "_connect", "_context", "_draw", "_events",
        "_forget_retry", "_name", "_quiet", "_sizes", "_terminate", "checking", "closing",
        "connect_failures", "connected", "connecting", "dialer", "discarded", "idle",
        "last_error", "leaks", "on_change", "on_ready", "settings", "terminated", "used",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        settings: PoolConfig,
        sizes: Sizes,
        connect: Connect[T],
        close: Close[T] | None,
        check: Check[T] | None,
        broken: Callable[[T], bool] | None,
        terminate: Callable[[T], object] | None,
        events: Events,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        self._name = name
        self.settings = settings
        self._sizes = sizes
        self._connect = connect
        self._close = close
        self._check = check
        self._broken = broken
        self._terminate = terminate
        self._events = events
        self._clock = clock
        self._draw = draw
        # Else the tasks would carry the context of whoever happened to borrow at that moment.
        self._context = copy_context()
        self.idle: deque[Slot[T]] = deque()
        self.used: dict[int, Slot[T]] = {}
        self.terminated: dict[int, Slot[T]] = {}  # by `close`, and not given back by now
        self.connecting: dict[asyncio.Task[T], int] = {}
        self.checking: dict[asyncio.Task[None], Slot[T]] = {}
        self.closing: dict[asyncio.Task[None], Slot[T]] = {}
        self.dialer = Dialer(settings.first_pause, settings.most_pause, settings.open_after)
        self.last_error: BaseException | None = None
        self._forget_retry: Callable[[], object] | None = None
        self._quiet: asyncio.Future[None] | None = None  # set when nothing is lent any more
        self.on_ready: Callable[[Slot[T]], None]
        self.on_change: Callable[[], None]
        self.connected = self.connect_failures = self.leaks = 0
        self.discarded: dict[str, int] = {}

    @property
    def alive(self) -> int:
        """Connections that are there, or are about to be."""
        return len(self.used) + len(self.idle) + len(self.checking) + len(self.connecting)

    @property
    def hopeless(self) -> bool:
        """Say whether there is no connection, and none can be made for now."""
        return self.dialer.dead and not self.alive

    def trouble(self) -> tuple[BaseException, float] | None:
        """Return what the last attempt to connect raised, and seconds until there is another.

        None if it succeeded, or while something is lent that will be given back.
        """
        if self.last_error is None or self.used:
            return None
        return self.last_error, max(self.dialer.retry_at - self._clock.monotonic(), 0.0)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run `work` in a task of the pool's own."""
        return asyncio.get_running_loop().create_task(work, context=self._context)

    # Making.

    def fill(self, wanted: int) -> None:
        """Begin to make connections until `wanted` are under way, as far as may be."""
        now = self._clock.monotonic()
        room = self._sizes.most - self.alive - len(self.closing)
        while room > 0 and len(self.connecting) < wanted:
            if not self.dialer.may(now, len(self.connecting)):
                if not self.connecting and self._forget_retry is None:
                    seconds = self.dialer.retry_at - now
                    self._forget_retry = call_later(self._clock, seconds, self._retry)
                return
            room -= 1
            bounded = within(self._clock, self.settings.connect_timeout, self._make)
            task = self.spawn(bounded)
            self.connecting[task] = self.dialer.generation
            task.add_done_callback(self._made)

    def _retry(self) -> None:
        self._forget_retry = None
        self.on_change()

    async def _make(self) -> T:
        connection = await self._connect()
        if connection is None:
            raise ConfigurationError(f"what connect of pool {self._name!r} returned", None, "one")
        return connection

    def _made(self, task: "asyncio.Task[T]") -> None:
        generation = self.connecting.pop(task)
        if task.cancelled():  # by `close`, or by `connect` itself
            error: BaseException | None = asyncio.CancelledError("connect was cancelled")
        else:
            error = task.exception()
        if error is None and self._known(task.result()):
            error = ConfigurationError(
                f"what connect of pool {self._name!r} returned",
                task.result(),
                "a new one each time",
            )
        if error is not None:
            self._not_made(error, generation)
            self.on_change()
            return
        now = self._clock.monotonic()
        self.connected += 1
        dead = self.dialer.dead
        failures = self.dialer.succeeded()
        self.last_error = None
        lifetime = self.settings.lifetime
        expires = inf
        if lifetime is not None:
            # Taken off, never added: the server's own limit may be just above it.
            expires = now + lifetime * (1.0 - self.settings.jitter * self._draw())
        self.on_ready(Slot(task.result(), expires, now))
        if failures:
            self.on_change()  # the others were held back
        if dead:
            at = self._clock.time()
            self._events.emit(PoolReachable(source=self._name, at=at, failures=failures))

    def _known(self, connection: T) -> bool:
        slots = (*self.idle, *self.used.values(), *self.checking.values(), *self.closing.values())
        return any(slot.connection is connection for slot in slots)

    def _not_made(self, error: BaseException, generation: int) -> None:
        self.connect_failures += 1
        self.last_error = error
        now = self._clock.monotonic()
        asked = getattr(error, "retry_after", None)  # as a circuit breaker's rejection has
        if self.dialer.failed(generation, now, self._draw(), asked):
            event = PoolUnreachable(
                source=self._name, at=self._clock.time(), failures=self.dialer.failures,
                retry_after=self.dialer.retry_at - now, error=repr(error),
            )  # fmt: skip
            self._events.emit(event)

    # Lending.

    def unfit(self, slot: Slot[T], now: float) -> str:
        """Say why a connection must not be lent; nothing if it may be."""
        if now >= slot.expires:
            return "expired"
        return "broken" if self.is_broken(slot.connection) else ""

    def is_broken(self, connection: T) -> bool:
        """Ask the user's `broken`; one that raises has nothing good to say."""
        if self._broken is None:
            return False
        try:
            return self._broken(connection)
        except Exception:
            log.exception("pool %s: broken raised", self._name)
            return True

    def check(self, slot: Slot[T]) -> None:
        """Begin to check a connection that has been idle for long."""
        task = self.spawn(
            within(self._clock, self.settings.check_timeout, partial(self._ask, slot.connection))
        )
        self.checking[task] = slot
        task.add_done_callback(self._checked)

    async def _ask(self, connection: T) -> None:
        assert self._check is not None  # noqa: S101 - else no connection is ever stale
        if await self._check(connection) is False:
            raise ConnectionError("the check says no")

    def _checked(self, task: "asyncio.Task[None]") -> None:
        slot = self.checking.pop(task)
        if task.cancelled() or task.exception() is not None:
            self.discard(slot, "failed check")
        else:
            self.on_ready(slot)

    # Closing.

    def discard(self, slot: Slot[T], reason: str) -> None:
        """Close a connection. Its place is free when that is done, or has taken too long."""
        self.discarded[reason] = self.discarded.get(reason, 0) + 1
        task = self.spawn(
            within(self._clock, self.settings.close_timeout, partial(self._shut, slot.connection))
        )
        self.closing[task] = slot
        task.add_done_callback(self._closed)

    async def _shut(self, connection: T) -> None:
        if self._close is not None:
            closed = self._close(connection)
            if inspect.isawaitable(closed):
                await closed

    def _closed(self, task: "asyncio.Task[None]") -> None:
        slot = self.closing.pop(task)
        if task.cancelled() or task.exception() is not None:
            self.terminate(slot)
        self.on_change()

    def terminate(self, slot: Slot[T]) -> None:
        """Drop a connection without asking the other side."""
        if self._terminate is not None:
            try:
                self._terminate(slot.connection)
            except Exception:
                log.exception("pool %s could not terminate a connection", self._name)

    def stop(self) -> None:
        """Make no more connections, and close those that are idle."""
        if self._forget_retry is not None:
            self._forget_retry()
        for task in (*self.connecting, *self.checking):
            task.cancel()
        while self.idle:
            self.discard(self.idle.pop(), "closing")

    async def drain(self, timeout: float) -> None:
        """Return when all is given back and closed; what is not in time is dropped."""
        if self._quiet is None:
            self._quiet = asyncio.get_running_loop().create_future()
        self.note_quiet()
        forget_timer = call_later(self._clock, timeout, self.drop)
        try:
            await asyncio.wait([self._quiet])  # unlike an await, it does not cancel it: others wait
        finally:
            forget_timer()
            self.drop()  # nothing, unless this was cancelled
        while tasks := {*self.connecting, *self.checking, *self.closing}:
            await asyncio.wait(tasks)  # each is bounded by its own time-out
            await asyncio.sleep(0)  # their callbacks run

    def drop(self) -> None:
        """Close what is lent, whoever uses it."""
        for key, slot in list(self.used.items()):
            self.terminated[key] = self.used.pop(key)
            self.terminate(slot)
            self.discard(slot, NOT_GIVEN_BACK)
        self.note_quiet()

    def note_quiet(self) -> None:
        """Let `drain` go on if nothing is lent."""
        if self._quiet is not None and not self.used and not self._quiet.done():
            self._quiet.set_result(None)

    # Keeping.

    async def keep(self) -> None:
        """Look after the connections for as long as the pool is open."""
        interval = keep_interval(self.settings)
        while True:
            await self._clock.sleep(interval)
            self.look()
            self.on_change()

    def look(self) -> None:
        """Give up what is too old or broken, and say what may have been lost."""
        now = self._clock.monotonic()
        limit = self.settings.idle_timeout or inf
        slots = list(self.idle)
        self.idle.clear()
        spare = self.alive + len(slots) - self._sizes.least
        for slot in slots:  # the longest idle first
            reason = self.unfit(slot, now)
            if not reason and spare > 0 and now - slot.since >= limit:
                reason = "idle"
            if reason:
                spare -= 1
                self.discard(slot, reason)
            else:
                self.idle.append(slot)
        if self.settings.leak_after is not None:
            for slot in list(self.used.values()):
                held = now - slot.since
                if held >= self.settings.leak_after and slot.reported != slot.since:
                    slot.reported = slot.since
                    self._suspect(slot, held)

    def _suspect(self, slot: Slot[T], held: float) -> None:
        self.leaks += 1
        ended = slot.borrower is not None and slot.borrower.done()
        event = PoolLeakSuspected(
            source=self._name, at=self._clock.time(), borrower=name_of(slot.borrower),
            ended=ended, held=held, stack=shown(slot.stack),
        )  # fmt: skip
        self._events.emit(event)

    def stats(
        self, *, state: str, borrowed: int, waited: int, refused: Mapping[str, int], waiting: int
    ) -> PoolStats:
        """Return the pool's numbers, with those that the pool counts itself."""
        return PoolStats(
            state=state,
            borrowed=borrowed,
            waited=waited,
            refused=refused,
            connected=self.connected,
            connect_failures=self.connect_failures,
            discarded=dict(self.discarded),
            leaks=self.leaks,
            min_size=self._sizes.least,
            max_size=self._sizes.most,
            idle=len(self.idle),
            in_use=len(self.used),
            checking=len(self.checking),
            connecting=len(self.connecting),
            closing=len(self.closing),
            waiting=waiting,
            failures=self.dialer.failures,
        )
