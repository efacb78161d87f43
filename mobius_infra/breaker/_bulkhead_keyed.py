"""A bulkhead for each key: one host that is slow takes no other's slots."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mobius_infra.breaker._bulkhead import Bulkhead, BulkheadStats
from mobius_infra.breaker._keys import KeyTemplate, key_function
from mobius_infra.core import AsyncDecorator, Events, gauge

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class KeyedBulkheadStats(BulkheadStats):
    """The numbers of all keys together; the limit is that of each."""

    keys: int = gauge("Keys that have calls under way")


class KeyedBulkhead(AsyncDecorator):
    """A limit for each key. Made by `bulkhead` with a `key`, which describes its settings.

    A key takes memory only while it has calls under way: there are never more keys than calls.
    """

    __slots__ = ("_key", "_make", "_parts", "_totals", "events", "limit", "name")

    def __init__(
        self, name: str, limit: int, key: KeyTemplate, make: Callable[[str], Bulkhead]
    ) -> None:
        self.name = name
        self.limit = limit
        self.events = Events()
        self._key = key
        self._make = make
        self._parts: dict[str, Bulkhead] = {}
        self._totals = make("").stats()  # of keys that have no calls under way any more

    def stats(self) -> KeyedBulkheadStats:
        """Return the numbers as they are now; takes time in proportion to the keys in use."""
        total = self._totals
        for part in self._parts.values():
            total = _sum(total, part.stats())
        return KeyedBulkheadStats(
            admitted=total.admitted,
            waited=total.waited,
            rejected=total.rejected,
            limit=self.limit,
            in_use=total.in_use,
            waiting=total.waiting,
            keys=len(self._parts),
        )

    @asynccontextmanager
    async def slot(self, key: str) -> AsyncIterator[None]:
        """Hold a slot of `key` in an `async with` block.

        Raises:
            BulkheadFullError: if there is no room to wait, or it waited for `max_wait`.
        """
        part = self._part(key)
        try:
            async with part:
                yield
        finally:
            self._leave(key, part)

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        key_of = key_function(self._key, func)

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            key = key_of(*args, **kwargs)
            part = self._part(key)
            try:
                async with part:
                    return await func(*args, **kwargs)
            finally:
                self._leave(key, part)

        return wrapper

    def _part(self, key: str) -> Bulkhead:
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = self._make(key)
            part.events.subscribe(self.events.emit)
        return part

    def _leave(self, key: str, part: Bulkhead) -> None:
        # Who was turned away may come to know it only when the key has been forgotten, and begun
        # anew by another call.
        if not part.in_use and self._parts.get(key) is part:
            del self._parts[key]
            self._totals = _sum(self._totals, part.stats())

    def __repr__(self) -> str:
        return f"KeyedBulkhead({self.name!r}, {self.limit} each, {len(self._parts)} keys)"


def _sum(one: BulkheadStats, other: BulkheadStats) -> BulkheadStats:
    return BulkheadStats(
        admitted=one.admitted + other.admitted,
        waited=one.waited + other.waited,
        rejected={reason: each + other.rejected[reason] for reason, each in one.rejected.items()},
        limit=one.limit,
        in_use=one.in_use + other.in_use,
        waiting=one.waiting + other.waiting,
    )
