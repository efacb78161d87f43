"""Try again what failed for a moment; nearly free where the first attempt succeeds."""

import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mobius_infra.breaker import _tenacity
from mobius_infra.breaker._backoff import Backoff
from mobius_infra.breaker._budget import RetryBudget
from mobius_infra.breaker._deadline import remaining
from mobius_infra.breaker._ending import must_end
from mobius_infra.breaker._matching import ErrorMatch, ResultMatch, error_test, leaves, says_yes
from mobius_infra.breaker._retry_rules import (
    WHY,
    Course,
    GaveUp,
    RetryAfter,
    Rules,
    default_retry_after,
)
from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Events,
    Rejected,
    Stats,
    SystemClock,
    counter,
    require,
)

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("mobius_infra.breaker")

WAIT = Backoff(first=0.1, most=10.0)


@dataclass(frozen=True, slots=True)
class RetryStats(Stats):
    """A retry's numbers."""

    calls: int = counter("Calls, each of one attempt or more")
    retries: int = counter("Attempts after the first")
    recovered: int = counter("Calls that a later attempt answered")
    gave_up: Mapping[str, int] = counter("Calls that failed although retried", label="reason")


class Retry(AsyncDecorator):
    """What `retry` makes. One object serves any number of calls at once, each with own attempts."""

    __slots__ = (
        "_calls", "_clock", "_draw", "_gave_up", "_matches", "_on_result", "_recovered",
        "_rejections", "_retries", "_rules", "budget", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        on: ErrorMatch,
        rules: Rules,
        *,
        on_result: ResultMatch | None,
        budget: RetryBudget | None,
        name: str,
        clock: Clock | None,
        draw: Callable[[], float],
    ) -> None:
        usable = on_result is None or callable(on_result)
        require(usable, "on_result", on_result, "a function, or None")
        require(bool(name), "name", name, "a name for numbers and errors")
        self.name = name
        self.events = Events()  # a retry has no state that could change: nothing is emitted
        self._rules = rules
        self._matches = error_test("on", on)
        named = on if isinstance(on, tuple) else (on,)
        self._rejections = tuple(
            each for each in named if isinstance(each, type) and issubclass(each, Rejected)
        )
        self._on_result = on_result
        self.budget = budget
        self._clock = clock or SystemClock()
        self._draw = draw
        self._calls = self._retries = self._recovered = 0
        self._gave_up = dict.fromkeys(GaveUp, 0)

    def stats(self) -> RetryStats:
        """Return the numbers as they are now."""
        return RetryStats(
            calls=self._calls,
            retries=self._retries,
            recovered=self._recovered,
            gave_up={reason.value: number for reason, number in self._gave_up.items()},
        )

    async def run(self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func`, and again where that may help.

        Raises:
            Exception: what the last attempt raised, itself.
        """
        return await self._bind(func)(*args, **kwargs)

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        return wraps(func)(self._bind(func))

    def _bind(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        """Make the function that calls `func`, without a question about what is switched off."""
        budget, timed, now = self.budget, self._rules.timed, self._clock.monotonic
        asks_result = self._on_result is not None

        async def plain(*args: P.args, **kwargs: P.kwargs) -> R:
            self._calls += 1
            try:
                return await func(*args, **kwargs)
            except Exception as error:
                if not self._retries_error(error):
                    raise
                again = self._again(func, args, kwargs, 0.0, error, None)
            answer: R = await again
            return answer

        async def full(*args: P.args, **kwargs: P.kwargs) -> R:
            self._calls += 1
            if budget is not None:
                budget.request()
            started = now() if timed else 0.0
            try:
                result = await func(*args, **kwargs)
            except Exception as error:
                if not self._retries_error(error):
                    raise
                again = self._again(func, args, kwargs, started, error, None)
            else:
                if not asks_result or not self._retries_result(result):
                    return result
                again = self._again(func, args, kwargs, started, None, result)
            answer: R = await again
            return answer

        return full if timed or asks_result or budget is not None else plain

    # Any: results of many functions.
    async def _again(
        self,
        func: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        started: float,
        error: Exception | None,
        result: Any,
    ) -> Any:
        """Go on after a first attempt that failed, with `error` or with `result`."""
        course = Course(started)
        if self._rules.asks_tenacity:
            course.state = _tenacity.call_state(func, args, kwargs, started)
        try:
            while True:
                pause = self._decide(course, error, result)
                if isinstance(pause, GaveUp):
                    break
                course.pause(pause)
                await self._clock.sleep(pause)
                course.made += 1
                self._retries += 1
                try:
                    error, result = None, await func(*args, **kwargs)
                except Exception as caught:  # noqa: BLE001 - raised below, unless it is retried
                    error = caught
                    if not self._retries_error(caught):
                        pause = GaveUp.PERMANENT
                        break
                else:
                    if not self._retries_result(result):
                        self._recovered += 1
                        return result
            self._gave_up[pause] += 1
            if error is None:
                return result
            note(error, f"retry {self.name!r} gave up at attempt {course.made}: {WHY[pause]}")
            raise error
        finally:
            # The error's traceback refers to this frame, and tenacity's state to the error.
            del error, course

    def _decide(self, course: Course, error: Exception | None, result: object) -> float | GaveUp:
        now, left = self._clock.monotonic(), remaining()
        try:
            pause = self._rules.decide(course, now, self._draw(), left, error, result)
        except Exception:
            log.exception("stop, wait or retry_after of retry %r failed", self.name)
            return GaveUp.BROKEN
        # Asked last: what is withdrawn is not given back.
        if self.budget is None or isinstance(pause, GaveUp) or self.budget.withdraw():
            return pause
        return GaveUp.BUDGET

    def _retries_error(self, error: Exception) -> bool:
        return not must_end(error) and all(map(self._retries_leaf, leaves(error)))

    def _retries_leaf(self, error: Exception) -> bool:
        if isinstance(error, Rejected):
            return isinstance(error, self._rejections)
        return self._matches(error)

    def _retries_result(self, result: object) -> bool:
        on_result = self._on_result
        return on_result is not None and says_yes("on_result", on_result, result) and not must_end()

    def __repr__(self) -> str:
        rules = self._rules
        until = f"{rules.attempts} attempts" if rules.stop is None else repr(rules.stop)
        return f"Retry({self.name!r}, {until}, wait={rules.wait!r})"


def retry(
    on: ErrorMatch,
    *,
    attempts: int | None = None,
    stop: _tenacity.Stop | None = None,
    wait: Backoff | _tenacity.Wait = WAIT,
    on_result: ResultMatch | None = None,
    retry_after: RetryAfter = default_retry_after,
    retry_after_max: float = 60.0,
    within: float | None = None,
    budget: RetryBudget | None = None,
    name: str = "retry",
    clock: Clock | None = None,
    draw: Callable[[], float] = random.random,
) -> Retry:
    """Try again what failed for a moment.

        @retry(on=httpx.TransportError, attempts=3)
        async def price(coin: str) -> Decimal: ...

        await retry(on=OSError, within=10.0).run(fetch, url)

    Only what may safely be done twice should be retried. The last attempt's error is raised itself,
    with a note of how many there were and why there is no further one; the last result is returned.

    Cancellation, `KeyboardInterrupt` and `SystemExit` always pass, and a task that is being
    cancelled does not retry. A `core.Rejected` (an open circuit, a full bulkhead, a limit) is not
    retried, since the answer is known, unless `on` names its class. Of an exception group every
    leaf must be one that is retried: one that is permanent would be there again.

    Args:
        on: the errors to retry: a subclass of `Exception`, a tuple of them, or a function of the
            error. No default: only the caller knows what is safe.
        attempts: most attempts, the first included; 3 unless `stop` is given.
        stop: a `stop` strategy of tenacity instead of `attempts`.
        wait: the pauses: a `Backoff`, or a `wait` strategy of tenacity. By default up to 0.1 s,
            then 0.2 s and so on up to 10 s, uniformly from zero (full jitter).
        on_result: a result for which this is true is retried as well.
        retry_after: takes the error or the result and returns the seconds (or a `timedelta`) that
            it asks to be left alone for, or None; goes before `wait`. By default the attribute
            `retry_after` is read, of a group the largest.
        retry_after_max: seconds that are waited at most though more were asked for. Give a `within`
            or a deadline to give up instead.
        within: seconds from the first attempt's start. No pause is begun that would not end before,
            nor before a `deadline` around; but unlike that, this cuts no attempt off.
        budget: shared by functions, so that they together retry no more than a share of requests.
        name: labels its numbers and notes.
        clock: measures and waits.
        draw: gives random numbers in [0, 1).

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """
    require(attempts is None or stop is None, "attempts", attempts, "left out, if stop is given")
    rules = Rules(
        attempts=3 if attempts is None else attempts,
        stop=stop,
        wait=wait,
        retry_after=retry_after,
        retry_after_max=retry_after_max,
        within=within,
    )
    return Retry(on, rules, on_result=on_result, budget=budget, name=name, clock=clock, draw=draw)


def note(error: Exception, text: str) -> None:
    """Add a note, once: some functions raise one and the same error again and again."""
    if text not in getattr(error, "__notes__", ()):
        with suppress(Exception):  # an error that can't be changed is raised as it is
            error.add_note(text)
