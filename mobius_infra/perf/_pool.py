"""A pool of connections, and the queue of those who want one."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from mobius_infra.core import Clock, Events, SystemClock, call_later, require
from mobius_infra.perf._pool_block import Borrowed
from mobius_infra.perf._pool_errors import PoolMisuseError, Reason, refusal
from mobius_infra.perf._pool_events import PoolClosed, PoolStats
from mobius_infra.perf._pool_settings import (
    PoolConfig,
    Sizes,
    require_seconds,
    settings_of,
)
from mobius_infra.perf._pool_slot import NO_TASK, Slot, in_loop, present_borrower
from mobius_infra.perf._pool_stock import NOT_GIVEN_BACK, Check, Close, Connect, Stock

T = TypeVar("T")


class Pool(Generic[T]):
    """A pool of anything that is slow to make and can be used again.

        async with Pool("db", partial(asyncpg.connect, dsn), close=Connection.close) as pool:
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")

    Who waits is served first come, first served: a connection that is given back goes to the first
    in the same step, so nobody overtakes and nothing is lost in between. Connections are lent the
    latest used first, so that those that are not needed become idle and are closed.

    It connects when the first borrower comes, or at `open`. It belongs to one event loop.

    Args:
        name: labels its numbers, events and errors.
        connect: makes a connection. Put a circuit breaker around it, if there is one for the
            server: its rejections' `retry_after` is kept to.
        close: closes a connection; sync or async.
        check: asked before a connection is lent that was idle for `check_after`; raises, or
            returns False, if it no longer works.
        broken: looks at a connection without asking the server, such as asyncpg's `is_closed`; at
            each lending and giving back.
        terminate: drops a connection whose `close` failed or hung; must not wait.
        discard_on: errors of a `connection()` block after which the connection is not used again.
            A cancellation, and whatever else is no `Exception`, always belongs to them.
        settings: sizes and durations, as read from a file.
        clock: measures all durations.
        draw: gives random numbers in [0, 1), for the jitter.
        overrides: single settings by name, such as `max_size=20`; `PoolConfig` describes them.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = (
        "_borrowed", "_broken", "_check_after", "_clock", "_closed", "_draining", "_idle",
        "_keeper", "_monotonic", "_refused", "_settings", "_sizes", "_stock",
        "_strict", "_used", "_waited", "_waiting", "_watched", "discard_on", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        connect: Connect[T],
        *,
        close: Close[T] | None = None,
        check: Check[T] | None = None,
        broken: Callable[[T], bool] | None = None,
        terminate: Callable[[T], object] | None = None,
        discard_on: type[Exception] | tuple[type[Exception], ...] = OSError,
        settings: PoolConfig | None = None,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        **overrides: Any,  # Any: PoolConfig says what each may be, and refuses the rest
    ) -> None:
        require(bool(name), "name", name, "a name for numbers, events and errors")
        require(callable(connect), "connect", connect, "an async function that takes nothing")
        settings = settings_of(settings, overrides)
        self.name = name
        self.events = Events()
        self._settings = settings
        self._sizes = Sizes(settings.min_size, settings.max_size)
        self.discard_on = discard_on
        self._clock = clock or SystemClock()
        self._monotonic = self._clock.monotonic
        self._watched = settings.leak_after is not None
        self._check_after = inf if check is None else settings.check_after
        self._stock: Stock[T] = Stock(
            name, settings, self._sizes, connect, close, check, broken, terminate,
            self.events, self._clock, draw,
        )  # fmt: skip
        self._broken = None if broken is None else self._stock.is_broken
        self._stock.on_ready = self._put
        self._stock.on_change = self._serve
        self._idle, self._used = self._stock.idle, self._stock.used
        self._waiting: OrderedDict[asyncio.Future[Slot[T] | Reason], None] = OrderedDict()
        self._draining = self._closed = False
        self._strict = False  # whether what is given back may be one too many
        self._keeper: asyncio.Task[None] | None = None
        self._borrowed = self._waited = 0
        self._refused: dict[str, int] = {}

    # Borrowing.

    async def acquire(self, max_wait: float | None = None) -> T:
        """Borrow a connection; whoever gets it must `release` it.

        Args:
            max_wait: seconds to wait at most; None: the pool's own.

        Raises:
            PoolTimeoutError: if it waited that long.
            PoolFullError: if as many wait as may.
            PoolConnectError: if there is no connection and the server can't be reached.
            PoolClosedError: if the pool is being closed.
        """
        if self._idle:
            slot = self._idle.pop()
            now = self._monotonic()
            broken = self._broken
            if (
                now < slot.fresh_until
                and now < slot.expires
                and (broken is None or not broken(slot.connection))
            ):
                slot.since = now
                self._used[id(slot.connection)] = slot
            else:
                self._idle.append(slot)  # `_serve` will see to it
                slot = await self._wait(max_wait)
        else:
            slot = await self._wait(max_wait)
        self._borrowed += 1
        if self._watched:
            slot.note_borrower(self._borrowed, self._settings.trace_every)
        return slot.connection

    def release(self, connection: T, *, discard: bool = False) -> None:
        """Give a connection back; it goes to whose turn it is.

        Args:
            connection: what `acquire` returned.
            discard: do not use it again, as when what it was doing has been interrupted.

        Raises:
            PoolMisuseError: if it is not lent: given back twice, or to the wrong pool. Also if
                another thread gives it back, in whose hands it then stays.
        """
        slot = self._used.pop(id(connection), None)
        if slot is None:
            if self._stock.terminated.pop(id(connection), None) is None:
                raise self._misuse(connection)
            return  # `close` did not wait for it, and has dropped it
        now = self._monotonic()
        ready = now < slot.expires and self._broken is None
        if discard or not ready or self._waiting or self._strict:
            if not in_loop():  # nobody could be woken, nothing closed
                self._used[id(connection)] = slot
                raise PoolMisuseError(self.name, NO_TASK, "from outside its event loop")
            slot.borrower = None
            if discard:
                self._stock.discard(slot, "by borrower")
                self._serve()
            else:
                self._put(slot)
        else:  # as at the end of `_put`: nearly all go this way
            slot.borrower = None
            slot.since = now
            slot.fresh_until = now + self._check_after
            self._idle.append(slot)

    def connection(self, max_wait: float | None = None) -> Borrowed[T]:
        """Return a context manager that borrows a connection, as `acquire` does, for a block."""
        return Borrowed(self, max_wait, self.discard_on)

    async def _wait(self, max_wait: float | None) -> Slot[T]:
        """Return a connection, once it is this borrower's turn."""
        if max_wait is None:
            max_wait = self._settings.max_wait
        else:
            require_seconds("max_wait", max_wait)
        if self._draining:
            raise self._refusal("closing")
        if self._keeper is None:
            self._keeper = self._stock.spawn(self._stock.keep())
        waiter: asyncio.Future[Slot[T] | Reason] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        self._serve()
        if not waiter.done() and len(self._waiting) > self._settings.queue + self._supply():
            del self._waiting[waiter]
            raise self._refusal("full")
        forget_timer = None
        self._waited += not waiter.done()
        if max_wait is not None and not waiter.done():
            expire = partial(self._refuse, waiter, "waited too long")
            forget_timer = call_later(self._clock, max_wait, expire)
        try:
            slot = await waiter
        except BaseException:
            self._leave(waiter)
            raise
        finally:
            if forget_timer is not None:
                forget_timer()
        if isinstance(slot, str):
            raise self._refusal(slot)
        return slot

    def _supply(self) -> int:
        """Return how many borrowers wait only for a connection that is being made or checked."""
        return len(self._stock.connecting) + len(self._stock.checking)

    def _leave(self, waiter: "asyncio.Future[Slot[T] | Reason]") -> None:
        """Let go of a borrower that was cancelled while it waited."""
        self._waiting.pop(waiter, None)
        if waiter.done() and not waiter.cancelled():
            slot = waiter.result()
            if isinstance(slot, Slot):  # it had been lent in the same turn of the loop
                self.release(slot.connection)

    def _refuse(self, waiter: "asyncio.Future[Slot[T] | Reason]", reason: Reason) -> None:
        self._waiting.pop(waiter, None)
        if not waiter.done():
            waiter.set_result(reason)

    def _refusal(self, reason: Reason) -> Exception:
        """Count a borrower that gets no connection, and say why."""
        self._refused[reason] = self._refused.get(reason, 0) + 1
        return refusal(self.name, reason, self.stats(), self._stock.trouble())

    def _misuse(self, connection: T) -> PoolMisuseError:
        mine = any(slot.connection is connection for slot in self._idle)
        reason = "that had been given back before" if mine else "that it has not lent"
        return PoolMisuseError(self.name, present_borrower(), reason)

    # Serving.

    def _put(self, slot: Slot[T]) -> None:
        """Take a connection that nobody has, and give it to whose turn it is."""
        now = self._monotonic()
        if self._strict:
            self._put_away(slot)
        elif reason := self._stock.unfit(slot, now):
            self._stock.discard(slot, reason)
            self._serve()
        elif not (self._waiting and self._give(slot, now)):
            slot.since = now
            slot.fresh_until = now + self._check_after
            self._idle.append(slot)

    def _put_away(self, slot: Slot[T]) -> None:
        """Take back a connection while there are too many."""
        if self._draining:
            self._stock.discard(slot, "closing")
            self._stock.note_quiet()
        elif self._stock.alive >= self._sizes.most:
            self._stock.discard(slot, "surplus")
        else:
            self._strict = False
            self._put(slot)

    def _give(self, slot: Slot[T], now: float) -> bool:
        """Lend a connection to the first who waits; False if nobody does."""
        while self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.done():  # else it was cancelled, and is about to leave
                slot.since = now
                self._used[id(slot.connection)] = slot
                waiter.set_result(slot)
                return True
        return False

    def _serve(self) -> None:
        """Lend what is idle, check what is stale, make what is missing."""
        if self._draining:
            self._stock.note_quiet()
            return
        stock, idle, waiting = self._stock, self._idle, self._waiting
        now = self._monotonic()
        while idle and len(waiting) > len(stock.checking):
            slot = idle.pop()
            if reason := stock.unfit(slot, now):
                stock.discard(slot, reason)
            elif now >= slot.fresh_until:
                stock.check(slot)
            elif not self._give(slot, now):
                idle.append(slot)
        missing = self._sizes.least - (stock.alive - len(stock.connecting))
        stock.fill(max(len(waiting) - len(stock.checking), missing))
        if waiting and stock.hopeless:
            for waiter in list(waiting):
                self._refuse(waiter, "unreachable")

    # Running.

    async def open(self) -> None:
        """Make `min_size` connections; return when the first is there.

        Not needed: it says early whether the server can be reached.

        Raises:
            PoolConnectError: if it can't.
            PoolTimeoutError: if it took longer than `max_wait`.
        """
        self.release(await self.acquire())

    def resize(self, *, min_size: int | None = None, max_size: int | None = None) -> None:
        """Change the sizes.

        More room is given to those that wait at once. Of too many connections the idle ones are
        closed at once, the others when they are given back.

        Raises:
            ConfigurationError: for a value out of range; nothing is changed then.
        """
        sizes = self._sizes
        self._sizes.set(
            sizes.least if min_size is None else min_size,
            sizes.most if max_size is None else max_size,
        )
        while self._idle and self._stock.alive > sizes.most:
            self._stock.discard(self._idle.popleft(), "surplus")
        self._strict = self._draining or self._stock.alive > sizes.most
        self._serve()

    async def close(self, timeout: float = 10.0) -> None:
        """Lend nothing more, wait for what is lent, close everything.

        Who waits is refused at once. Cancelled, it waits for nobody any more.

        Args:
            timeout: seconds to wait; what has not been given back by then is dropped, whoever
                uses it.
        """
        require_seconds("timeout", timeout)
        if not self._draining:
            self._draining = self._strict = True
            if self._keeper is not None:
                self._keeper.cancel()
            for waiter in list(self._waiting):
                self._refuse(waiter, "closing")
            self._stock.stop()
        await self._stock.drain(timeout)
        if not self._closed:
            self._closed = True
            lost = self._stock.discarded.get(NOT_GIVEN_BACK, 0)
            event = PoolClosed(source=self.name, at=self._clock.time(), terminated=lost)
            self.events.emit(event)

    @property
    def state(self) -> str:
        """Say how it is: open, unreachable, closing or closed."""
        if self._closed:
            return "closed"
        if self._draining:
            return "closing"
        return "unreachable" if self._stock.dialer.dead else "open"

    @property
    def load(self) -> int:
        """How many have a connection, or wait for one."""
        return len(self._used) + len(self._waiting)

    def stats(self) -> PoolStats:
        """Return the numbers as they are now."""
        return self._stock.stats(
            state=self.state,
            borrowed=self._borrowed,
            waited=self._waited,
            refused=dict(self._refused),
            waiting=len(self._waiting),
        )

    async def __aenter__(self) -> Self:
        if self._sizes.least:
            try:
                await self.open()
            except BaseException:
                await self.close()
                raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        waiting = f", {len(self._waiting)} waiting" if self._waiting else ""
        state = "" if self.state == "open" else f", {self.state}"
        return (
            f"Pool({self.name!r}, {len(self._used)} of {self._sizes.most} in use{waiting}{state})"
        )
