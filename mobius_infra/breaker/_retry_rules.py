"""Whether to try again, and after which pause: decided with the time and the draw passed in."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from mobius_infra.breaker import _tenacity
from mobius_infra.breaker._backoff import Backoff
from mobius_infra.breaker._checks import is_number, require_count, require_seconds
from mobius_infra.breaker._matching import leaves
from mobius_infra.core import require

# Any: an error, or the result of whatever function is retried.
RetryAfter = Callable[[Any], float | timedelta | None]


def default_retry_after(failure: object) -> float | None:
    """Read the attribute `retry_after`, as this library's and aiogram's errors have it.

    Of a group the longest: whoever asked for it is asked again too.
    """
    asked = (seconds_of(getattr(each, "retry_after", None)) for each in leaves(failure))
    return max((seconds for seconds in asked if seconds is not None), default=None)


def seconds_of(asked: object) -> float | None:
    """Return what was asked for as seconds; None for what is no time to wait."""
    if isinstance(asked, timedelta):
        asked = asked.total_seconds()
    return asked if is_number(asked) and asked >= 0 else None


class GaveUp(StrEnum):
    """Why a call is not tried again."""

    ATTEMPTS = "attempts"
    DEADLINE = "deadline"
    BUDGET = "budget"
    PERMANENT = "permanent"
    BROKEN = "broken"


WHY = {
    GaveUp.ATTEMPTS: "no attempt is left",
    GaveUp.DEADLINE: "the next would come too late",
    GaveUp.BUDGET: "the retry budget is spent",
    GaveUp.PERMANENT: "this error is not retried",
    GaveUp.BROKEN: "its stop, wait or retry_after failed",
}


@dataclass(slots=True)
class Course:
    """The attempts of one call. Each call has its own, whatever it shares.

    Attributes:
        started: when the first began, on the clock of the retry.
        made: attempts that were made.
        paused: seconds of the last pause.
        state: what tenacity's strategies look at, if there are any.
    """

    started: float
    made: int = 1
    paused: float = 0.0
    state: _tenacity.CallState | None = None

    def pause(self, seconds: float) -> None:
        """Note a pause that begins."""
        self.paused = seconds
        if self.state is not None:
            self.state.idle_for += seconds


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of a retry that its decision looks at; documented at `retry`."""

    attempts: int
    stop: _tenacity.Stop | None
    wait: Backoff | _tenacity.Wait
    retry_after: RetryAfter
    retry_after_max: float
    within: float | None

    def __post_init__(self) -> None:
        require_count("attempts", self.attempts)
        if self.stop is not None:
            require_function("stop", self.stop)
        if not isinstance(self.wait, Backoff):
            require_function("wait", self.wait)
        require_function("retry_after", self.retry_after)
        require_seconds("retry_after_max", self.retry_after_max)
        if self.within is not None:
            require_seconds("within", self.within)

    @property
    def asks_tenacity(self) -> bool:
        """Whether a strategy is tenacity's, or made like one of its."""
        return self.stop is not None or not isinstance(self.wait, Backoff)

    @property
    def timed(self) -> bool:
        """Whether it matters when the first attempt began."""
        return self.asks_tenacity or self.within is not None

    def decide(
        self,
        course: Course,
        now: float,
        draw: float,
        left: float,
        error: Exception | None,
        result: object,
    ) -> float | GaveUp:
        """Return the seconds to pause before the next attempt, or why there is none.

        Args:
            course: the attempts so far.
            now: when the last one failed.
            draw: a random number in [0, 1).
            left: seconds until the deadline around.
            error: what the last attempt raised, or None.
            result: what it returned, if `error` is None.
        """
        if course.state is not None:
            _tenacity.tell(course.state, course.made, now, error, result)
        pause = self._pause(course, draw, result if error is None else error)
        if self._stops(course, pause):
            return GaveUp.ATTEMPTS
        if self.within is not None:
            left = min(left, self.within - (now - course.started))
        # A pause that takes all that is left leaves no time for the attempt after it.
        return GaveUp.DEADLINE if pause >= left else pause

    def _pause(self, course: Course, draw: float, failure: object) -> float:
        asked = seconds_of(self.retry_after(failure))
        if asked is not None:
            return min(asked, self.retry_after_max)
        if isinstance(self.wait, Backoff):
            return self.wait.pause(course.made, draw, course.paused)
        assert course.state is not None  # noqa: S101 - made for each strategy that needs it
        seconds = self.wait(course.state)
        if not is_number(seconds) or seconds < 0:
            raise ValueError(f"wait returned {seconds!r}, not seconds")
        return seconds

    def _stops(self, course: Course, pause: float) -> bool:
        if self.stop is None:
            return course.made >= self.attempts
        assert course.state is not None  # noqa: S101 - as above
        course.state.upcoming_sleep = pause
        return self.stop(course.state)


def require_function(field: str, value: object) -> None:
    """Refuse what can't be called, and what would have to be awaited.

    Raises:
        ConfigurationError: naming field and value.
    """
    usable = callable(value) and not inspect.iscoroutinefunction(value)
    require(usable, field, value, "a function that is not async")
