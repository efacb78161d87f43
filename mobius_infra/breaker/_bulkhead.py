"""A limit on calls at once, so that one slow dependency can't take the whole process with it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar

from mobius_infra.breaker._bulkhead_queue import WaitQueue
from mobius_infra.breaker._checks import require_count
from mobius_infra.breaker._keys import KeyTemplate, key_function
from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Event,
    Events,
    Rejected,
    Stats,
    call_later,
    counter,
    gauge,
)

P = ParamSpec("P")
R = TypeVar("R")

Reason = Literal["full", "waited too long", "cancelled"]
Waiter = asyncio.Future[bool]
"""Says whether a slot was given: True, with the slot; False once it has waited too long."""


class BulkheadFullError(Rejected):
    """All slots are taken, and there is no room or no time to wait. A fresh one each time.

    Attributes:
        name: the bulkhead's name.
        reason: `full`: there was no room to wait; `waited too long`: for as long as it may;
            `cancelled`: it was given up from outside while it waited, as by a time-out.
        limit: calls at once.
        waiting: calls that wait.
        retry_after: seconds that the last call to get a slot by waiting had waited for it; None if
            none has.
    """

    def __init__(
        self, name: str, reason: Reason, *, limit: int, waiting: int, retry_after: float | None
    ) -> None:
        super().__init__(
            f"bulkhead {name!r} gave no slot ({reason}): its limit is {limit}, {waiting} wait",
            name=name,
            retry_after=retry_after,
        )
        self.reason = reason
        self.limit = limit
        self.waiting = waiting


@dataclass(frozen=True, slots=True)
class BulkheadStats(Stats):
    """A bulkhead's numbers."""

    admitted: int = counter("Calls that got a slot")
    waited: int = counter("Calls that waited for theirs")
    rejected: Mapping[str, int] = counter("Calls that got none, by reason", label="reason")
    limit: int = gauge("Slots")
    in_use: int = gauge("Slots taken; above the limit while a lowered one is reached")
    waiting: int = gauge("Calls that wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadFull(Event):
    """Calls are turned away from now on. Said once, until half of the slots are free again.

    Attributes:
        limit: calls at once.
        waiting: calls that wait.
    """

    limit: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadFreed(Event):
    """Half of the slots are free, after calls had been turned away.

    Attributes:
        rejected: calls that were turned away meanwhile.
    """

    rejected: int


class Bulkhead(AsyncDecorator):
    """A limit on calls at once. Made by `bulkhead`, where its settings are described.

    While somebody waits no slot is free: one that is given back goes at once to whose turn it is.
    So a call that finds a free slot overtakes nobody, and takes it without asking.
    """

    __slots__ = (
        "_admitted", "_clock", "_free", "_last_wait", "_limit", "_max_wait", "_pressed", "_queue",
        "_rejected", "_tenant", "_turned_away", "_waited", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        limit: int,
        queue: WaitQueue[Any],  # Any: futures, but a queue never looks into what it keeps
        *,
        max_wait: float | None,
        tenant: KeyTemplate | None,
        clock: Clock,
    ) -> None:
        self.name = name
        self.events = Events()
        self._limit = limit
        self._free = limit
        self._queue = queue
        self._max_wait = max_wait
        self._tenant = tenant
        self._clock = clock
        # Whether who gives a slot back must look around: somebody may wait, or was turned away.
        self._pressed = False
        self._turned_away = 0  # since it was full; 0 again when half of the slots are free
        self._last_wait: float | None = None
        self._admitted = self._waited = 0
        self._rejected: dict[str, int] = {"full": 0, "waited too long": 0, "cancelled": 0}

    @property
    def limit(self) -> int:
        """Calls at once."""
        return self._limit

    @property
    def in_use(self) -> int:
        """Slots taken; above the limit while a lowered one is reached."""
        return self._limit - self._free

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._queue)

    def stats(self) -> BulkheadStats:
        """Return the numbers as they are now."""
        return BulkheadStats(
            admitted=self._admitted,
            waited=self._waited,
            rejected=dict(self._rejected),
            limit=self._limit,
            in_use=self.in_use,
            waiting=self.waiting,
        )

    async def acquire(self, tenant: str = "") -> None:
        """Take a slot, waiting for it if need be; whoever gets it must `release` it.

        Args:
            tenant: on whose account it waits, for a queue that tenants share.

        Raises:
            BulkheadFullError: if there is no room to wait, or it waited for `max_wait`.
        """
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(tenant)
        self._admitted += 1

    def release(self) -> None:
        """Give a slot back; it goes to whose turn it is.

        Raises:
            RuntimeError: if none is taken.
        """
        if self._free >= self._limit:
            raise RuntimeError(f"a slot of {self!r} was released that nobody had acquired")
        self._free += 1
        if self._pressed:
            self._hand_over()

    def resize(self, limit: int) -> None:
        """Change how many calls are let in at once.

        A higher limit lets in those that wait. Calls above a lower one end as they will, and are
        not replaced until there are few enough.

        Raises:
            ConfigurationError: if it is not a whole number of at least 1.
        """
        require_count("limit", limit)
        self._free += limit - self._limit
        self._limit = limit
        self._hand_over()

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        tenant_of = None if self._tenant is None else key_function(self._tenant, func)

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if self._free > 0:
                self._free -= 1
            else:  # whose call it is matters only now
                await self._wait("" if tenant_of is None else tenant_of(*args, **kwargs))
            self._admitted += 1
            try:
                return await func(*args, **kwargs)
            finally:
                self._free += 1
                if self._pressed:
                    self._hand_over()

        return wrapper

    async def _wait(self, tenant: str) -> None:
        """Return with a slot, once it is this call's turn."""
        self._pressed = True
        waiter: Waiter = asyncio.get_running_loop().create_future()
        if not self._queue.push(tenant, waiter):
            raise self._refuse("full")
        since = self._clock.monotonic()
        forget_timer = None
        if self._max_wait is not None:
            forget_timer = call_later(self._clock, self._max_wait, partial(self._expire, waiter))
        try:
            granted = await waiter
        except BaseException as error:
            self._leave(waiter)
            # Whoever gave it up, as a time-out around it did, can see that nothing was tried.
            raise error from self._refusal("cancelled")
        finally:
            if forget_timer is not None:
                forget_timer()
        if not granted:
            raise self._refuse("waited too long")
        self._last_wait = self._clock.monotonic() - since
        self._waited += 1

    def _leave(self, waiter: Waiter) -> None:
        """Let go of a call that was cancelled while it waited."""
        self._rejected["cancelled"] += 1
        if waiter.done() and not waiter.cancelled() and waiter.result():
            self.release()  # it was given a slot in the same turn of the loop: pass that on
        else:
            self._queue.remove(waiter)

    def _expire(self, waiter: Waiter) -> None:
        if not waiter.done():
            self._queue.remove(waiter)
            waiter.set_result(False)

    def _hand_over(self) -> None:
        """Give the free slots to whose turn it is, and see whether the pressure is gone."""
        while self._free > 0 and (waiter := self._queue.pop()) is not None:
            if not waiter.done():  # else it was cancelled, and is about to leave
                self._free -= 1
                waiter.set_result(True)
        freed = self._turned_away if self._free * 2 >= self._limit else 0
        self._turned_away -= freed
        self._pressed = self._turned_away > 0 or len(self._queue) > 0
        if freed:
            at = self._clock.time()
            self.events.emit(BulkheadFreed(source=self.name, at=at, rejected=freed))

    def _refuse(self, reason: Reason) -> BulkheadFullError:
        """Count a call that is turned away, and say so if it is the first."""
        self._rejected[reason] += 1
        self._turned_away += 1
        self._pressed = True
        if self._turned_away == 1:
            at, waiting = self._clock.time(), self.waiting
            event = BulkheadFull(source=self.name, at=at, limit=self._limit, waiting=waiting)
            self.events.emit(event)
        return self._refusal(reason)

    def _refusal(self, reason: Reason) -> BulkheadFullError:
        return BulkheadFullError(
            self.name,
            reason,
            limit=self._limit,
            waiting=self.waiting,
            retry_after=self._last_wait,
        )

    __aenter__ = acquire

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        waiting = f", {self.waiting} waiting" if self.waiting else ""
        return f"Bulkhead({self.name!r}, {self.in_use} of {self._limit}{waiting})"
