"""The limit on concurrency that finds itself, as its users see it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar

from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Config,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)
from mobius_infra.ratelimit._adaptive_control import Control
from mobius_infra.ratelimit._adaptive_steps import Aimd, Algorithm, Gradient2, Sample, Vegas
from mobius_infra.ratelimit._fair_queue import FairQueue
from mobius_infra.ratelimit._overload_checks import (
    compile_reader,
    require_between,
    require_count,
    require_name,
    require_positive,
)
from mobius_infra.ratelimit._overload_errors import ConcurrencyLimitError, Reason
from mobius_infra.ratelimit._overload_events import LimitAtFloor, LimitRecovered
from mobius_infra.ratelimit._slots import Slots, Waiter

P = ParamSpec("P")
R = TypeVar("R")

Errors = type[Exception] | tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class AdaptiveLimiterStats(Stats):
    """An adaptive limiter's numbers."""

    succeeded: int = counter("Calls whose latency was measured")
    dropped: int = counter("Calls that ended by overload: timed out, or were refused")
    neutral: int = counter("Calls that say nothing: cancelled, or failed otherwise")
    waited: int = counter("Calls that waited for a slot and got one")
    rejected: int = counter("Calls that were refused a slot")
    limit: int = gauge("Calls at once that may be")
    inflight: int = gauge("Calls under way")
    waiting: int = gauge("Calls that wait for a slot")
    rtt: float = gauge("Mean seconds of a call, in the last window")
    baseline: float = gauge("Mean seconds of a call where nothing queues; 0 when not known")


class AdaptiveLimiterConfig(Config):
    """An adaptive limiter's settings, for files. The fields are parameters of `AdaptiveLimiter`."""

    name: str
    algorithm: Literal["aimd", "vegas", "gradient2"] = "gradient2"
    initial: int = 20
    minimum: int = 1
    maximum: int = 1_000
    max_wait: float = 0.0
    max_waiting: int = 100
    remeasure: float = 30.0


ALGORITHMS: dict[str, Callable[[], Algorithm]] = {
    "aimd": Aimd,
    "vegas": Vegas,
    "gradient2": Gradient2,
}


class AdaptiveLimiter(AsyncDecorator):
    """Lets as many calls be under way at once as what they call can bear, and finds out how many.

        search = AdaptiveLimiter("search", Gradient2())

        @search
        async def find(text: str) -> list[str]: ...

    A call above the limit is refused, or waits for a short while, where it costs least: before it
    has been made. How long calls take says whether they queue somewhere, and the limit follows.

    It grows only while at least half of it is in use. What calls take without a queue, the
    baseline, is measured at the start and every `remeasure` seconds: for some 50 calls a quarter
    of the limit is in force.

    Args:
        name: labels its numbers, events and errors.
        algorithm: finds the limit: `Gradient2`, `Vegas` or `Aimd`.
        initial: calls at once to begin with.
        minimum: the limit is never lower.
        maximum: nor higher.
        max_wait: seconds that a call above the limit waits at most; 0: it is refused at once.
        max_waiting: calls that wait at most.
        queue: keeps those that wait, in the place of `max_waiting`; with `tenant`, they share it.
        tenant: whose a call is: a parameter's name, a template, or a function of the arguments.
        dropped_on: errors that mean overload. Other errors say nothing of latency, nor do
            rejections from further in, unless they are named here.
        dropped_if: a result for which this is true means overload: a status 503, say.
        remeasure: seconds between measurements of the baseline, give or take a quarter.
        clock: measures all of it.
        draw: gives random numbers in [0, 1).

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = (
        "_at_floor", "_clock", "_control", "_count", "_dropped", "_dropped_if",
        "_dropped_on", "_drops", "_entered", "_floor", "_neutral", "_peak", "_rejected", "_slots",
        "_succeeded", "_tenant", "_total", "_window", "algorithm", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        algorithm: Algorithm | None = None,
        *,
        initial: int = 20,
        minimum: int = 1,
        maximum: int = 1_000,
        max_wait: float = 0.0,
        max_waiting: int = 100,
        queue: FairQueue[Waiter] | None = None,
        tenant: str | Callable[..., str] | None = None,
        dropped_on: Errors = TimeoutError,
        dropped_if: Callable[[Any], bool] | None = None,  # Any: results of many functions
        remeasure: float = 30.0,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        require_name(name)
        require_count("minimum", minimum)
        require_count("initial", initial, least=minimum)
        require_count("maximum", maximum, least=initial)
        require_between("max_wait", max_wait, 0, 3600)
        require_count("max_waiting", max_waiting)
        require_positive("remeasure", remeasure, "seconds")
        waits = max_wait > 0
        require(
            tenant is None or waits, "max_wait", max_wait, "above 0 where tenants share a queue"
        )
        self.name = name
        self.algorithm = algorithm or Gradient2()
        self.events = Events()
        self._tenant = tenant
        self._dropped_on = dropped_on if isinstance(dropped_on, tuple) else (dropped_on,)
        proper = all(issubclass(each, Exception) for each in self._dropped_on)
        require(proper, "dropped_on", dropped_on, "errors; a cancellation never means overload")
        self._dropped_if = dropped_if
        self._clock = clock or SystemClock()
        self._control = Control(self.algorithm, initial, minimum, maximum, remeasure, draw)
        if queue is None:
            queue = FairQueue(per_tenant=max_waiting, capacity=max_waiting)
        self._slots = Slots(self._control.limit, queue, max_wait, None, self._refuse, self._clock)
        self._floor = minimum
        self._at_floor = False
        self._succeeded = self._dropped = self._neutral = self._rejected = 0
        # `async with limiter` in many tasks at once: each leaves with what it came with.
        self._entered: dict[asyncio.Task[Any] | None, list[float]] = {}
        self._open_window()

    @classmethod
    def from_config(
        cls,
        config: AdaptiveLimiterConfig,
        *,
        dropped_on: Errors = TimeoutError,
        dropped_if: Callable[[Any], bool] | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Build one from settings, and from what files can't say."""
        given = config.model_dump(exclude={"algorithm"})
        return cls(
            algorithm=ALGORITHMS[config.algorithm](),
            dropped_on=dropped_on,
            dropped_if=dropped_if,
            clock=clock,
            **given,
        )

    @property
    def limit(self) -> int:
        """Calls at once that may be, now."""
        return self._slots.limit

    async def acquire(self, tenant: str = "") -> float:
        """Take a slot, waiting for it if need be; return what `release` is to be given.

        Whoever gets it must end the call by `release`, `drop` or `forget`.

        Raises:
            ConcurrencyLimitError: if none is free, or came free in time.
        """
        await self._slots.take(tenant)
        return self._clock.monotonic()

    def try_acquire(self) -> float | None:
        """Take a slot if one is free, as `acquire` does; None if not."""
        slots = self._slots
        if slots.inflight >= slots.limit:
            self._rejected += 1
            return None
        slots.inflight += 1
        return self._clock.monotonic()

    def release(self, started: float) -> None:
        """End a call that succeeded: its latency counts."""
        self._settle(self._clock.monotonic() - started)

    def drop(self) -> None:
        """End a call that was a victim of overload."""
        self._drops += 1
        self._settle(0.0)

    def forget(self) -> None:
        """End a call that says nothing: the slot is free, and that is all."""
        self._neutral += 1
        self._slots.release()

    def stats(self) -> AdaptiveLimiterStats:
        """Return the numbers as they are now."""
        slots, control = self._slots, self._control
        return AdaptiveLimiterStats(
            succeeded=self._succeeded + self._count - self._drops,
            dropped=self._dropped + self._drops,
            neutral=self._neutral,
            waited=slots.waited,
            rejected=self._rejected,
            limit=slots.limit,
            inflight=slots.inflight,
            waiting=len(slots.queue),
            rtt=control.rtt,
            baseline=control.baseline,
        )

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        slots, monotonic, settle = self._slots, self._clock.monotonic, self._settle
        tenant_of = nobody if self._tenant is None else compile_reader("tenant", self._tenant, func)
        if self._dropped_if is not None:
            return self._wrap_judging(func, tenant_of, self._dropped_if)

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if slots.inflight < slots.limit:
                slots.inflight += 1
                started = monotonic()
            else:
                started = await self.acquire(tenant_of(*args, **kwargs))
            try:
                result = await func(*args, **kwargs)
            except BaseException as error:
                self._fail(error)
                raise
            settle(monotonic() - started)
            return result

        return wrapper

    def _wrap_judging(
        self,
        func: Callable[P, Awaitable[R]],
        tenant_of: Callable[..., str],
        dropped_if: Callable[[Any], bool],
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Wrap as `_wrap` does, and look at the results."""

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            started = await self.acquire(tenant_of(*args, **kwargs))
            try:
                result = await func(*args, **kwargs)
                dropped = dropped_if(result)
            except BaseException as error:
                self._fail(error)
                raise
            if dropped:
                self.drop()
            else:
                self.release(started)
            return result

        return wrapper

    def _fail(self, error: BaseException) -> None:
        dropped = isinstance(error, self._dropped_on)
        if isinstance(error, BaseExceptionGroup):  # one drop among its leaves makes it one
            dropped = error.subgroup(self._dropped_on) is not None
        if dropped:
            self.drop()
        else:
            self.forget()

    def _open_window(self) -> None:
        self._count = self._drops = self._peak = 0
        self._total = 0.0
        self._window = self._control.window

    def _settle(self, seconds: float) -> None:
        """End a call that says something: how long it took, or nothing if it was dropped."""
        slots = self._slots
        self._count += 1
        self._total += seconds
        if slots.inflight > self._peak:  # noqa: PLR1730 - a call of `max` costs more
            self._peak = slots.inflight
        if self._count >= self._window:
            self._close_window()
        slots.release()

    def _close_window(self) -> None:
        succeeded = self._count - self._drops
        self._succeeded += succeeded
        self._dropped += self._drops
        rtt = self._total / succeeded if succeeded else 0.0
        now = self._clock.monotonic()
        limit = self._control.step(Sample(rtt, self._peak, self._drops, now))
        self._open_window()
        if limit != self._slots.limit:
            self._slots.resize(limit)
        found = int(self._control.found)
        if not self._at_floor and found <= self._floor:
            self._at_floor = True
            self.events.emit(LimitAtFloor(source=self.name, at=self._clock.time(), limit=found))
        elif self._at_floor and found >= 2 * self._floor:
            self._at_floor = False
            self.events.emit(LimitRecovered(source=self.name, at=self._clock.time(), limit=found))

    def _refuse(self, tenant: str, reason: Reason) -> ConcurrencyLimitError:
        self._rejected += 1
        slots = self._slots
        return ConcurrencyLimitError(
            self.name,
            tenant=tenant,
            reason=reason,
            limit=slots.limit,
            waiting=len(slots.queue),
            retry_after=self._control.rtt or None,
        )

    async def __aenter__(self) -> None:
        started = await self.acquire()
        self._entered.setdefault(asyncio.current_task(), []).append(started)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        started = self._entered[task].pop()
        if not self._entered[task]:
            del self._entered[task]
        if error is None:
            self.release(started)
        else:
            self._fail(error)

    def __repr__(self) -> str:
        return f"AdaptiveLimiter({self.name!r}, {self.algorithm!r}, limit={self.limit})"


def nobody(*args: object, **kwargs: object) -> str:
    """Return the one tenant of a limiter that tells none apart."""
    return ""
