"""Decisions counted and told of."""

from mobius_infra.core import Clock, Events
from mobius_infra.security._access_conditions import Subject, Who, id_of
from mobius_infra.security._access_events import (
    AccessDeniedError,
    AccessFailed,
    AccessRefused,
    StepUpRequired,
    StepUpRequiredError,
)
from mobius_infra.security._policy import Ruling


class Tally:
    """What an access control decided.

    Args:
        name: the access control's.
        events: is told of what was denied.
        clock: dates that, and says how old a proof is.
    """

    __slots__ = ("_clock", "_events", "_name", "allowed", "denied", "errors")

    def __init__(self, name: str, events: Events, clock: Clock) -> None:
        self._name = name
        self._events = events
        self._clock = clock
        self.allowed = self.denied = self.errors = 0

    def deny(self, subject: Who, permission: str, ruling: Ruling) -> None:
        """Count a denial, and tell of it."""
        self.denied += 1
        self.errors += ruling.error is not None
        if not len(self._events):
            return  # a flood of denials need not cost more than their count
        source, at, who = self._name, self._clock.time(), id_of(subject)
        if ruling.error is None:
            rule = ruling.rule
            self._events.emit(
                AccessRefused(source=source, at=at, subject=who, permission=permission, rule=rule)
            )
            return
        error = ruling.error
        self._events.emit(
            AccessFailed(source=source, at=at, subject=who, permission=permission, error=error)
        )

    def refuse(self, subject: Who, permission: str, ruling: Ruling) -> AccessDeniedError:
        """Count a denial, and tell of it; return the error to raise."""
        self.deny(subject, permission, ruling)
        return AccessDeniedError(
            self._name, id_of(subject), permission, rule=ruling.rule, error=ruling.error
        )

    def require_proof(self, subject: Who, permission: str, within: float) -> None:
        """Return if a subject has proved lately, by a second factor, who it is.

        Raises:
            StepUpRequiredError: if it has not; that is counted and told of.
        """
        proved = subject.verified_at if isinstance(subject, Subject) else None
        # Written so that not-a-number is too long ago, and so is what is yet to come.
        if proved is not None and 0 <= self._clock.monotonic() - proved <= within:
            return
        self.denied += 1
        who = id_of(subject) or ""  # somebody: nobody is allowed nothing
        at, source = self._clock.time(), self._name
        self._events.emit(
            StepUpRequired(source=source, at=at, subject=who, permission=permission, within=within)
        )
        raise StepUpRequiredError(source, who, permission, within)
