"""`@cache.cached(…)`: the wrapper around a function, and what it can do besides being called."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from copy import deepcopy
from functools import wraps
from typing import (
    Any,
    Concatenate,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    get_type_hints,
    overload,
)

from mobius_infra.cache._call import Index, fields_of, make_wrapper
from mobius_infra.cache._engine import Engine
from mobius_infra.cache._entry import MISSING, Recipe, Terms, Ttl
from mobius_infra.cache._keys import key_function
from mobius_infra.cache._owed import Invalidation
from mobius_infra.core import Clock, Codec, compile_key, decorate

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
    def invalidate_all(self) -> Callable[[], Coroutine[Any, Any, None]]:
        """Forget the values of all calls of this function, in every tier."""
        ...

    @property
    def peek(self) -> Callable[P, Coroutine[Any, Any, R_co | None]]:
        """Return the value of this call if a tier holds it; None if not. Makes no call."""
        ...


class CachedDecorator:
    """What `Cache.cached` returns: decorates one or more async functions."""

    # Any: an annotation, see Codec; whatever the function returns.
    def __init__(
        self,
        engine: Engine,
        *,
        ttl: Ttl | None,
        key: str | Callable[..., str] | None,
        tags: tuple[str, ...],
        when: Callable[[Any], bool] | None,
        copies: bool,
        type_: Any,
        codec_options: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._ttl = ttl
        self._key = key
        self._tags = tags
        self._when = when
        self._copies = copies
        self._type = type_
        self._codec_options = codec_options
        self._clock = clock

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
        engine = self._engine
        prefix = f"{name_of(func)}:"
        key_of = key_function(prefix, self._key, func)
        tags_of = self._tags_of(func)
        codec: Codec[Any] = Codec(self._type_of(func), **self._codec_options)
        terms = Terms(codec, self._ttl, self._when)

        def recipe(*args: P.args, **kwargs: P.kwargs) -> Recipe:
            key, tags = key_of(*args, **kwargs), tags_of(*args, **kwargs)
            return Recipe(key, lambda: func(*args, **kwargs), tags, terms)

        wrapper = self._wrapper(func, recipe)
        if self._copies:
            wrapper = _copying(wrapper)
        wrapper = wraps(func)(wrapper)

        async def invalidate(*args: P.args, **kwargs: P.kwargs) -> None:
            await engine.invalidate(Invalidation(keys=(key_of(*args, **kwargs),)))

        async def invalidate_all() -> None:
            await engine.invalidate(Invalidation(prefixes=(prefix,)))

        async def refresh(*args: P.args, **kwargs: P.kwargs) -> R:
            await invalidate(*args, **kwargs)
            value: R = await engine.load(recipe(*args, **kwargs))
            return value

        async def peek(*args: P.args, **kwargs: P.kwargs) -> R | None:
            found = await engine.store.peek(recipe(*args, **kwargs))
            return None if found is MISSING else cast("R", found)

        vars(wrapper).update(
            invalidate=invalidate, invalidate_all=invalidate_all, refresh=refresh, peek=peek
        )
        # A plain function, so that it binds as a method; the protocol says what it carries.
        return cast("Cached[P, R]", wrapper)

    # Any: the wrapper's signature is put back by `wraps` and the cast above.
    def _wrapper(
        self, func: Callable[..., Any], recipe: Callable[..., Recipe]
    ) -> Callable[..., Any]:
        engine, memory = self._engine, self._engine.store.memory
        # Where memory holds nothing, there is no need to look there.
        serve = engine.serve if memory.max_entries else engine.load

        async def plain(*args: Any, **kwargs: Any) -> Any:
            return await serve(recipe(*args, **kwargs))

        signature = inspect.signature(func)
        fields = fields_of(self._key, signature)
        if fields is None or not memory.max_entries:
            return plain
        index = Index(memory)

        async def missed(
            alias: Hashable, kinds: tuple[type, ...], *args: Any, **kwargs: Any
        ) -> Any:
            made = recipe(*args, **kwargs)
            value = await serve(made)
            index.link(made.key, alias, kinds)
            return value

        return make_wrapper(
            signature,
            fields,
            index,
            memory,
            engine.store.marks,
            self._clock.monotonic,
            missed,
        )

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
        return f"{self._engine.name}.cached()"


def name_of(func: Callable[..., object]) -> str:
    """Return what a function's keys begin with."""
    return f"{func.__module__}.{getattr(func, '__qualname__', type(func).__qualname__)}"


def _copying(wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """Give each caller a copy of its own."""

    async def copying(*args: Any, **kwargs: Any) -> Any:
        return deepcopy(await wrapper(*args, **kwargs))

    return copying
