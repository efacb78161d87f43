"""The rate limiter as its users see it."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from typing import Any, Final, Literal, ParamSpec, Self, TypeVar

from mobius_infra.core import (
    AsyncDecorator,
    Backend,
    Clock,
    ConfigurationError,
    Events,
    SystemClock,
    compile_key,
    require,
)
from mobius_infra.ratelimit._decorated import answerer, cost_reader, wrap_leased, wrap_local
from mobius_infra.ratelimit._errors import RateLimitedError
from mobius_infra.ratelimit._gate import Gate
from mobius_infra.ratelimit._kind import SECOND, require_whole
from mobius_infra.ratelimit._lease import Leases, PermitLease
from mobius_infra.ratelimit._limits import Limits, limits_of
from mobius_infra.ratelimit._permit import Permit
from mobius_infra.ratelimit._policy import Decision, Policy
from mobius_infra.ratelimit._settings import RateLimiterConfig, RateLimiterStats
from mobius_infra.ratelimit._shared import OnError, Share, Shared
from mobius_infra.ratelimit._table import Taken, key_of, short

P = ParamSpec("P")
R = TypeVar("R")

# Any, here and below: arguments and answers of whatever function is decorated.
OnLimit = Literal["raise", "wait", "drop"] | Callable[..., Any]
KeyOf = str | Callable[..., str] | None

_TIERS: Final = 1_000  # sets of limits that one limiter meets at most: they are meant to be few


class RateLimiter(AsyncDecorator):
    """Lets each key's calls through at a bounded rate.

        per_user = RateLimiter("per-user", TokenBucket(rate=1, burst=5), key="user_id")

        @per_user
        async def answer(user_id: int, text: str) -> str: ...

    Args:
        name: labels its numbers, events and errors.
        limit: the limit of each key; several, which a call passes all or spends none of; a text
            such as `5/second; 100/minute`; or a function of the call's arguments that returns one
            of these, for quotas by tier. Another limit is another state: who changes tier begins
            afresh.
        key: a template such as `{user_id}`, or a function of the call's arguments, that says whose
            limit a call counts against; None: all calls share one.
        cost: tokens that a call takes: a number, the parameter that says it, or a function of the
            call's arguments.
        on_limit: what a refused call gets: `raise` a `RateLimitedError`; `wait` its turn, first
            come first served; `drop`: it returns None without being made; or a function, called
            with the error and then the call's arguments, whose result (awaited if need be) is
            returned instead.
        max_wait: seconds that a call waits at most; one that would wait longer is refused at once.
        max_waiting: calls of one key that wait at most; more are refused at once.
        max_keys: keys kept in this process at most. New ones share one limit while all are in use.
        backend: keeps the limits for the whole fleet, by its own time; None: this process alone.
            A call that is cancelled while it asks the backend may have spent its cost, unless it
            waits (`on_limit="wait"`).
        lease: takes permits ahead from the backend, for rates that one round trip a call is too
            slow for; see `PermitLease` for what that costs in exactness.
        on_error: while the backend is away: keep to this process's share of the limits (`local`),
            let everything through (`open`), or nothing (`closed`).
        replicas: processes that share the limits, for `local`: each keeps to so small a part of
            rate and burst, of which at least 1.
        mirror: count here too what the backend grants, for `local`: without that, shares are full
            when the backend is lost, and let one more burst through. It costs some microseconds a
            call, and memory for the keys.
        clock: measures all of it where there is no backend.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = (
        "_clock", "_cost", "_fixed", "_gate", "_key", "_lease", "_leases", "_limit", "_max_keys",
        "_on_limit", "_replicas", "_shared", "_shares", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        limit: Limits | Callable[..., Limits],
        *,
        key: KeyOf = None,
        cost: int | str | Callable[..., int] = 1,
        on_limit: OnLimit = "raise",
        max_wait: float = 10.0,
        max_waiting: int = 1_000,
        max_keys: int = 100_000,
        backend: Backend | None = None,
        lease: PermitLease | None = None,
        on_error: OnError = "local",
        replicas: int = 1,
        mirror: bool = False,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "a name for numbers, events and errors")
        known = callable(on_limit) or on_limit in ("raise", "wait", "drop")
        require(known, "on_limit", on_limit, "'raise', 'wait', 'drop' or a function")
        bounded = type(max_wait) in (int, float) and 0 <= max_wait < float("inf")
        require(bounded, "max_wait", max_wait, "zero or more seconds")
        require_whole("max_waiting", max_waiting)
        require_whole("max_keys", max_keys)
        require(
            on_error in ("local", "open", "closed"), "on_error", on_error, "local, open or closed"
        )
        require_whole("replicas", replicas)
        self.name = name
        self.events = Events()
        self._limit = limit
        self._key = key
        self._cost = cost
        self._on_limit = on_limit
        self._max_keys = max_keys
        self._replicas = replicas
        self._clock = clock or SystemClock()
        self._shares: dict[object, Share] = {}
        self._shared: Shared | None = None
        if backend is not None:
            self._shared = Shared(name, backend, on_error, mirror, self._clock, self.events)
        self._lease = lease
        self._leases: Leases | None = None
        self._gate = Gate(
            name,
            self._shared,
            clock=self._clock,
            max_wait=max_wait if on_limit == "wait" else None,
            max_waiting=max_waiting,
        )
        self._fixed: Share | None = None
        if not callable(limit):
            self._fixed = self._share(limit)
            self._check_once(self._fixed)
        elif lease is not None:
            raise ConfigurationError("lease", lease, "left out where the limit is by tier")

    def _check_once(self, share: Share) -> None:
        if not isinstance(self._cost, str) and not callable(self._cost):
            share.policy.check(self.name, self._cost)
        if self._lease is not None:
            require(self._shared is not None, "backend", None, "given, for a lease to be from it")
            require(self._on_limit != "wait", "on_limit", "wait", "another, with a lease")
            require(
                not share.policy.queued,
                "limit",
                share.policy.limits,
                "without a LeakyQueue, for leases",
            )
            assert self._shared is not None  # noqa: S101 - for the type checker
            self._leases = Leases(self._lease, share, self._shared, self._max_keys, self._clock)

    @classmethod
    def from_config(
        cls,
        config: RateLimiterConfig,
        *,
        key: KeyOf = None,
        on_limit: OnLimit | None = None,
        backend: Backend | None = None,
        lease: PermitLease | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Build one from settings, and from what files can't say."""
        given = config.model_dump(exclude={"name", "rate", "burst", "algorithm"})
        if key is not None:
            given["key"] = key
        if on_limit is not None:
            given["on_limit"] = on_limit
        limits = config.limits()
        return cls(config.name, limits, backend=backend, lease=lease, clock=clock, **given)

    async def acquire(self, key: str = "", cost: int = 1, *, limit: Limits | None = None) -> Permit:
        """Take `cost` tokens of `key`; wait for them, if that is how the limiter was made.

        With `drop` or a function as `on_limit`, which answer for calls, a refusal is raised here.

        Args:
            key: whose.
            cost: how many; 0 passes if nobody waits, and takes nothing.
            limit: of the key's tier, where the limiter's limit is a function.

        Raises:
            RateLimitedError: if they are not there, or would not be within `max_wait`.
            CostAboveLimitError: if no wait would be long enough.
            ConfigurationError: if `cost` is not a whole number, or negative.
        """
        share = self._given(limit)
        share.policy.check(self.name, cost)
        taken = await self._enter(share, key, cost)
        back = None if self._leases is None else self._leases.put_back
        return self._gate.permit(share, key, cost, taken, delay=False, back=back)

    async def reserve(
        self, key: str = "", cost: int = 1, *, max_delay: float, limit: Limits | None = None
    ) -> Permit:
        """Take `cost` tokens ahead of their time, without waiting for it.

        The permit's `delay` says how long to wait; its `cancel()` gives them back.

        Args:
            key: whose.
            cost: how many.
            max_delay: seconds that the delay may be at most.
            limit: as of `acquire`.

        Raises:
            RateLimitedError: if the delay would be longer.
            ConfigurationError: for limits by counted windows (`FixedWindow`,
                `SlidingWindowCounter`): they know nothing of windows to come.
        """
        share = self._given(limit)
        policy = share.policy
        policy.check(self.name, cost)
        require(0 <= max_delay < float("inf"), "max_delay", max_delay, "zero or more seconds")
        allowed = "a bucket, a LeakyQueue or a SlidingWindowLog, to reserve"
        require(policy.promises, "limit", policy.limits, allowed)
        patience = min(int(max_delay * SECOND), policy.patience)
        taken = await self._gate.take(share, key, cost, patience)
        return self._gate.permit(share, key, cost, taken, delay=True)

    async def peek(self, key: str = "", cost: int = 1, *, limit: Limits | None = None) -> Decision:
        """Say what a call would get, taking nothing."""
        share = self._given(limit)
        share.policy.check(self.name, cost)
        if self._shared is None:
            taken = share.policy.table.peek(key_of(key), cost)
        else:
            taken = await self._shared.peek(share, key, cost)
        return share.policy.decision(taken, allowed=not taken.wait)

    async def reset(self, key: str = "", *, limit: Limits | None = None) -> None:
        """Give `key` all of its limits again; what was taken here before can't be given back too.

        Raises:
            BackendError: if the backend keeps them and failed.
        """
        share = self._given(limit)
        self._gate.note_reset(short(key))
        if self._shared is None:
            share.policy.table.reset(key_of(key))
        else:
            await self._shared.reset(share, key)
        if self._leases is not None:
            self._leases.forget(key)

    async def release(self) -> None:
        """Give leased permits back that were not used: for when the process ends."""
        if self._leases is not None:
            await self._leases.release()
        await self._gate.settle()

    def stats(self) -> RateLimiterStats:
        """Return the numbers as they are now."""
        tables = {id(part.table): part.table for share in self._shares.values() for part in share}
        shared = self._shared
        mode = "local" if shared is None else "degraded" if shared.degraded else "shared"
        return RateLimiterStats(
            allowed=self._gate.allowed,
            limited=self._gate.limited,
            waited=self._gate.waited,
            backend_errors=0 if shared is None else shared.errors,
            overflowed=sum(table.overflowed for table in tables.values()),
            keys=sum(len(table) for table in tables.values()),
            waiting=self._gate.waiting,
            mode=mode,
        )

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        find_key = compile_key(self._key, func) if self._key is not None else _shared_key
        share = self._fixed
        answers = callable(self._on_limit) or self._on_limit == "drop"
        if share is None or type(self._cost) is not int or answers:
            return self._wrap_any(func, find_key)
        if self._leases is not None:
            return wrap_leased(func, find_key, self._cost, self._leases, self._gate)
        if self._shared is not None or share.policy.queued:
            return self._wrap_any(func, find_key)
        return wrap_local(func, self._key, find_key, self._cost, share, self._gate)

    def _wrap_any(
        self, func: Callable[P, Awaitable[R]], find_key: Callable[..., str]
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Wrap for whatever is decided at the call."""
        find_cost = cost_reader(self._cost, func)
        answer = answerer(self._on_limit)

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            share = self._fixed or self._tier(*args, **kwargs)
            cost = find_cost(*args, **kwargs)
            share.policy.check(self.name, cost)
            try:
                await self._enter(share, find_key(*args, **kwargs), cost)
            except RateLimitedError as error:
                found: R = await answer(error, *args, **kwargs)
                return found
            return await func(*args, **kwargs)

        return wrapper

    async def _enter(self, share: Share, key: str, cost: int) -> Taken:
        if self._leases is None:
            return await self._gate.enter(share, key, cost)
        return self._gate.counted(share, key, await self._leases.take(key, cost))

    def _tier(self, *args: object, **kwargs: object) -> Share:
        assert callable(self._limit)  # noqa: S101 - or the share would be fixed
        return self._share(self._limit(*args, **kwargs))

    def _given(self, limit: Limits | None) -> Share:
        if limit is not None:
            return self._share(limit)
        if self._fixed is None:
            allowed = f"given: the limit of {self.name!r} depends on the call"
            raise ConfigurationError("limit", None, allowed)
        return self._fixed

    def _share(self, limits: Limits) -> Share:
        try:
            return self._shares[limits]
        except TypeError:  # a list
            return self._share(tuple(limits))  # type: ignore[arg-type]  # only lists are unhashable
        except KeyError:
            require(len(self._shares) < _TIERS, "limit", limits, f"one of at most {_TIERS} in all")
        made = partial(Policy, max_keys=self._max_keys, clock=self._clock)
        local = whole = made(limits)
        if self._shared is not None and self._replicas > 1:
            local = made([limit.shared(self._replicas) for limit in limits_of(limits)])
        share = self._shares[limits] = Share(whole, local)
        return share

    def __repr__(self) -> str:
        limit = self._limit
        named = limit if callable(limit) else ", ".join(map(repr, limits_of(limit)))
        return f"RateLimiter({self.name!r}, {named})"


def _shared_key(*args: object, **kwargs: object) -> str:
    """Return the one key of a limiter whose calls all share a limit."""
    return ""
