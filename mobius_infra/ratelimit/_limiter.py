"""The rate limiter as its users see it."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, NamedTuple, ParamSpec, Self, TypeVar

from mobius_infra.core import (
    AsyncDecorator,
    Backend,
    BackendError,
    Clock,
    Config,
    Events,
    Stats,
    SystemClock,
    compile_key,
    counter,
    gauge,
    require,
    state,
)
from mobius_infra.ratelimit._bucket import Taken, TokenBucket
from mobius_infra.ratelimit._errors import RateLimitedError
from mobius_infra.ratelimit._events import LimiterDegraded, LimiterRestored
from mobius_infra.ratelimit._store import LocalStore

P = ParamSpec("P")
R = TypeVar("R")

OnError = Literal["local", "allow", "deny"]
# Any: the answer stands for that of whatever function is decorated, with that function's arguments.
OnLimit = Literal["raise", "wait"] | Callable[..., Any]


class Decision(NamedTuple):
    """What a limiter said.

    Attributes:
        allowed: whether the call may be made.
        remaining: tokens left.
        retry_after: seconds until this call would pass; 0 if it may.
        reset: seconds until the bucket is full.
    """

    allowed: bool
    remaining: float
    retry_after: float
    reset: float


@dataclass(frozen=True, slots=True)
class RateLimiterStats(Stats):
    """A limiter's numbers."""

    allowed: int = counter("Calls that passed")
    limited: int = counter("Calls that were refused")
    waited: int = counter("Calls that passed after waiting")
    backend_errors: int = counter("Decisions that the backend failed to make")
    evicted: int = counter("Keys forgotten before their bucket was full, for want of room")
    keys: int = gauge("Keys kept in this process")
    waiting: int = gauge("Calls that wait now")
    mode: str = state("Where limits are kept: local, shared, or degraded")


class RateLimiterConfig(Config):
    """A limiter's settings, for files. The fields are parameters of `RateLimiter`."""

    name: str
    rate: float | str
    burst: float | None = None
    key: str | None = None
    on_limit: Literal["raise", "wait"] = "raise"
    max_wait: float = 10.0
    max_waiting: int = 1_000
    max_keys: int = 100_000
    on_error: OnError = "local"


class RateLimiter(AsyncDecorator):
    """Lets each key's calls through at a bounded rate.

        per_user = RateLimiter("per-user", TokenBucket(rate=1, burst=5), key="user_id")

        @per_user
        async def answer(user_id: int, text: str) -> str: ...

    Args:
        name: labels its numbers, events and errors.
        limit: the limit of each key.
        key: a template such as `{user_id}`, or a function of the call's arguments, that says whose
            limit a call counts against; None: all calls share one.
        on_limit: what a refused call gets: `raise` a `RateLimitedError`; `wait` its turn, first
            come first served; or a function, called with the error and then the call's arguments,
            whose result (awaited if need be) is returned instead.
        max_wait: seconds that a call waits at most; one that would wait longer is refused at once.
        max_waiting: calls of one key that wait at most; more are refused at once.
        max_keys: keys kept in this process at most.
        backend: keeps the limits for the whole fleet, by its own time; None: this process alone.
        on_error: when the backend fails: keep limits `local`ly, `allow` all, or `deny` all.
        clock: measures all of it where there is no backend.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = (
        "_allowed", "_backend", "_backend_errors", "_clock", "_degraded", "_key", "_limited",
        "_max_wait", "_max_waiting", "_on_error", "_on_limit", "_store", "_turns", "_waited",
        "events", "limit", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        limit: TokenBucket,
        *,
        key: str | Callable[..., str] | None = None,
        on_limit: OnLimit = "raise",
        max_wait: float = 10.0,
        max_waiting: int = 1_000,
        max_keys: int = 100_000,
        backend: Backend | None = None,
        on_error: OnError = "local",
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "a name for numbers, events and errors")
        known = callable(on_limit) or on_limit in ("raise", "wait")
        require(known, "on_limit", on_limit, "'raise', 'wait' or a function")
        require(max_wait >= 0, "max_wait", max_wait, "zero or more seconds")
        require(max_waiting >= 1, "max_waiting", max_waiting, "at least 1 call")
        require(max_keys >= 1, "max_keys", max_keys, "at least 1 key")
        require(
            on_error in ("local", "allow", "deny"), "on_error", on_error, "local, allow or deny"
        )
        self.name = name
        self.limit = limit
        self.events = Events()
        self._key = key
        self._on_limit = on_limit
        self._max_wait = max_wait
        self._max_waiting = max_waiting
        self._backend = backend
        self._on_error = on_error
        self._clock = clock or SystemClock()
        self._store = LocalStore(limit, max_keys)
        self._turns: dict[str, _Turns] = {}
        self._degraded = False
        self._allowed = self._limited = self._waited = self._backend_errors = 0

    @classmethod
    def from_config(
        cls,
        config: RateLimiterConfig,
        *,
        key: str | Callable[..., str] | None = None,
        on_limit: OnLimit | None = None,
        backend: Backend | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Build one from settings, and from what files can't say."""
        given = config.model_dump(exclude={"name", "rate", "burst"})
        if key is not None:
            given["key"] = key
        if on_limit is not None:
            given["on_limit"] = on_limit
        bucket = TokenBucket(config.rate, config.burst)
        return cls(config.name, bucket, backend=backend, clock=clock, **given)

    async def acquire(self, key: str = "", cost: float = 1.0) -> None:
        """Take `cost` tokens of `key`; wait for them, if that is how the limiter was made.

        Raises:
            RateLimitedError: if they are not there, or would not be within `max_wait`.
            ConfigurationError: if `cost` is more than the bucket ever holds, or negative.
        """
        self._check_cost(cost)
        if self._on_limit == "wait":
            await self._wait(key, cost)
            return
        decision = await self._take(key, cost)
        if not decision.allowed:
            raise self._refuse(key, decision)
        self._allowed += 1

    async def peek(self, key: str = "") -> Decision:
        """Say what the next call would get, taking nothing."""
        _, remaining, _, reset = await self._take(key, 0.0)
        wait = max(1.0 - remaining, 0.0) / self.limit.rate
        return Decision(wait == 0.0, remaining, wait, reset)

    async def reset(self, key: str = "") -> None:
        """Fill the bucket of `key`.

        Raises:
            BackendError: if the backend keeps it and failed.
        """
        self._store.forget(key)
        if self._backend is not None:
            await self._backend.delete(self._stored(key))

    def stats(self) -> RateLimiterStats:
        """Return the numbers as they are now."""
        shared = "degraded" if self._degraded else "shared"
        return RateLimiterStats(
            allowed=self._allowed,
            limited=self._limited,
            waited=self._waited,
            backend_errors=self._backend_errors,
            evicted=self._store.evicted,
            keys=len(self._store),
            waiting=sum(turns.waiting for turns in self._turns.values()),
            mode="local" if self._backend is None else shared,
        )

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        key_of = _shared if self._key is None else compile_key(self._key, func)
        if self._backend is None and self._on_limit == "raise":
            return self._wrap_local(func, key_of)
        on_limit = self._on_limit

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                await self.acquire(key_of(*args, **kwargs))
            except RateLimitedError as error:
                if not callable(on_limit):
                    raise
                answer = on_limit(error, *args, **kwargs)
                found: R = await answer if inspect.isawaitable(answer) else answer
                return found
            return await func(*args, **kwargs)

        return wrapper

    def _wrap_local(
        self, func: Callable[P, Awaitable[R]], key_of: Callable[..., str]
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Wrap for the commonest case, in which deciding needs no await."""
        take, monotonic = self._store.take, self._clock.monotonic

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            key = key_of(*args, **kwargs)
            taken = take(key, monotonic(), 1.0)
            if not taken[0]:
                raise self._refuse(key, Decision(*taken))
            self._allowed += 1
            return await func(*args, **kwargs)

        return wrapper

    async def _take(self, key: str, cost: float) -> Decision:
        if self._backend is None:
            return Decision(*self._store.take(key, self._clock.monotonic(), cost))
        bucket = self.limit
        try:
            taken: Taken = await self._backend.run(
                bucket.script, self._stored(key), bucket.rate, bucket.burst, cost
            )
        except BackendError as error:
            return self._without_backend(key, cost, error)
        if self._degraded:
            self._degraded = False
            self.events.emit(LimiterRestored(source=self.name, at=self._clock.time()))
        return Decision(*taken)

    def _without_backend(self, key: str, cost: float, error: BackendError) -> Decision:
        self._backend_errors += 1
        if not self._degraded:
            self._degraded = True
            at = self._clock.time()
            self.events.emit(LimiterDegraded(source=self.name, at=at, reason=str(error)))
        if self._on_error == "local":
            return Decision(*self._store.take(key, self._clock.monotonic(), cost))
        if self._on_error == "allow":
            return Decision(True, self.limit.burst, 0.0, 0.0)
        return Decision(False, 0.0, cost / self.limit.rate, self.limit.burst / self.limit.rate)

    async def _wait(self, key: str, cost: float) -> None:
        """Wait in line. Tokens are taken only at the head of it, so who leaves owes nothing."""
        turns = self._turns.get(key) or self._turns.setdefault(key, _Turns())
        started = self._clock.monotonic()
        ahead = turns.cost / self.limit.rate
        if turns.waiting >= self._max_waiting or ahead > self._max_wait:
            raise self._refuse(key, Decision(False, 0.0, ahead, ahead))
        turns.waiting += 1
        turns.cost += cost
        try:
            async with turns.lock:
                await self._wait_for_tokens(key, cost, started)
        finally:
            turns.waiting -= 1
            turns.cost -= cost
            if not turns.waiting:
                del self._turns[key]

    async def _wait_for_tokens(self, key: str, cost: float, started: float) -> None:
        slept = False
        while True:
            decision = await self._take(key, cost)
            if decision.allowed:
                self._allowed += 1
                self._waited += slept
                return
            so_far = self._clock.monotonic() - started
            if so_far + decision.retry_after > self._max_wait:
                raise self._refuse(key, decision)
            slept = True
            await self._clock.sleep(decision.retry_after)

    def _refuse(self, key: str, decision: Decision) -> RateLimitedError:
        self._limited += 1
        return RateLimitedError(
            self.name,
            key,
            retry_after=decision.retry_after,
            limit=self.limit.burst,
            remaining=decision.remaining,
            reset=decision.reset,
        )

    def _stored(self, key: str) -> str:
        return f"ratelimit:{self.name}:{key}"

    def _check_cost(self, cost: float) -> None:
        burst = self.limit.burst
        if not 0 <= cost <= burst:
            require(False, "cost", cost, f"from 0 to the burst, {burst:g}, or it could never pass")

    def __repr__(self) -> str:
        return f"RateLimiter({self.name!r}, {self.limit!r})"


class _Turns:
    """The line of one key."""

    __slots__ = ("cost", "lock", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # fair: first come, first served
        self.waiting = 0
        self.cost = 0.0


def _shared(*args: object, **kwargs: object) -> str:
    """Return the one key of a limiter whose calls all share a limit."""
    return ""
