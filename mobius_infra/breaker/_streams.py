"""A breaker around an async generator: one permit from the first item that is asked for to the end.

| the generator | its permit |
|---|---|
| is exhausted | settles as a success |
| raises | as that error does, also if the consumer threw it in (`athrow`) |
| is closed half-way (`aclose`, or forgotten) | is neutral |
| is cancelled while an item is awaited | is neutral, or slow |

Its slowness is the longest wait for one item: what the consumer does between two is not the
dependency's. A probe's lease begins anew with each item that is asked for.

`@asynccontextmanager` goes on top of the breaker: the block's errors are thrown into the generator
and count, as in `async with breaker:`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from functools import wraps
from inspect import isasyncgenfunction
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from mobius_infra.breaker._state import Outcome
from mobius_infra.core import AsyncDecorator, Clock, decorate

if TYPE_CHECKING:
    from mobius_infra.breaker._breaker import CircuitBreaker

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")
Stream = TypeVar("Stream", bound=AsyncIterator[Any])  # Any: of items of every type


class StreamDecorator(AsyncDecorator):
    """An `AsyncDecorator` that takes async generators too. A subclass writes `_wrap_stream`."""

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
    @overload
    def __call__(self, func: "staticmethod[P, Stream]", /) -> "staticmethod[P, Stream]": ...
    @overload
    def __call__(
        self, func: "classmethod[Owner, P, Stream]", /
    ) -> "classmethod[Owner, P, Stream]": ...
    @overload
    def __call__(self, func: Callable[P, Stream], /) -> Callable[P, Stream]: ...
    def __call__(self, func: Any, /) -> Any:  # Any: the overloads above are the signature
        return decorate(func, self._choose, by=repr(self), generators=True)

    def _choose(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return self._wrap_stream(func) if isasyncgenfunction(func) else self._wrap(func)

    def _wrap_stream(self, func: Callable[P, Any]) -> Callable[P, Any]:
        raise NotImplementedError


def guard_stream(
    breaker_of: "Callable[P, CircuitBreaker]",
    clock: Clock,
    func: Callable[P, AsyncGenerator[Any, Any]],
) -> Callable[P, AsyncGenerator[Any, Any]]:
    """Return `func`, an async generator function, under the breaker that its arguments name."""

    @wraps(func)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
        breaker = breaker_of(*args, **kwargs)
        permit = await breaker.acquire()
        try:
            source = func(*args, **kwargs)
            step = source.asend(None)
            while True:
                permit.started = permit.began = clock.monotonic()
                item = await step
                permit.longest = max(permit.longest, clock.monotonic() - permit.began)
                try:
                    sent = yield item
                except GeneratorExit:
                    permit.began = clock.monotonic()
                    await source.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - the generator's to handle
                    step = source.athrow(thrown)
                else:
                    step = source.asend(sent)
        except StopAsyncIteration:
            breaker.settle(permit, Outcome.SUCCESS)
        except BaseException as error:
            breaker.settle_error(permit, error)
            raise

    return wrapper
