"""Calls that are not made, counted and told of."""

from collections import Counter
from collections.abc import Callable
from typing import Literal

from mobius_infra.core import Events
from mobius_infra.security._risk import Answer
from mobius_infra.security._threat_events import GuardFailed, ThreatRefusedError


class Refusals:
    """What one detector refuses.

    Args:
        name: the detector's.
        events: is told of callers who can't be told.
        time: dates that.
        enforced: False in the mode `observe`: an error refuses nothing.

    Attributes:
        answers: calls that were not made, by answer.
        errors: callers of whom it could not be told who they are.
    """

    __slots__ = ("_enforced", "_events", "_name", "_time", "answers", "errors")

    def __init__(
        self, name: str, events: Events, time: Callable[[], float], *, enforced: bool
    ) -> None:
        self.answers: Counter[str] = Counter()
        self.errors = 0
        self._name = name
        self._events = events
        self._time = time
        self._enforced = enforced

    def refuse(
        self, subject: str, answer: Answer | Literal["error"], after: float | None = None
    ) -> ThreatRefusedError:
        """Count a refusal; return the error to raise."""
        self.answers[answer] += 1
        return ThreatRefusedError(self._name, subject, answer, retry_after=after)

    def failed(self, part: str, error: Exception, *, refuse: bool) -> None:
        """Count and tell that it can't be told who makes a call.

        Raises:
            ThreatRefusedError: if the call is to be refused for that.
        """
        self.errors += 1
        refused = refuse and self._enforced
        at, kind = self._time(), type(error).__name__
        self._events.emit(
            GuardFailed(source=self._name, at=at, part=part, error=kind, refused=refused)
        )
        if refused:
            raise self.refuse("unknown", "error") from error
