"""`@cache.batched(…)`: many keys in one call, and one load for those that are missing."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Generic, Protocol, TypeVar, get_args, get_type_hints

from mobius_infra.cache._decorator import name_of
from mobius_infra.cache._engine import Engine
from mobius_infra.cache._entry import MISSING, Failure, Recipe, Terms, Ttl
from mobius_infra.cache._keys import bounded, encode_key
from mobius_infra.cache._owed import Invalidation
from mobius_infra.core import Codec, own_instance, require_async

K = TypeVar("K")
K_contra = TypeVar("K_contra", contravariant=True)
V = TypeVar("V")


class Batched(Protocol[K, V]):
    """A cached function of many keys."""

    # Any: the send and yield types of coroutines, which no caller sees.
    def __call__(self, keys: Iterable[K], /) -> Coroutine[Any, Any, dict[K, V]]:
        """Return what is known of `keys`, cached or loaded; what the function left out is not."""
        ...

    @property
    def invalidate(self) -> Callable[[Iterable[K]], Coroutine[Any, Any, None]]:
        """Forget the values of these keys, in every tier."""
        ...


class _Load(Generic[K, V]):
    """One load of all the keys of one call that no tier has.

    Each key looks into the lower tiers by itself; when the last has either been found there or
    asked to be loaded, those that asked are loaded together.
    """

    def __init__(
        self, func: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], keys: Iterable[K]
    ) -> None:
        self._func = func
        self._undecided = set(keys)
        self._asked: list[K] = []
        self._waiting = 0
        self._task: asyncio.Task[Mapping[K, V]] | None = None
        self._ready = asyncio.Event()

    async def serve(self, engine: Engine, recipe: Recipe, key: K) -> Any:
        """Return the value of one key, or `MISSING`."""
        if engine.joinable(recipe) is not None:
            self._decide(key)  # someone loads it already: it is waited for, not loaded again
        try:
            return await engine.serve(recipe)
        finally:
            self._decide(key)

    async def ask(self, key: K) -> Any:
        """Load one key, together with the others."""
        if self._task is not None:  # too late for that one: whoever loaded it before gave up
            return (await self._func([key])).get(key, MISSING)
        self._asked.append(key)
        self._waiting += 1
        self._decide(key)
        try:
            await self._ready.wait()
            if self._task is None:
                self._task = asyncio.ensure_future(self._run())
            loaded = await asyncio.shield(self._task)
            return loaded.get(key, MISSING)
        except Exception as error:  # noqa: BLE001 - each waiter raises its own
            raise own_instance(error) from error.__cause__
        finally:
            self._waiting -= 1
            if not self._waiting and self._task is not None:
                self._task.cancel()

    def _decide(self, key: K) -> None:
        self._undecided.discard(key)
        if not self._undecided:
            self._ready.set()

    async def _run(self) -> Mapping[K, V]:
        return await self._func(self._asked)


class BatchedDecorator:
    """What `Cache.batched` returns: decorates an async function from keys to values."""

    # Any, in this class: whatever is cached, and the codec's options.
    def __init__(
        self,
        engine: Engine,
        *,
        ttl: Ttl | None,
        tags: tuple[str, ...],
        when: Callable[[Any], bool] | None,
        codec_options: Mapping[str, Any],
    ) -> None:
        self._engine = engine
        self._ttl = ttl
        self._tags = tags
        self._when = when
        self._codec_options = codec_options

    def __call__(self, func: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], /) -> Batched[K, V]:
        require_async(func, by=repr(self))
        engine, prefix = self._engine, f"{name_of(func)}:"
        codec: Codec[Any] = Codec(_value_type(func), **self._codec_options)

        def worth_keeping(value: Any) -> bool:
            return value is not MISSING and (self._when is None or self._when(value))

        terms = Terms(codec, self._ttl, worth_keeping, alone=True)

        def key_of(item: K) -> str:
            return prefix + bounded(encode_key(item))

        def recipe(item: K, load: _Load[K, V]) -> Recipe:
            tags = tuple(tag.format(item) for tag in self._tags)
            return Recipe(key_of(item), lambda: load.ask(item), tags, terms)

        @wraps(func)
        async def wrapper(keys: Iterable[K], /) -> dict[K, V]:
            items = list(dict.fromkeys(keys))
            found: dict[K, Any] = {}
            missing = []
            for item in items:
                value = engine.store.hit(key_of(item))
                if value is MISSING or isinstance(value, Failure):
                    missing.append(item)
                else:
                    found[item] = value
            if missing:
                load = _Load(func, missing)
                values = await asyncio.gather(
                    *(load.serve(engine, recipe(item, load), item) for item in missing)
                )
                found.update(zip(missing, values, strict=True))
            return {item: found[item] for item in items if found[item] is not MISSING}

        async def invalidate(keys: Iterable[K]) -> None:
            await engine.invalidate(Invalidation(keys=tuple(map(key_of, keys))))

        vars(wrapper).update(invalidate=invalidate)
        return wrapper  # type: ignore[return-value]  # `invalidate` was set above

    def __repr__(self) -> str:
        return f"{self._engine.name}.batched()"


def _value_type(func: Callable[..., object]) -> Any:
    """Return what the values of the returned mapping are annotated to be; None if not known."""
    try:
        returned = get_args(get_type_hints(func).get("return"))
    except (NameError, TypeError):  # names known only to type checkers, or not a function
        return None
    return returned[1] if len(returned) == 2 else None
