"""`@batched`: calls for one key each, made as one call for many (a DataLoader)."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Generic, TypeVar, overload

from mobius_infra.core import (
    Clock,
    Events,
    Stats,
    SystemClock,
    call_later,
    counter,
    decorate,
    own_instance,
    require,
)
from mobius_infra.perf._checks import require_count, require_name, require_seconds
from mobius_infra.perf._shared import Shared
from mobius_infra.perf._work_errors import BatchKeyError, WorkCancelledError

K = TypeVar("K")
V = TypeVar("V")
Owner = TypeVar("Owner")


@dataclass(frozen=True, slots=True)
class BatchedStats(Stats):
    """The numbers of a batched function."""

    calls: int = counter("Calls, for one key each")
    batches: int = counter("Batches that were begun")
    keys: int = counter("Keys in them; a key that is asked for twice is there once")


class _Batch(Generic[K, V]):
    """Keys that are being collected, then loaded together."""

    __slots__ = ("_by", "_context", "_forget", "_func", "_keys", "_sent", "shared", "stop_timer")

    def __init__(
        self,
        by: "Batched",
        func: Callable[[Sequence[K]], Awaitable[Mapping[K, V | Exception]]],
        forget: Callable[[], object],
    ) -> None:
        self._by = by
        self._func = func
        self._forget = forget
        self._context: Context = copy_context()  # of whoever asked first
        self._keys: dict[K, int] = {}  # how many callers wait for each
        self._sent = False
        self.shared: Shared[Mapping[K, V | Exception]] = Shared(by.name, _nothing)
        self.stop_timer: Callable[[], object] = _nothing

    async def load(self, key: K) -> V:
        """Return the value of one key, when all are there."""
        keys = self._keys
        keys[key] = keys.get(key, 0) + 1
        if len(keys) >= self._by.max_size:
            self.send()
        try:
            values = await self.shared.join()
        finally:
            if not self._sent:
                self._leave(key)
        if key not in values:
            raise BatchKeyError(self._by.name, key)
        value = values[key]
        if isinstance(value, asyncio.CancelledError):  # from a gather that returns exceptions
            raise WorkCancelledError(self._by.name)
        if isinstance(value, Exception):
            raise own_instance(value)
        return value

    def _leave(self, key: K) -> None:
        self._keys[key] -= 1
        if not self._keys[key]:
            del self._keys[key]
        if not self._keys:
            self._close()

    def _close(self) -> None:
        self.stop_timer()
        self._forget()

    def send(self) -> None:
        """Load what was collected."""
        self._sent = True
        self._close()
        self._by.count_batch(len(self._keys))
        self.shared.start(self._load(), self._context)

    async def _load(self) -> Mapping[K, V | Exception]:
        values = await self._func(list(self._keys))
        good = isinstance(values, Mapping)
        require(good, f"what {self._by.name!r} returned", values, "a mapping from key to value")
        return values


def _nothing(*_: object) -> None:
    """Do what there is to do."""


class Batched:
    """Collects calls. Made by `batched`, where its settings are described."""

    __slots__ = ("_batches", "_calls", "_clock", "_keys", "_max_wait", "events", "max_size", "name")

    def __init__(self, name: str, *, max_size: int, max_wait: float, clock: Clock) -> None:
        self.name = name
        self.events = Events()
        self.max_size = max_size
        self._max_wait = max_wait
        self._clock = clock
        self._calls = self._batches = self._keys = 0

    def stats(self) -> BatchedStats:
        """Return the numbers as they are now."""
        return BatchedStats(self._calls, self._batches, self._keys)

    def count_batch(self, keys: int) -> None:
        """Note that a batch begins."""
        self._batches += 1
        self._keys += keys

    # Any: the send and yield types of coroutines, which no caller of them sees.
    @overload
    def __call__(
        self, func: "staticmethod[[Sequence[K]], Awaitable[Mapping[K, V | Exception]]]", /
    ) -> "staticmethod[[K], Coroutine[Any, Any, V]]": ...
    @overload
    def __call__(
        self, func: "classmethod[Owner, [Sequence[K]], Awaitable[Mapping[K, V | Exception]]]", /
    ) -> "classmethod[Owner, [K], Coroutine[Any, Any, V]]": ...
    @overload
    def __call__(
        self, func: Callable[[Sequence[K]], Awaitable[Mapping[K, V | Exception]]], /
    ) -> Callable[[K], Coroutine[Any, Any, V]]: ...
    @overload
    def __call__(
        self, func: Callable[[Owner, Sequence[K]], Awaitable[Mapping[K, V | Exception]]], /
    ) -> Callable[[Owner, K], Coroutine[Any, Any, V]]: ...
    def __call__(self, func: Any, /) -> Any:  # Any: the overloads above are the signature
        return decorate(func, self._wrap, by=repr(self))

    def _wrap(self, func: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        taken = sum(each.kind in kinds for each in signature(func).parameters.values())
        allowed = "a function of the keys, or of an object and the keys"
        require(taken in (1, 2), f"the function decorated by {self!r}", func, allowed)
        # An owner is known by its identity while a batch for it is open, which keeps it alive.
        batches: dict[tuple[asyncio.AbstractEventLoop, int], _Batch[Any, Any]] = {}

        def load(key: Any, owner: int, func: Callable[..., Any]) -> Coroutine[Any, Any, Any]:
            hash(key)  # what can't be a key is refused before a batch is opened for it
            self._calls += 1
            at = (asyncio.get_running_loop(), owner)
            batch = batches.get(at)
            if batch is None:
                batch = batches[at] = _Batch(self, func, lambda: batches.pop(at, None))
                batch.stop_timer = self._in_time(batch.send)
            return batch.load(key)

        @wraps(func)
        async def of_key(key: Any, /) -> Any:
            return await load(key, 0, func)

        @wraps(func)
        async def of_owner(owner: Any, key: Any, /) -> Any:
            return await load(key, id(owner), lambda keys: func(owner, keys))

        return of_key if taken == 1 else of_owner

    def _in_time(self, send: Callable[[], None]) -> Callable[[], object]:
        if self._max_wait == 0:
            return asyncio.get_running_loop().call_soon(send).cancel
        return call_later(self._clock, self._max_wait, send)

    def __repr__(self) -> str:
        return f"Batched({self.name!r}, max_size={self.max_size}, max_wait={self._max_wait:g})"


def batched(
    name: str, *, max_size: int = 100, max_wait: float = 0.0, clock: Clock | None = None
) -> Batched:
    """Turn a function of many keys into one of a single key, whose calls are collected.

        @batched("users", max_size=100, max_wait=0.002)
        async def user(ids: Sequence[int]) -> Mapping[int, User | Exception]: ...

        await user(7)

    The function returns a mapping. A value that is an `Exception` is raised for those who asked for
    that key, a key that is left out is a `BatchKeyError` for them; what the function raises is
    raised by all. A key that several ask for is in a batch once. A call that comes when a batch has
    begun is for the next one, so it never gets what was read before it was made.

    A batch runs in a task of its own, with the context variables of whoever opened it. A caller who
    is cancelled takes his key out if the batch has not begun; when all have gone, it is cancelled.
    In a class each object has batches of its own.

    Args:
        name: for numbers and errors.
        max_size: keys in a batch at most; then it begins at once.
        max_wait: seconds that the first key waits for others; 0: until the tasks that are ready
            now have had their turn, which costs no time and catches what is gathered.
        clock: where time comes from.
    """
    require_name(name)
    require_count("max_size", max_size)
    require_seconds("max_wait", max_wait)
    return Batched(name, max_size=max_size, max_wait=max_wait, clock=clock or SystemClock())
