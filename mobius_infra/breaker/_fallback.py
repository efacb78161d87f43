"""Answer with something else when the real answer can't be had."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from mobius_infra.breaker._ending import must_end
from mobius_infra.breaker._matching import ErrorMatch, error_test, leaves
from mobius_infra.core import (
    Clock,
    Event,
    Events,
    Rejected,
    Stats,
    SystemClock,
    counter,
    decorate,
    require,
)

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F")
V = TypeVar("V")
Owner = TypeVar("Owner")

CALM = 10
"""Real answers in a row after which a series of fallbacks is over."""


@dataclass(frozen=True, slots=True)
class FallbackStats(Stats):
    """A fallback's numbers."""

    answered: Mapping[str, int] = counter("Calls answered instead, by what answered", label="by")
    failed: int = counter("Calls that none of the fallbacks could answer either")


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackBegan(Event):
    """Calls are answered by something else now. Said once, until they are well again.

    Attributes:
        error: the type of the error that made it necessary.
    """

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackEnded(Event):
    """Calls are answered by themselves again: ten in a row were.

    Attributes:
        answered: calls that something else answered, or should have, meanwhile.
    """

    answered: int


# Any, here and below: the functions take the error and the arguments of whatever is decorated.
Answer = Callable[..., Any]


class Fallback(Generic[F]):
    """Other answers to the same question. Made by `fallback`, where its settings are described."""

    __slots__ = (
        "_answered", "_answers", "_calm", "_clock", "_failed", "_matches", "_series", "events",
        "name",
    )  # fmt: skip

    def __init__(
        self,
        answers: Mapping[str, Answer],
        matches: Callable[[Exception], bool] | None,
        *,
        name: str,
        clock: Clock,
    ) -> None:
        self.name = name
        self.events = Events()
        self._answers = tuple(answers.items())
        self._matches = matches
        self._clock = clock
        self._answered = dict.fromkeys(answers, 0)
        self._failed = 0
        self._series = 0  # calls that were not answered by themselves, in the present series
        self._calm = 0  # those that were, in a row, since

    def stats(self) -> FallbackStats:
        """Return the numbers as they are now."""
        return FallbackStats(answered=dict(self._answered), failed=self._failed)

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

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                result = await func(*args, **kwargs)
            except Exception as error:
                if not self._applies(error):
                    raise
                self._begin(error)
                # Inside of the handler: what a fallback raises has the error as its context.
                found: R = await self._ask(0, error, args, kwargs)
                return found
            if self._series:
                self._calm_down()
            return result

        return wrapper

    def _applies(self, error: Exception) -> bool:
        if must_end(error):
            return False  # whatever was made of the cancellation further in, the task must end
        return all(map(self._applies_to, leaves(error)))

    def _applies_to(self, error: Exception) -> bool:
        if isinstance(error, Rejected):
            return True
        return self._matches is not None and self._matches(error)

    async def _ask(
        self, number: int, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return the first answer from `number` on."""
        name, answer = self._answers[number]
        try:
            found = answer(error, *args, **kwargs)
            if inspect.isawaitable(found):
                found = await found
        except Exception:
            if number + 1 == len(self._answers):
                self._failed += 1
                raise
            return await self._ask(number + 1, error, args, kwargs)
        self._answered[name] += 1
        return found

    def _begin(self, error: Exception) -> None:
        self._series += 1
        self._calm = 0
        if self._series == 1:
            at, kind = self._clock.time(), type(error).__qualname__
            self.events.emit(FallbackBegan(source=self.name, at=at, error=kind))

    def _calm_down(self) -> None:
        self._calm += 1
        if self._calm == CALM:
            answered, self._series = self._series, 0
            at = self._clock.time()
            self.events.emit(FallbackEnded(source=self.name, at=at, answered=answered))

    def __repr__(self) -> str:
        return f"Fallback({self.name!r}, {', '.join(self._answered)})"


class _Missing:
    """Stands for a value that was not given, since None may be one."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


class _Options(TypedDict, total=False):
    on: ErrorMatch | None
    name: str
    clock: Clock | None


@overload
def fallback(
    *functions: Callable[..., Awaitable[F]], **options: Unpack[_Options]
) -> Fallback[F]: ...
@overload
def fallback(
    *functions: Callable[..., Awaitable[F]], value: V, **options: Unpack[_Options]
) -> Fallback[F | V]: ...
@overload
def fallback(*functions: Callable[..., F], **options: Unpack[_Options]) -> Fallback[F]: ...
@overload
def fallback(
    *functions: Callable[..., F], value: V, **options: Unpack[_Options]
) -> Fallback[F | V]: ...
def fallback(
    *functions: Answer,
    value: object = MISSING,
    on: ErrorMatch | None = None,
    name: str = "fallback",
    clock: Clock | None = None,
) -> Fallback[Any]:
    """Answer with something else when a call is rejected, or fails as named.

        async def last_known(error: Exception, coin: str) -> Decimal: ...

        @fallback(last_known, value=Decimal(0), on=httpx.HTTPError)
        async def price(coin: str) -> Decimal: ...

    Every `core.Rejected` is answered: an open circuit, a full bulkhead, a limit. Other errors are
    only if `on` names them, since a fallback hides what it answers. Of an exception group, every
    leaf must be one that is. Cancellation, `KeyboardInterrupt` and `SystemExit` always pass, and a
    task that is being cancelled is not answered.

    If no fallback can answer either, the last one's error is raised, with those before it as its
    `__context__`, the call's own error at the end.

    Args:
        functions: asked in this order, each only if those before it raised an `Exception`: sync or
            async, called with the call's error and then with the call's arguments.
        value: the answer if there is no function, or none could answer. Callers share it, so it
            should be immutable.
        on: errors to answer beside rejections: a subclass of `Exception`, a tuple of them, or a
            function of the error.
        name: labels its numbers and events.
        clock: dates the events.

    Raises:
        ConfigurationError: if there is nothing to answer with, or for a value out of range.
    """
    require(bool(name), "name", name, "a name for numbers and events")
    answers: dict[str, Answer] = {}
    for number, function in enumerate(functions, 1):
        require(callable(function), f"functions[{number - 1}]", function,
                "a function; a value is given as `value=`")  # fmt: skip
        called = getattr(function, "__name__", type(function).__name__)
        answers[f"{number}. {called}" if called in answers else called] = function
    if not isinstance(value, _Missing):
        answers["value"] = lambda *_, **__: value
    require(bool(answers), "functions", functions, "at least one, or a value")
    matches = None if on is None else error_test("on", on)
    return Fallback(answers, matches, name=name, clock=clock or SystemClock())
