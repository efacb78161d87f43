"""Give up on a call that takes too long, without a timer for one that does not wait."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from mobius_infra.breaker._checks import require_seconds
from mobius_infra.breaker._deadline import DeadlineExceededError, present
from mobius_infra.breaker._entered import Entered
from mobius_infra.breaker._scope import Scope, as_coroutine, present_task, resume
from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Events,
    MobiusError,
    Rejected,
    Stats,
    SystemClock,
    counter,
    require,
)

P = ParamSpec("P")
R = TypeVar("R")


class CallTimeoutError(MobiusError, TimeoutError):
    """A call took too long and was cancelled.

    Attributes:
        name: the time-out's name.
        seconds: what it allowed.
    """

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"{name!r} took longer than {seconds:g} s")
        self.name = name
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class TimeoutStats(Stats):
    """A time-out's numbers."""

    calls: int = counter("Calls and blocks begun under it")
    expired: int = counter("Calls and blocks that it cut off")


class Timeout(AsyncDecorator):
    """What `timeout` makes. One object serves any number of calls and blocks at once."""

    __slots__ = ("_calls", "_clock", "_entered", "_expired", "events", "name", "seconds")

    def __init__(self, seconds: float, *, name: str, clock: Clock | None) -> None:
        require_seconds("seconds", seconds)
        require(bool(name), "name", name, "a name for numbers and errors")
        self.name = name
        self.seconds = seconds
        self.events = Events()  # the error says it all: nothing is emitted
        self._clock = clock or SystemClock()
        self._entered = Entered[tuple[Scope, MakeError]]()
        self._calls = self._expired = 0

    async def run(self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` and wait no longer than `seconds`.

        Raises:
            CallTimeoutError: if it took longer.
            BulkheadFullError: if it spent its last moment in the queue of a bulkhead further in.
            DeadlineExceededError: if the deadline around came first.
        """
        return await self._bind(func)(*args, **kwargs)

    def stats(self) -> TimeoutStats:
        """Return the numbers as they are now."""
        return TimeoutStats(calls=self._calls, expired=self._expired)

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        return wraps(func)(self._bind(func))

    def _bind(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        now = self._clock.monotonic

        async def bounded(*args: P.args, **kwargs: P.kwargs) -> R:
            task = present_task()
            self._calls += 1
            cancelling, started = task.cancelling(), now()
            coroutine = as_coroutine(func(*args, **kwargs))
            # The first step is driven by hand: only what waits after it needs a timer.
            try:
                waits_for = coroutine.send(None)
            except StopIteration as done:
                result: R = done.value
                return result
            scope = Scope(task, cancelling)
            make_error = self._arm(scope, self.seconds - (now() - started))
            try:
                result = await resume(coroutine, waits_for)
            except BaseException as error:
                if scope.leave(error):
                    self._expired += 1
                    raise _what_it_was(make_error(), error)  # noqa: B904 - it has its cause
                raise
            scope.leave(None)
            return result

        return bounded

    def _arm(self, scope: Scope, seconds: float) -> "MakeError":
        """Arm for `seconds`, or for what the deadline around leaves if that is less.

        Armed for the deadline too, since this task need not be the one that the deadline cancels.
        """
        until = present()
        if until is not None and (left := until.left()) < seconds:
            scope.arm(until.clock, left)
            return lambda: DeadlineExceededError(until.name, until.seconds)
        scope.arm(self._clock, seconds)
        return lambda: CallTimeoutError(self.name, self.seconds)

    async def __aenter__(self) -> None:
        task = present_task()
        self._calls += 1
        scope = Scope(task, task.cancelling())
        make_error = self._arm(scope, self.seconds)
        self._entered.push((scope, make_error))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        scope, make_error = self._entered.pop()
        if scope.leave(error):
            self._expired += 1
            raise make_error() from error

    def __repr__(self) -> str:
        return f"Timeout({self.name!r}, {self.seconds:g} s)"


MakeError = Callable[[], TimeoutError]


def _what_it_was(late: TimeoutError, cancelled: BaseException) -> Exception:
    """Return what to raise: `late`, or the rejection of a call that waited for a bulkhead.

    That call was never made, so it says nothing about the dependency: no breaker further out may
    open for it, nor is it retried.
    """
    late.__cause__ = cancelled
    rejection = cancelled.__cause__
    if not isinstance(rejection, Rejected):
        return late
    cancelled.__cause__ = None  # or the chain would bite its own tail
    rejection.__cause__ = late
    return rejection


def timeout(seconds: float, *, name: str = "timeout", clock: Clock | None = None) -> Timeout:
    """Cancel a call or a block that takes longer than `seconds`.

        @timeout(2.0)
        async def price(coin: str) -> Decimal: ...

        async with timeout(2.0):
            ...

    It behaves as `asyncio.timeout`: what is inside is cancelled, and only that cancellation becomes
    a `TimeoutError`. One that came from outside passes, also when both came at once. The decorated
    call is cheaper: no timer is armed until it waits for something. Inside a `deadline` it takes
    what is left if that is less.

    A decorated call that is cut off in the queue of a bulkhead further in was never made. It is
    rejected: the bulkhead's `BulkheadFullError` is raised, which a breaker takes for neutral.

    Args:
        seconds: how long it may take.
        name: labels its numbers and errors.
        clock: measures it. Any but the system's is waited for by a task beside the call.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """
    return Timeout(seconds, name=name, clock=clock)
