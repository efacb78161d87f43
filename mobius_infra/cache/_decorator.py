"""`@cache.cached(…)`: the wrapper around a function, and what it can do besides being called."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    get_type_hints,
    overload,
)

from mobius_infra.cache._keys import KeyFunction, key_function
from mobius_infra.core import Codec, compile_key, decorate

if TYPE_CHECKING:
    from mobius_infra.cache._cache import Cache

P = ParamSpec("P")
Rest = ParamSpec("Rest")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Owner = TypeVar("Owner")


class Cached(Protocol[P, R_co]):
    """A cached function: called as before, and able to forget.

    Decorated methods take their object explicitly here: `Service.price.invalidate(service, "btc")`.
    """

    # Any, in this class: the send and yield types of coroutines, which no caller sees.
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Return the cached value of this call, or make the call."""
        ...

    @overload
    def __get__(self, instance: None, owner: type) -> "Cached[P, R_co]": ...
    @overload
    def __get__(
        self: "Cached[Concatenate[Owner, Rest], R_co]", instance: Owner, owner: type
    ) -> Callable[Rest, Coroutine[Any, Any, R_co]]: ...

    @property
    def invalidate(self) -> Callable[P, Coroutine[Any, Any, None]]:
        """Forget the value of this call, in every tier."""
        ...

    @property
    def refresh(self) -> Callable[P, Coroutine[Any, Any, R_co]]:
        """Make the call now and hold what it returns."""
        ...

    @property
    def peek(self) -> Callable[P, Coroutine[Any, Any, R_co | None]]:
        """Return the value of this call if a tier holds it; None if not. Makes no call."""
        ...


class CachedDecorator:
    """What `Cache.cached` returns: decorates one or more async functions."""

    # Any: an annotation, see Codec.
    def __init__(
        self,
        cache: "Cache",
        *,
        ttl: float | None,
        key: str | Callable[..., str] | None,
        tags: tuple[str, ...],
        type_: Any,
    ) -> None:
        self._cache = cache
        self._ttl = ttl
        self._key = key
        self._tags = tags
        self._type = type_

    # The protocol `Cached` is wider than what a static or class method becomes, on purpose.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, func: "staticmethod[P, Awaitable[R]]", /
    ) -> "staticmethod[P, Coroutine[Any, Any, R]]": ...
    @overload
    def __call__(
        self, func: "classmethod[Owner, P, Awaitable[R]]", /
    ) -> "classmethod[Owner, P, Coroutine[Any, Any, R]]": ...
    @overload
    def __call__(self, func: Callable[P, Awaitable[R]], /) -> Cached[P, R]: ...
    def __call__(self, func: Any, /) -> Any:  # Any: the overloads are the signature
        return decorate(func, self._wrap, by=repr(self))

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Cached[P, R]:
        cache, ttl = self._cache, self._ttl
        named = f"{func.__module__}.{getattr(func, '__qualname__', type(func).__qualname__)}"
        key_of = key_function(f"{named}:", self._key, func)
        tags_of = self._tags_of(func)
        codec: Codec[Any] = Codec(self._type_of(func), **cache.codec_options)
        hit = self._hit_of(key_of)

        def loader(*args: P.args, **kwargs: P.kwargs) -> Callable[[], Awaitable[R]]:
            return lambda: func(*args, **kwargs)

        async def missed(key: str, *args: P.args, **kwargs: P.kwargs) -> R:
            load = loader(*args, **kwargs)
            value: R = await cache.load(key, load, ttl, tags_of(*args, **kwargs), codec)
            return value

        wrapper = wraps(func)(hit(missed))

        async def invalidate(*args: P.args, **kwargs: P.kwargs) -> None:
            await cache.drop([key_of(*args, **kwargs)])

        async def refresh(*args: P.args, **kwargs: P.kwargs) -> R:
            load, tags = loader(*args, **kwargs), tags_of(*args, **kwargs)
            value: R = await cache.reload(key_of(*args, **kwargs), load, ttl, tags, codec)
            return value

        async def peek(*args: P.args, **kwargs: P.kwargs) -> R | None:
            value = await cache.peek(key_of(*args, **kwargs), codec)
            return None if value is cache.missing else cast("R", value)

        vars(wrapper).update(invalidate=invalidate, refresh=refresh, peek=peek)
        # A plain function, so that it binds as a method; the protocol says what it carries.
        return cast("Cached[P, R]", wrapper)

    # Any: the wrapper's signature is put back by `wraps` and the cast above.
    def _hit_of(self, key_of: KeyFunction) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Make the hot path: a look into memory, with no await, no lock, no call but the key's."""
        cache = self._cache
        entries, marks, monotonic = cache.memory.entries, cache.marks, cache.clock.monotonic

        def around(missed: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                key = key_of(*args, **kwargs)
                entry = entries.get(key)
                if (
                    entry is not None
                    and entry.fresh_until > monotonic()
                    and (entry.sequence == marks.sequence or marks.valid(entry))
                ):
                    entry.visited = True
                    cache.memory_hits += 1
                    return entry.value
                return await missed(key, *args, **kwargs)

            return wrapper

        return around

    def _tags_of(self, func: Callable[..., object]) -> Callable[..., tuple[str, ...]]:
        templates = self._tags
        if not any("{" in each for each in templates):
            return lambda *args, **kwargs: templates
        # A bare word is a tag here, not the name of a parameter as it is in a key.
        compiled = [
            compile_key(each, func) if "{" in each else (lambda *a, _tag=each, **k: _tag)
            for each in templates
        ]
        return lambda *args, **kwargs: tuple(each(*args, **kwargs) for each in compiled)

    def _type_of(self, func: Callable[..., object]) -> Any:
        if self._type is not None:
            return self._type
        try:
            return get_type_hints(inspect.unwrap(func)).get("return")
        except (NameError, TypeError):  # names known only to type checkers, or not a function
            return None

    def __repr__(self) -> str:
        return f"{self._cache.name}.cached()"
