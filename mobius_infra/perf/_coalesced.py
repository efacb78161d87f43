"""`@coalesced`: calls that ask for the same while it is under way share one call."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextvars import copy_context
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mobius_infra.core import AsyncDecorator, Events, Stats, compile_key, counter, gauge
from mobius_infra.perf._checks import require_name
from mobius_infra.perf._shared import Shared

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class CoalescedStats(Stats):
    """The numbers of a coalesced function."""

    started: int = counter("Calls that were made")
    joined: int = counter("Calls that shared one that was under way")
    abandoned: int = counter("Calls that were cancelled because nobody waited any more")
    under_way: int = gauge("Calls under way")


class Coalesced(AsyncDecorator):
    """Single flight without a cache. Made by `coalesced`, where its settings are described."""

    __slots__ = ("_abandoned", "_joined", "_key", "_started", "_under_way", "events", "name")

    def __init__(self, name: str, key: str | Callable[..., Hashable] | None) -> None:
        self.name = name
        self.events = Events()
        self._key = key
        self._started = self._joined = self._abandoned = self._under_way = 0

    def stats(self) -> CoalescedStats:
        """Return the numbers as they are now."""
        return CoalescedStats(self._started, self._joined, self._abandoned, self._under_way)

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        key_of = by_arguments if self._key is None else key_function(self._key, func)
        # By loop too: a loop that was stopped in the middle leaves calls that never end.
        flights: dict[tuple[asyncio.AbstractEventLoop, Hashable], Shared[R]] = {}

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            at = (asyncio.get_running_loop(), key_of(*args, **kwargs))
            shared = flights.get(at)
            if shared is not None:
                self._joined += 1
                return await shared.join()

            def forget(shared: Shared[R]) -> None:
                if flights.get(at) is shared:
                    del flights[at]
                    self._under_way -= 1
                    self._abandoned += shared.abandoned

            work = func(*args, **kwargs)
            shared = flights[at] = Shared(self.name, forget)
            self._started += 1
            self._under_way += 1
            shared.start(work, copy_context())
            return await shared.join()

        return wrapper

    def __repr__(self) -> str:
        return f"Coalesced({self.name!r}, under_way={self._under_way})"


def coalesced(name: str, *, key: str | Callable[..., Hashable] | None = None) -> Coalesced:
    """Let calls with equal arguments share one call while it is under way.

        @coalesced("rates")
        async def rate(currency: str) -> Decimal: ...

    The call runs in a task of its own, with the context variables of the first caller. Each caller
    may be cancelled alone; when the last has gone, the call is cancelled. The next call then begins
    anew: neither results nor errors nor cancellations are kept. A call that waits for itself,
    directly or through other coalesced calls that its own task awaits, raises `WorkCycleError`.

    Args:
        name: for numbers and errors.
        key: what makes two calls the same: a template such as `"{user_id}"`, or a function of the
            arguments. By default all arguments and their types, which must be hashable.
    """
    require_name(name)
    return Coalesced(name, key)


def by_arguments(*args: object, **kwargs: object) -> Hashable:
    """Return a key of all arguments; with types, since 1 == True == 1.0."""
    if kwargs:
        named = tuple(sorted(kwargs.items(), key=_first))
        return args, named, tuple(map(type, args)), tuple(type(value) for _, value in named)
    return args, tuple(map(type, args))


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


def key_function(
    key: str | Callable[..., Hashable], func: Callable[..., object]
) -> Callable[..., Hashable]:
    """Compile a key of calls of `func`.

    Raises:
        ConfigurationError: if it names no parameter of `func`.
    """
    return compile_key(key, func) if isinstance(key, str) else key
