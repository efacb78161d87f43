"""What every decorator of the library needs: any kind of method, and a clear refusal."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from mobius_infra.core._errors import ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")

# Any, here and below: the send and yield types of a coroutine, which no caller of it sees.
Async = Callable[P, Coroutine[Any, Any, R]]


class AsyncDecorator:
    """Base of the objects that decorate async functions.

    A subclass writes `_wrap`; this makes it work on functions, methods, class- and static methods
    (on either side of `@classmethod` and `@staticmethod`), keeps the signature for type checkers,
    and refuses at decoration what could not work.
    """

    __slots__ = ()

    @overload
    def __call__(
        self, func: "staticmethod[P, Awaitable[R]]", /
    ) -> "staticmethod[P, Coroutine[Any, Any, R]]": ...
    @overload
    def __call__(
        self, func: "classmethod[Owner, P, Awaitable[R]]", /
    ) -> "classmethod[Owner, P, Coroutine[Any, Any, R]]": ...
    @overload
    def __call__(
        self, func: Callable[P, Awaitable[R]], /
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __call__(self, func: Any, /) -> Any:  # Any: the overloads above are the signature
        return decorate(func, self._wrap, by=repr(self))

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        raise NotImplementedError


# Any: a decorated thing may be a function, a staticmethod or a classmethod; callers' overloads say.
def decorate(func: Any, wrap: Callable[[Any], Any], *, by: str, generators: bool = False) -> Any:
    """Apply `wrap` to the async function inside `func`, and put it back as it was.

    Args:
        func: a function, or what `@staticmethod` or `@classmethod` made of one.
        wrap: takes the plain function and returns its replacement, made with `functools.wraps`.
        by: the decorator's name, for the error.
        generators: whether it takes async generator functions too.

    Raises:
        ConfigurationError: if `func` is not an async function; says what to do instead.
    """
    if isinstance(func, staticmethod | classmethod):
        return type(func)(wrap(require_async(func.__func__, by=by, generators=generators)))
    return wrap(require_async(func, by=by, generators=generators))


def require_async(
    func: Callable[P, Awaitable[R]], *, by: str, generators: bool = False
) -> Callable[P, Awaitable[R]]:
    """Return `func` if calling it gives an awaitable, or an async generator where those may be.

    Raises:
        ConfigurationError: for a sync function, an async generator, or something not callable.
    """
    if not callable(func):
        raise ConfigurationError(f"the function decorated by {by}", func, "an async function")
    streams = generators and inspect.isasyncgenfunction(func)
    if streams:
        return func
    inner = inspect.unwrap(func)
    if generators and inspect.isasyncgenfunction(inner):
        raise ConfigurationError(
            f"the function decorated by {by}",
            func,
            "an async function or an async generator; it wraps a generator: decorate that one, "
            "so that @asynccontextmanager or the like comes on top",
        )
    if inspect.isasyncgenfunction(inner):
        raise ConfigurationError(
            f"the function decorated by {by}",
            func,
            "an async function that returns; an async generator yields many times, so decorate "
            "the function that produces one item",
        )
    if inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(inner):
        return func
    called = getattr(type(func), "__call__", None)  # noqa: B004 - the method itself is examined
    if not inspect.isroutine(func) and inspect.iscoroutinefunction(called):
        return func
    raise ConfigurationError(
        f"the function decorated by {by}",
        func,
        "an async function: write `async def`, and run what blocks by `asyncio.to_thread`",
    )
