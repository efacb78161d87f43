"""What a monitor tells its listeners: each change of a check."""

from dataclasses import dataclass

from mobius_infra.core import Event
from mobius_infra.health._states import Evidence, Health, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckEvent(Event):
    """Something changed about a check.

    Attributes:
        check: its name.
    """

    check: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckChanged(CheckEvent):
    """A check came into another state; which one, the subclass says.

    Attributes:
        check_kind: startup, readiness or liveness.
        before: the state that it left.
        reason: why it is not up; empty if it is.
        evidence: what that rests on.
        consequence_of: the roots of the trouble, if it is explained by what the check depends on.
        flapping: whether it changes its mind all the time.
        lasted: seconds that it was in the state before.
        down_for: seconds since it was last up, in whatever states; 0 if it was until now.
    """

    check_kind: Kind
    before: Health
    reason: str
    evidence: Evidence
    consequence_of: tuple[str, ...]
    flapping: bool
    lasted: float
    down_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailed(CheckChanged):
    """A check has gone down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDegraded(CheckChanged):
    """A check works, but not well: it got worse, or is no longer down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckUnknown(CheckChanged):
    """A check that was known is so no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRecovered(CheckChanged):
    """A check is up again. Its first success is no event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReleased(CheckEvent):
    """The trouble of a check is its own now: what it was blamed on has recovered.

    Attributes:
        reason: why it is not up.
        was_consequence_of: the roots that have recovered.
    """

    reason: str
    was_consequence_of: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFlapping(CheckEvent):
    """The runs of a check change their minds all the time.

    Attributes:
        share: of its last runs that said other than the one before.
    """

    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettled(CheckEvent):
    """The runs of a check agree again.

    Attributes:
        share: of its last runs that said other than the one before.
    """

    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStuck(CheckEvent):
    """A check still runs though it was cancelled, or hangs in a thread that nothing can stop.

    Attributes:
        running_for: seconds since it began.
    """

    running_for: float
