"""All of it around one function, in the order in which it works."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Never, ParamSpec, TypedDict, TypeVar, Unpack, overload

from mobius_infra.breaker._breaker import CircuitBreaker
from mobius_infra.breaker._bulkhead import Bulkhead
from mobius_infra.breaker._bulkhead_keyed import KeyedBulkhead
from mobius_infra.breaker._fallback import Fallback
from mobius_infra.breaker._hedge import Hedge
from mobius_infra.breaker._keyed import KeyedBreaker
from mobius_infra.breaker._retry import Retry
from mobius_infra.breaker._state import State
from mobius_infra.breaker._throttle import Throttle
from mobius_infra.breaker._timeout import Timeout
from mobius_infra.core import Component, decorate, require

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F")
Owner = TypeVar("Owner")

# Any: a part decorates functions of every signature, and keeps it.
Call = Callable[..., Awaitable[Any]]


class _Parts(TypedDict, total=False):
    retry: Retry | None
    hedge: Hedge | None
    throttle: Throttle | None
    breaker: CircuitBreaker | KeyedBreaker | None
    timeout: Timeout | None
    bulkhead: Bulkhead | KeyedBulkhead | None


_KINDS: dict[str, tuple[type[Any], ...]] = {
    "fallback": (Fallback,),
    "retry": (Retry,),
    "hedge": (Hedge,),
    "throttle": (Throttle,),
    "breaker": (CircuitBreaker, KeyedBreaker),
    "timeout": (Timeout,),
    "bulkhead": (Bulkhead, KeyedBulkhead),
}
"""Outermost first."""


class Resilient(Generic[F]):
    """A stack of decorators. Made by `resilient`, which describes it.

    Attributes:
        parts: what is stacked, outermost first: each has a name, `stats()` and `events`.
    """

    __slots__ = ("_by_name", "parts")

    def __init__(self, parts: dict[str, Any]) -> None:  # Any: of the kinds above, as checked
        self._by_name = parts
        self.parts: tuple[Component, ...] = tuple(parts.values())

    @overload
    def __call__(
        self, func: "staticmethod[P, Awaitable[R]]", /
    ) -> "staticmethod[P, Coroutine[Any, Any, R | F]]": ...
    @overload
    def __call__(
        self, func: "classmethod[Owner, P, Awaitable[R]]", /
    ) -> "classmethod[Owner, P, Coroutine[Any, Any, R | F]]": ...
    @overload
    def __call__(
        self, func: Callable[P, Awaitable[R]], /
    ) -> Callable[P, Coroutine[Any, Any, R | F]]: ...
    def __call__(self, func: Any, /) -> Any:  # Any: the overloads above are the signature
        return decorate(func, self._wrap, by=repr(self))

    def _wrap(self, func: Call) -> Call:
        for name in reversed(_KINDS):
            part = self._by_name.get(name)
            if part is None:
                continue
            func = self._hedged(part, func) if name == "hedge" else part(func)
        return func

    def _hedged(self, hedge: Hedge, func: Call) -> Call:
        """Hedge only while the circuit is closed, and count a call once in a shared budget."""
        retry: Retry | None = self._by_name.get("retry")
        counts = retry is None or retry.budget is not hedge.budget
        return hedge.wrap_when(func, _is_closed(self._by_name.get("breaker"), func), counts=counts)

    def __repr__(self) -> str:
        return f"resilient({', '.join(f'{name}={part!r}' for name, part in self._by_name.items())})"


def _is_closed(
    breaker: CircuitBreaker | KeyedBreaker | None, func: Call
) -> Callable[..., bool] | None:
    """Return a function of the call's arguments that says whether its circuit is closed."""
    if breaker is None:
        return None
    if isinstance(breaker, CircuitBreaker):
        return lambda *_, **__: breaker.state is State.CLOSED
    key_of = breaker.key_of(func)
    return lambda *args, **kwargs: breaker.breaker(key_of(*args, **kwargs)).state is State.CLOSED


@overload
def resilient(*, fallback: Fallback[F], **parts: Unpack[_Parts]) -> Resilient[F]: ...
@overload
def resilient(*, fallback: None = None, **parts: Unpack[_Parts]) -> Resilient[Never]: ...
def resilient(
    *,
    fallback: Fallback[Any] | None = None,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    throttle: Throttle | None = None,
    breaker: CircuitBreaker | KeyedBreaker | None = None,
    timeout: Timeout | None = None,
    bulkhead: Bulkhead | KeyedBulkhead | None = None,
) -> Resilient[Any]:
    """Stack them around a function, in the order in which they work.

    For example::

        @resilient(
            fallback=fallback(last_known),
            retry=retry(on=httpx.TransportError, budget=budget),
            hedge=hedge(after=Percentile(0.95), budget=budget),
            breaker=upstream,
            timeout=timeout(2.0),
            bulkhead=bulkhead(10),
        )
        async def price(coin: str) -> Decimal: ...

    The order is that of the parameters, outermost first, however they are written. Each is optional
    and may be shared with other functions. It does what the decorators do when they are stacked by
    hand, and two things that only a stack can know:

    - A hedge makes no further attempt while the breaker's circuit is not closed.
    - A budget that `retry` and `hedge` share counts each call once.

    Args:
        fallback: answers what none of the others could.
        retry: makes further attempts, each with all that follows.
        hedge: makes another attempt while one is late.
        throttle: rejects attempts while the service refuses too many.
        breaker: counts each attempt, or rejects it.
        timeout: bounds each attempt, its wait for the bulkhead included; cut off in that, it is
            rejected.
        bulkhead: gives a slot for as long as the function runs, and no longer.

    Raises:
        ConfigurationError: for a part of another kind, or none at all.
    """
    given = (fallback, retry, hedge, throttle, breaker, timeout, bulkhead)
    parts = {name: part for name, part in zip(_KINDS, given, strict=True) if part is not None}
    for name, part in parts.items():
        allowed = " or ".join(kind.__name__ for kind in _KINDS[name])
        require(isinstance(part, _KINDS[name]), name, part, f"a {allowed}, or None")
    require(bool(parts), "resilient", parts, "given at least one of " + ", ".join(_KINDS))
    return Resilient(parts)
