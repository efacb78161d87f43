"""A limit on concurrency whose queue is shared fairly by tenants."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, ParamSpec, Self, TypeVar

from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Config,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
)
from mobius_infra.ratelimit._fair_codel import Codel
from mobius_infra.ratelimit._fair_queue import FairQueue
from mobius_infra.ratelimit._overload_checks import (
    compile_reader,
    require_between,
    require_count,
    require_name,
)
from mobius_infra.ratelimit._overload_errors import ConcurrencyLimitError, Reason
from mobius_infra.ratelimit._slots import Slots, Waiter

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FairLimiterStats(Stats):
    """A fair limiter's numbers."""

    passed: int = counter("Calls that got a slot")
    waited: int = counter("Calls that waited for theirs")
    rejected: Mapping[str, int] = counter("Calls that got none, by reason", label="reason")
    inflight: int = gauge("Calls under way")
    waiting: int = gauge("Calls that wait")
    tenants: int = gauge("Tenants that have calls waiting")


class FairLimiterConfig(Config):
    """A fair limiter's settings, for files. The fields are parameters of `FairLimiter`."""

    name: str
    limit: int
    tenant: str
    weights: dict[str, float] | None = None
    per_tenant: int = 100
    capacity: int = 10_000
    shards: int | None = None
    max_wait: float = 10.0
    target: float | None = 0.005
    interval: float = 0.1


class FairLimiter(AsyncDecorator):
    """Lets `limit` calls be under way at once, and gives free slots to tenants in turns.

        reports = FairLimiter("reports", 10, tenant="user_id")

        @reports
        async def report(user_id: int) -> bytes: ...

    One tenant's flood delays another's call by at most one round of turns, and fills only its own
    queue. In that, what has waited too long is dropped while every call waits too long (CoDel):
    its caller is likely gone, and the slot does more good to the next.

    Args:
        name: labels its numbers, events and errors.
        limit: calls at once.
        tenant: whose a call is: a parameter's name, a template, or a function of the arguments.
        queue: keeps those that wait: weights, bounds, shards. By default, equal tenants.
        max_wait: seconds that a call waits at most.
        target: seconds of waiting that are nothing to worry about; None: CoDel drops nothing.
        interval: seconds that calls of a tenant must all have waited longer, before one is dropped.
        clock: measures the waiting.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = ("_passed", "_rejected", "_slots", "_tenant", "events", "name")

    def __init__(
        self,
        name: str,
        limit: int,
        *,
        tenant: str | Callable[..., str],
        queue: FairQueue[Waiter] | None = None,
        max_wait: float = 10.0,
        target: float | None = 0.005,
        interval: float = 0.1,
        clock: Clock | None = None,
    ) -> None:
        require_name(name)
        require_count("limit", limit)
        require_between("max_wait", max_wait, 0.001, 3600)
        codel = None if target is None else partial(Codel, target, interval)
        if codel is not None:
            codel()  # refuses bad settings now
        if queue is None:
            queue = FairQueue()
        self.name = name
        self.events = Events()
        self._tenant = tenant
        self._slots = Slots(limit, queue, max_wait, codel, self._refuse, clock or SystemClock())
        self._passed = 0
        self._rejected: dict[str, int] = {
            "queue full": 0, "waited too long": 0, "dropped": 0, "cancelled": 0,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: FairLimiterConfig, *, clock: Clock | None = None) -> Self:
        """Build one from settings, and from what files can't say."""
        queue: FairQueue[Waiter] = FairQueue(
            weights=config.weights,
            per_tenant=config.per_tenant,
            capacity=config.capacity,
            shards=config.shards,
        )
        return cls(
            config.name,
            config.limit,
            tenant=config.tenant,
            queue=queue,
            max_wait=config.max_wait,
            target=config.target,
            interval=config.interval,
            clock=clock,
        )

    async def acquire(self, tenant: str, cost: float = 1.0) -> None:
        """Take a slot for a call of `tenant`; whoever gets it must `release` it.

        Args:
            tenant: whose the call is.
            cost: how much of its tenant's turn it takes, at most the queue's quantum.

        Raises:
            ConcurrencyLimitError: if it may not wait, or waited too long.
        """
        await self._slots.take(tenant, cost)
        self._passed += 1

    def release(self) -> None:
        """Give a slot back."""
        self._slots.release()

    @asynccontextmanager
    async def slot(self, tenant: str, cost: float = 1.0) -> AsyncIterator[None]:
        """Hold a slot in an `async with` block; arguments and errors as in `acquire`."""
        await self.acquire(tenant, cost)
        try:
            yield
        finally:
            self.release()

    def resize(self, limit: int) -> None:
        """Change the limit; calls above a lower one end as they will."""
        require_count("limit", limit)
        self._slots.resize(limit)

    def stats(self) -> FairLimiterStats:
        """Return the numbers as they are now."""
        slots = self._slots
        return FairLimiterStats(
            passed=self._passed,
            waited=slots.waited,
            rejected=dict(self._rejected),
            inflight=slots.inflight,
            waiting=len(slots.queue),
            tenants=slots.queue.tenants,
        )

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        slots, tenant_of = self._slots, compile_reader("tenant", self._tenant, func)

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if slots.inflight < slots.limit:  # whose it is matters only to those that wait
                slots.inflight += 1
                self._passed += 1
            else:
                await self.acquire(tenant_of(*args, **kwargs))
            try:
                return await func(*args, **kwargs)
            finally:
                slots.release()

        return wrapper

    def _refuse(self, tenant: str, reason: Reason) -> ConcurrencyLimitError:
        self._rejected[reason] += 1
        slots = self._slots
        return ConcurrencyLimitError(
            self.name,
            tenant=tenant,
            reason=reason,
            limit=slots.limit,
            waiting=len(slots.queue),
            retry_after=None,
        )

    def __repr__(self) -> str:
        slots = self._slots
        return f"FairLimiter({self.name!r}, {slots.inflight} of {slots.limit}, {slots.queue!r})"


def fair(
    limit: int,
    *,
    tenant: str | Callable[..., str],
    weights: Mapping[str, float] | Callable[[str], float] | None = None,
    max_wait: float = 10.0,
    name: str = "fair",
    clock: Clock | None = None,
) -> FairLimiter:
    """Return a `FairLimiter` with the usual settings.

        @fair(10, tenant="user_id", weights={"7": 3})
        async def report(user_id: int) -> bytes: ...

    The arguments are those of `FairLimiter` and of `FairQueue`.
    """
    queue: FairQueue[Waiter] = FairQueue(weights=weights)
    return FairLimiter(name, limit, tenant=tenant, queue=queue, max_wait=max_wait, clock=clock)
