"""What one run of a check says."""

import inspect
from dataclasses import dataclass

from mobius_infra.core import MobiusError
from mobius_infra.health._states import Degraded, Evidence, Health

LONGEST_REASON = 500
"""Characters of a reason that are kept: some drivers quote the whole statement."""


class UnhealthyError(MobiusError):
    """Raised by a check to say in words why its thing is down."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a check says.

    Attributes:
        said: up, degraded or down; unknown if it says nothing about the thing.
        evidence: what that rests on.
        reason: why it is not up.
        took: seconds that it took.
    """

    said: Health
    evidence: Evidence
    reason: str = ""
    took: float = 0.0


def read_answer(answer: object, took: float) -> Outcome:
    """Return what a check said that returned `answer`."""
    match answer:
        case None | True:
            return Outcome(Health.UP, Evidence.ANSWER, "", took)
        case False:
            return Outcome(Health.DOWN, Evidence.ANSWER, "it returned False", took)
        case Degraded(reason):
            return Outcome(Health.DEGRADED, Evidence.ANSWER, _short(str(reason)), took)
        case Health():
            reason = "" if answer is Health.UP else f"it returned {answer.value}"
            return Outcome(answer, Evidence.ANSWER, reason, took)
    if inspect.iscoroutine(answer):
        answer.close()  # or Python warns, far from here, that nobody awaited it
    kind = type(answer).__name__
    reason = f"it returned a {kind}; return nothing, a bool, a Health or Degraded('why')"
    return Outcome(Health.UNKNOWN, Evidence.NONSENSE, reason, took)


def read_error(error: BaseException, took: float) -> Outcome:
    """Return what a check said that raised `error`."""
    return Outcome(Health.DOWN, Evidence.ERROR, describe(error), took)


def describe(error: BaseException) -> str:
    """Return an error's kind and text in one short line."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - whatever a check raises is reported, also if it can't be read
        text = "(its text could not be read)"
    if isinstance(error, UnhealthyError):  # its text was written for this
        return _short(text)
    return _short(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"
