"""The time by which an answer is wanted, known to all who work on it."""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import wraps
from math import inf
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from mobius_infra.breaker._checks import require_seconds
from mobius_infra.breaker._entered import Entered
from mobius_infra.breaker._scope import Scope, present_task
from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Events,
    MobiusError,
    Stats,
    SystemClock,
    counter,
    require,
)

P = ParamSpec("P")
R = TypeVar("R")


class DeadlineExceededError(MobiusError, TimeoutError):
    """A deadline passed before the answer was there.

    Attributes:
        name: the deadline's name.
        seconds: what the deadline allowed.
    """

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"deadline {name!r} of {seconds:g} s passed")
        self.name = name
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Until:
    """A moment that all inside a deadline know.

    Attributes:
        at: on the clock below.
        clock: what it is measured by; deadlines by different clocks may be nested.
        name: of the deadline that set it.
        seconds: that it allowed.
    """

    at: float
    clock: Clock
    name: str
    seconds: float

    def left(self) -> float:
        """Return the seconds until then; negative if it has passed."""
        return self.at - self.clock.monotonic()


_until: ContextVar[Until | None] = ContextVar("mobius_infra.breaker.deadline", default=None)


def present() -> Until | None:
    """Return what the innermost deadline around set."""
    return _until.get()


def remaining() -> float:
    """Return the seconds until the nearest deadline around the caller: 0 if it has passed.

    Infinity if there is none, so that `min(5.0, remaining())` is always right.
    """
    until = _until.get()
    return inf if until is None else max(until.left(), 0.0)


@dataclass(frozen=True, slots=True)
class DeadlineStats(Stats):
    """A deadline's numbers."""

    calls: int = counter("Calls and blocks begun under it")
    exceeded: int = counter("Calls and blocks that it cut off")


class Deadline(AsyncDecorator):
    """What `deadline` makes. One object serves any number of calls and blocks at once."""

    __slots__ = ("_calls", "_clock", "_entered", "_exceeded", "events", "name", "seconds")

    def __init__(self, seconds: float, *, name: str, clock: Clock | None) -> None:
        require_seconds("seconds", seconds)
        require(bool(name), "name", name, "a name for numbers and errors")
        self.name = name
        self.seconds = seconds
        self.events = Events()  # the error says it all: nothing is emitted
        self._clock = clock or SystemClock()
        self._entered = Entered[tuple[Scope, Until, Token[Until | None]]]()
        self._calls = self._exceeded = 0

    async def run(self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` under the deadline.

        Raises:
            DeadlineExceededError: if it passed.
        """
        async with self:
            return await func(*args, **kwargs)

    def stats(self) -> DeadlineStats:
        """Return the numbers as they are now."""
        return DeadlineStats(calls=self._calls, exceeded=self._exceeded)

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self.run(func, *args, **kwargs)

        return wrapper

    async def __aenter__(self) -> None:
        task = present_task()
        self._calls += 1
        outer, left = _until.get(), self.seconds
        until = Until(self._clock.monotonic() + left, self._clock, self.name, left)
        if outer is not None and outer.left() <= left:
            until, left = outer, outer.left()
        scope = Scope(task, task.cancelling())
        scope.arm(until.clock, left)
        self._entered.push((scope, until, _until.set(until)))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        scope, until, token = self._entered.pop()
        # A block inside an async generator may be left by a task that never had the deadline.
        with suppress(ValueError):
            _until.reset(token)
        if scope.leave(error):
            self._exceeded += 1
            raise DeadlineExceededError(until.name, until.seconds) from error

    def __repr__(self) -> str:
        return f"Deadline({self.name!r}, {self.seconds:g} s)"


def deadline(seconds: float, *, name: str = "deadline", clock: Clock | None = None) -> Deadline:
    """Bound a call or a block in time, and let all inside know how much is left.

        async with deadline(2.0):
            ...

        @deadline(2.0)
        async def handle(update: Update) -> None: ...

    Inside it `retry` begins no pause that would end too late, and `timeout` takes no longer;
    `remaining()` tells anyone else, for a header or a driver's own time-out. Inside another
    deadline it can only shorten it.

    It is carried by a context variable, so a task that is started inside inherits it. That task is
    told, not cancelled: whoever started it must end it, as `asyncio.TaskGroup` does. A task that is
    to outlive the block is started with a `context=contextvars.Context()` of its own, or its
    retries would end with the deadline.

    Args:
        seconds: how long it may take.
        name: labels its numbers and errors.
        clock: measures it.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """
    return Deadline(seconds, name=name, clock=clock)
