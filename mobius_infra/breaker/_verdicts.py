"""What a call's end says about the dependency."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from mobius_infra.breaker._checks import is_number
from mobius_infra.breaker._deadline import DeadlineExceededError, remaining
from mobius_infra.breaker._matching import ResultMatch, kind_test, leaves
from mobius_infra.breaker._state import Outcome
from mobius_infra.core import Rejected, require

log = logging.getLogger("mobius_infra.breaker")

ErrorTest = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]
"""Which errors: a type, some types, or a function that says."""

# Any: errors, and results of functions of every type.
RetryAfter = Callable[[Any], float | None]

_KINDS = "types of exceptions, or a function that takes one"
_NEUTRAL = (GeneratorExit, KeyboardInterrupt, SystemExit, Rejected)


class Verdicts:
    """Judges errors and results by what the user said of them.

    The user's functions never change what a caller gets. One that raises is logged, and the call
    counts as failed: a breaker that can't tell must not take an outage for health.
    """

    __slots__ = ("_failed", "_ignored", "_retry_after", "failed_if")

    def __init__(
        self,
        failed_on: ErrorTest = Exception,
        ignored: ErrorTest = (),
        failed_if: ResultMatch | None = None,
        retry_after: RetryAfter | None = None,
    ) -> None:
        self._failed = kind_test("failed_on", failed_on, BaseException, _KINDS)
        self._ignored = kind_test("ignored", ignored, BaseException, _KINDS)
        for name, given in (("failed_if", failed_if), ("retry_after", retry_after)):
            require(given is None or callable(given), name, given, "a function, or None")
        self.failed_if = failed_if
        self._retry_after = retry_after

    def of_error(self, error: BaseException) -> Outcome:
        """Judge an error; of a group, the worst of its leaves."""
        found = {self._of_leaf(leaf) for leaf in leaves(error)}
        return next(outcome for outcome in _WORST_FIRST if outcome in found)

    def _of_leaf(self, error: BaseException) -> Outcome:
        if _is_given_up(error):
            # In the queue of a bulkhead it was never made, however long that took.
            never_made = isinstance(error.__cause__, Rejected)
            return Outcome.NEUTRAL if never_made else Outcome.CANCELLED
        if isinstance(error, _NEUTRAL):
            return Outcome.NEUTRAL
        try:
            if self._ignored(error):
                return Outcome.NEUTRAL
            if self._failed(error):
                return Outcome.FAILURE
        except Exception:
            log.exception("failed_on or ignored failed on %r", error)
            return Outcome.FAILURE
        # An error that is not a failure is the dependency's answer.
        return Outcome.SUCCESS if isinstance(error, Exception) else Outcome.NEUTRAL

    def of_result(self, result: object) -> Outcome:
        """Judge what the call returned."""
        if self.failed_if is None:
            return Outcome.SUCCESS
        try:
            return Outcome.FAILURE if self.failed_if(result) else Outcome.SUCCESS
        except Exception:
            log.exception("failed_if failed on a %s", type(result).__qualname__)
            return Outcome.FAILURE

    def hold(self, outcome: Outcome, ended: object) -> float | None:
        """Return the seconds for which a failure's error or result asks to be left alone."""
        if self._retry_after is None or outcome is not Outcome.FAILURE:
            return None
        try:
            seconds = self._retry_after(ended)
        except Exception:
            log.exception("retry_after failed on a %s", type(ended).__qualname__)
            return None
        return seconds if is_number(seconds) and seconds > 0 else None


def _is_given_up(error: BaseException) -> bool:
    """Say whether the caller ended the call: by cancelling it, or by a deadline around it.

    A deadline does not reach the tasks that are started inside: there it is a time-out that cuts
    the call off, and the breaker sees that error instead. A deadline inside the breaker bounds the
    dependency, and has left time when it passes.
    """
    if isinstance(error, DeadlineExceededError):
        return remaining() <= 0
    return isinstance(error, asyncio.CancelledError)


_WORST_FIRST = (Outcome.FAILURE, Outcome.SUCCESS, Outcome.CANCELLED, Outcome.NEUTRAL)
