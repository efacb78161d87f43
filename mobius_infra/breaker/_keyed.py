"""A breaker for each key: one host that is down closes no other's circuit."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar, Unpack
from weakref import WeakKeyDictionary

from mobius_infra.breaker._breaker import CircuitBreaker
from mobius_infra.breaker._checks import require_count
from mobius_infra.breaker._config import BreakerConfig
from mobius_infra.breaker._keys import KeyTemplate, key_function
from mobius_infra.breaker._policy import CodeOptions, Options
from mobius_infra.breaker._state import State
from mobius_infra.breaker._stats import BreakerStats
from mobius_infra.breaker._streams import StreamDecorator, guard_stream
from mobius_infra.core import Events, Stats, counter, gauge

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class KeyedStats(Stats):
    """The numbers of all circuits together, forgotten ones included."""

    keys: int = gauge("Circuits that are remembered")
    open_keys: int = gauge("Circuits that are not closed")
    forgotten: int = counter("Closed circuits that made room for others")
    unguarded: int = counter("Calls let through uncounted: no circuit could be forgotten")
    successes: int = counter("Calls that succeeded")
    failures: int = counter("Calls that failed")
    neutral: int = counter("Calls that say nothing: cancelled, ignored, rejected further in")
    slow: int = counter("Calls that took longer than slow_after, however they ended")
    overdue: int = counter("Probes that did not return in time")
    rejected: int = counter("Calls that were rejected")
    would_reject: int = counter("Calls that would have been, but for shadow mode")
    opened: int = counter("Times that a circuit opened")
    would_open: int = counter("Times that one would have, but for shadow mode")


_COUNTERS = tuple(
    each.name for each in fields(BreakerStats) if each.metadata.get("kind") == "counter"
)


class KeyedBreaker(StreamDecorator):
    """A circuit for each key, all by the same rules.

        per_host = KeyedBreaker("fetch", key="host")

        @per_host
        async def fetch(host: str, path: str) -> bytes: ...

        per_host.breaker("api.example.com").explain()

    At most `most` circuits are remembered. When there are more keys, the closed circuit that was
    not used for longest is forgotten, with what it had counted; one that is not closed never is.
    When none is closed, calls for further keys go through unguarded and are counted as such: it
    fails open, since what is down for so many keys is not told by a circuit for one.

    Args:
        name: labels its numbers, events and errors; events and errors carry the key too.
        key: a parameter of the decorated function, a template such as `"{host}:{port}"`, or a
            function of the same arguments. What a template joins is quoted as in URLs; a parameter
            alone is not.
        most: circuits remembered.
        options: as of `CircuitBreaker`.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = (
        "_alone", "_away", "_busy", "_forgotten", "_idle", "_key", "_most", "_policy", "_totals",
        "_unguarded", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        key: KeyTemplate,
        most: int = 10_000,
        **options: Unpack[Options],
    ) -> None:
        require_count("most", most)
        self.name = name
        self.events = Events()
        self._key = key
        self._most = most
        fleet = options.pop("fleet", None)
        self._alone = CircuitBreaker(name, **options).policy
        self._policy = replace(self._alone, fleet=fleet)
        self._idle: OrderedDict[str, CircuitBreaker] = OrderedDict()  # closed, oldest use first
        self._busy: dict[str, CircuitBreaker] = {}  # in any other state
        self._totals = dict.fromkeys(_COUNTERS, 0)  # of those forgotten
        # What those of them that have calls in flight, and so may come back, added to it.
        self._away: WeakKeyDictionary[CircuitBreaker, BreakerStats] = WeakKeyDictionary()
        self._forgotten = self._unguarded = 0

    @classmethod
    def from_config(
        cls,
        config: BreakerConfig,
        *,
        key: KeyTemplate,
        most: int = 10_000,
        **options: Unpack[CodeOptions],
    ) -> Self:
        """Build one from settings, and from what files can't say."""
        return cls(config.name, key=key, most=most, **config.options(**options))

    def breaker(self, key: str) -> CircuitBreaker:
        """Return the circuit of `key`. Look it up anew each time: it may be forgotten later."""
        found = self._idle.get(key)
        if found is not None:
            self._idle.move_to_end(key)
            return found
        found = self._busy.get(key)
        return self._make(key) if found is None else found

    def open_keys(self) -> dict[str, State]:
        """Return the keys whose circuits are not closed, and their states."""
        return {key: each.explain().state for key, each in list(self._busy.items())}

    def stats(self) -> KeyedStats:
        """Return the numbers as they are now; takes time in proportion to the keys."""
        totals = dict(self._totals)
        for breaker in [*self._idle.values(), *self._busy.values()]:
            _add(totals, breaker.stats())
        return KeyedStats(
            keys=len(self._idle) + len(self._busy),
            open_keys=len(self._busy),
            forgotten=self._forgotten,
            unguarded=self._unguarded,
            **totals,
        )

    def _make(self, key: str) -> CircuitBreaker:
        full = len(self._busy) >= self._most
        policy = self._alone if full else self._policy
        made = CircuitBreaker.one_of(policy, self.name, key, self.events, self._moved)
        if full:
            self._unguarded += 1
        else:
            self._idle[key] = made
            self._make_room()
        return made

    def _moved(self, breaker: CircuitBreaker, state: State) -> None:
        """Keep the closed ones, which may be forgotten, apart from the others."""
        key = breaker.key
        assert key is not None  # noqa: S101 - made by `_make`
        if state is State.CLOSED:
            if self._busy.get(key) is breaker:
                del self._busy[key]
                self._idle[key] = breaker
            return
        # One that was forgotten with calls in flight comes back by their failing, if there is
        # room; what somebody isolated by hand always has some.
        known = self._idle.get(key) is breaker or state is State.ISOLATED
        if key not in self._busy and (known or len(self._busy) < self._most):
            self._recall(breaker, self._idle.pop(key, None))
            self._busy[key] = breaker
            self._make_room()

    def _recall(self, breaker: CircuitBreaker, idle: CircuitBreaker | None) -> None:
        """Let `breaker` take the place of `idle`; the numbers of neither are lost or doubled."""
        if breaker in self._away:
            _add(self._totals, self._away.pop(breaker), -1)
        if idle is not None and idle is not breaker:
            self._forget(idle)

    def _make_room(self) -> None:
        while self._idle and len(self._idle) + len(self._busy) > self._most:
            _, oldest = self._idle.popitem(last=False)
            self._forget(oldest)

    def _forget(self, breaker: CircuitBreaker) -> None:
        self._away[breaker] = stats = breaker.stats()
        _add(self._totals, stats)
        self._forgotten += 1

    def key_of(self, func: Callable[..., object]) -> Callable[..., str]:
        """Return the function that gives the key of a call of `func`. For `resilient`."""
        return key_function(self._key, func)

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        key_of = self.key_of(func)

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self.breaker(key_of(*args, **kwargs)).call(func, *args, **kwargs)

        return wrapper

    def _wrap_stream(
        self, func: Callable[P, AsyncGenerator[Any, Any]]
    ) -> Callable[P, AsyncGenerator[Any, Any]]:
        key_of = self.key_of(func)
        return guard_stream(
            lambda *args, **kwargs: self.breaker(key_of(*args, **kwargs)), self._policy.clock, func
        )

    def __repr__(self) -> str:
        return f"KeyedBreaker({self.name!r}, keys={len(self._idle) + len(self._busy)})"


def _add(totals: dict[str, int], stats: BreakerStats, sign: int = 1) -> None:
    for name in _COUNTERS:
        totals[name] += sign * getattr(stats, name)
