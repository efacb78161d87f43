"""The circuit breaker as its users see it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from mobius_infra.breaker._errors import CircuitOpenError
from mobius_infra.breaker._events import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitIsolated,
    CircuitOpened,
)
from mobius_infra.breaker._machine import Machine, Outcome, Permit, Rules, State
from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Config,
    Event,
    Events,
    Rejected,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
    state,
)

P = ParamSpec("P")
R = TypeVar("R")

Errors = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class BreakerStats(Stats):
    """A breaker's numbers."""

    state: str = state("State of the circuit")
    successes: int = counter("Calls that succeeded")
    failures: int = counter("Calls that failed")
    neutral: int = counter("Calls that say nothing: cancelled, ignored, rejected further in")
    rejected: int = counter("Calls that were rejected")
    opened: int = counter("Times that the circuit opened")
    window_failures: int = gauge("Failures in the window")
    window_calls: int = gauge("Calls in the window")


class BreakerConfig(Config):
    """A breaker's settings, for files. The fields are the parameters of `CircuitBreaker`."""

    name: str
    consecutive_failures: int | None = 5
    failure_rate: float | None = 0.5
    window: int = 20
    minimum_calls: int = 10
    open_for: float = 1.0
    open_for_max: float = 60.0
    permits: int = 1
    successes: int = 1
    probe_timeout: float = 30.0


class CircuitBreaker(AsyncDecorator):
    """Stops calling what keeps failing, and finds out by itself when it is well again.

        coingecko = CircuitBreaker("coingecko", failure_rate=0.5, window=20)

        @coingecko
        async def price(coin: str) -> Decimal: ...

    It opens when one of its rules says so, rejects calls for a while, then lets a few through
    (probes) and closes when they succeed. Cancelled calls, `KeyboardInterrupt`, `SystemExit`,
    rejections from a breaker, limiter or bulkhead further in, and `ignored` errors say nothing
    about the dependency: they count neither as failures nor as successes.

    Args:
        name: labels its numbers, events and errors.
        consecutive_failures: opens after so many in a row; None: no such rule.
        failure_rate: opens when this share of the calls in the window failed, in (0, 1]; None: no
            such rule.
        window: calls that the rate looks at.
        minimum_calls: calls that must be in the window before the rate counts.
        open_for: seconds of the first pause before a probe; each opening without having closed
            doubles it. The pause that is taken lies between half of this and all of it, at random.
        open_for_max: seconds that a pause never exceeds.
        permits: probes that may be out at once.
        successes: probes that must succeed to close it.
        probe_timeout: seconds after which a probe that has not returned counts as failed.
        failed_on: errors that count as failures.
        ignored: errors that say nothing, though `failed_on` names them.
        failed_if: a result for which this is true counts as a failure.
        clock: measures all of it.
        draw: gives random numbers in [0, 1).

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = (
        "_clock", "_draw", "_entered", "_failed_if", "_failed_on", "_failures", "_ignored",
        "_machine", "_neutral", "_opened", "_rejected", "_successes", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        consecutive_failures: int | None = 5,
        failure_rate: float | None = 0.5,
        window: int = 20,
        minimum_calls: int = 10,
        open_for: float = 1.0,
        open_for_max: float = 60.0,
        permits: int = 1,
        successes: int = 1,
        probe_timeout: float = 30.0,
        failed_on: type[BaseException] | Errors = (Exception,),
        ignored: type[BaseException] | Errors = (),
        failed_if: Callable[[Any], bool] | None = None,  # Any: results of many functions
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        rules = Rules(
            consecutive_failures=consecutive_failures,
            failure_rate=failure_rate,
            window=window,
            minimum_calls=minimum_calls,
            open_for=open_for,
            open_for_max=open_for_max,
            permits=permits,
            successes=successes,
            probe_timeout=probe_timeout,
        )
        check(name, rules)
        self.name = name
        self.events = Events()
        self._machine = Machine(rules)
        self._failed_on = failed_on if isinstance(failed_on, tuple) else (failed_on,)
        ignored = ignored if isinstance(ignored, tuple) else (ignored,)
        self._ignored: Errors = (*ignored, *_NEUTRAL)
        self._failed_if = failed_if
        # `async with breaker` in many tasks at once: each leaves with the permits it came with.
        self._entered: dict[asyncio.Task[Any] | None, list[Permit]] = {}
        self._clock = clock or SystemClock()
        self._draw = draw
        self._successes = self._failures = self._neutral = self._rejected = self._opened = 0

    @classmethod
    def from_config(
        cls,
        config: BreakerConfig,
        *,
        failed_on: type[BaseException] | Errors = (Exception,),
        ignored: type[BaseException] | Errors = (),
        failed_if: Callable[[Any], bool] | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Build one from settings, and from what files can't say."""
        return cls(
            **config.model_dump(),
            failed_on=failed_on,
            ignored=ignored,
            failed_if=failed_if,
            clock=clock,
        )

    @property
    def state(self) -> State:
        """The state of the circuit."""
        return self._machine.state

    def stats(self) -> BreakerStats:
        """Return the numbers as they are now."""
        failed, calls = self._machine.window
        return BreakerStats(
            state=self._machine.state.value,
            successes=self._successes,
            failures=self._failures,
            neutral=self._neutral,
            rejected=self._rejected,
            opened=self._opened,
            window_failures=failed,
            window_calls=calls,
        )

    def admit(self) -> Permit:
        """Ask for the right to make one call; whoever gets it must `settle` it.

        Raises:
            CircuitOpenError: if the circuit lets no call through now.
        """
        machine, now = self._machine, self._clock.monotonic()
        before = machine.state
        if machine.overdue(now):
            machine.give_up_probes(now, self._draw())
            self._announce(before)
            before = machine.state
        permit = machine.admit(now)
        self._announce(before)
        if permit is None:
            self._rejected += 1
            raise CircuitOpenError(self.name, machine.state, machine.retry_after(now))
        return permit

    def settle(self, permit: Permit, outcome: Outcome) -> None:
        """Say how the call ended. A second time, or too late, changes no state."""
        if permit.settled:
            return
        if outcome is Outcome.SUCCESS:
            self._successes += 1
        elif outcome is Outcome.FAILURE:
            self._failures += 1
        else:
            self._neutral += 1
        before = self._machine.state
        self._machine.settle(permit, outcome, self._clock.monotonic(), self._draw())
        self._announce(before)

    def classify(self, error: BaseException) -> Outcome:
        """Say what an error means. Of a group, one failure among the leaves makes a failure."""
        if isinstance(error, BaseExceptionGroup):
            leaves = {self.classify(each) for each in error.exceptions}
            worst_first = (Outcome.FAILURE, Outcome.SUCCESS, Outcome.NEUTRAL)
            return next(each for each in worst_first if each in leaves)
        if isinstance(error, self._ignored):
            return Outcome.NEUTRAL
        if isinstance(error, self._failed_on):
            return Outcome.FAILURE
        # An error that is not a failure is the dependency's answer.
        return Outcome.SUCCESS

    def isolate(self) -> None:
        """Open the circuit by hand; it stays open until `reset`."""
        before = self._machine.state
        self._machine.isolate(self._clock.monotonic())
        self._announce(before)

    def reset(self) -> None:
        """Close the circuit by hand, forgetting what was counted in the window."""
        before = self._machine.state
        self._machine.close()
        self._announce(before)

    def explain(self) -> str:
        """Say in a sentence what state the circuit is in, why, and what happens next."""
        machine = self._machine
        if machine.state is State.CLOSED:
            failed, calls = machine.window
            return f"{self.name} is closed: {failed} of the last {calls} calls failed"
        after = machine.retry_after(self._clock.monotonic())
        then = "" if after is None else f"; it may let a call through in {after:.3g} s"
        return f"{self.name} is {machine.state.replace('_', '-')}: {machine.reason}{then}"

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        machine, failed_if, closed = self._machine, self._failed_if, State.CLOSED

        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            permit = self.admit()
            try:
                result = await func(*args, **kwargs)
                failed = failed_if is not None and failed_if(result)
            except BaseException as error:
                self.settle(permit, self.classify(error))
                raise
            self.settle(permit, Outcome.FAILURE if failed else Outcome.SUCCESS)
            return result

        if failed_if is not None:
            return wraps(func)(guarded)

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            # The closed circuit allocates no permit: its generation is all that a late end needs.
            if machine.state is not closed:
                return await guarded(*args, **kwargs)
            generation = machine.generation
            try:
                result = await func(*args, **kwargs)
            except BaseException as error:
                permit = Permit(generation, 0.0, probe=False)
                self.settle(permit, self.classify(error))
                raise
            self._successes += 1
            if machine.generation == generation:
                machine.succeed()
            return result

        return wrapper

    def _announce(self, before: State) -> None:
        machine = self._machine
        if machine.state is before:
            return
        now, at = self._clock.monotonic(), self._clock.time()
        event: Event
        match machine.state:
            case State.OPEN:
                self._opened += 1
                pause = machine.probe_at - now
                event = CircuitOpened(
                    source=self.name, at=at, reason=machine.reason, open_for=pause
                )
            case State.HALF_OPEN:
                event = CircuitHalfOpened(source=self.name, at=at)
            case State.CLOSED:
                was = now - machine.left_closed_at
                event = CircuitClosed(source=self.name, at=at, was_open_for=was)
            case State.ISOLATED:
                event = CircuitIsolated(source=self.name, at=at)
        self.events.emit(event)

    async def __aenter__(self) -> Permit:
        permit = self.admit()
        self._entered.setdefault(asyncio.current_task(), []).append(permit)
        return permit

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        permit = self._entered[task].pop()
        if not self._entered[task]:
            del self._entered[task]
        self.settle(permit, Outcome.SUCCESS if error is None else self.classify(error))

    def __repr__(self) -> str:
        return f"CircuitBreaker({self.name!r}, {self._machine.state.value})"


_NEUTRAL: Errors = (
    asyncio.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
    Rejected,
)


def check(name: str, rules: Rules) -> None:
    """Refuse rules that can't work.

    Raises:
        ConfigurationError: naming the first field at fault.
    """
    require(bool(name), "name", name, "a name for numbers, events and errors")
    streak, rate = rules.consecutive_failures, rules.failure_rate
    require(streak is None or streak >= 1, "consecutive_failures", streak, "at least 1, or None")
    require(rate is None or 0 < rate <= 1, "failure_rate", rate, "in (0, 1], or None")
    require(
        streak is not None or rate is not None,
        "failure_rate", rate, "given, if consecutive_failures is None: a breaker needs a rule",
    )  # fmt: skip
    require(rules.window >= 1, "window", rules.window, "at least 1 call")
    require(
        1 <= rules.minimum_calls <= rules.window,
        "minimum_calls", rules.minimum_calls, f"from 1 to the window, {rules.window}",
    )  # fmt: skip
    longest = rules.open_for_max
    require(0 < rules.open_for < float("inf"), "open_for", rules.open_for, "positive seconds")
    require(
        rules.open_for <= longest < float("inf"),
        "open_for_max", longest, f"at least open_for, {rules.open_for}",
    )  # fmt: skip
    require(rules.permits >= 1, "permits", rules.permits, "at least 1")
    require(rules.successes >= 1, "successes", rules.successes, "at least 1")
    require(rules.probe_timeout > 0, "probe_timeout", rules.probe_timeout, "positive seconds")
