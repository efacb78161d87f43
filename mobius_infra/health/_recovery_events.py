"""What is told of a recovery: each of its steps."""

from dataclasses import dataclass

from mobius_infra.health._check_events import CheckEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryEvent(CheckEvent):
    """A step of a recovery.

    Attributes:
        action: name of what is done about it.
        dry_run: whether it is only said, not done.
    """

    action: str
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryStarted(RecoveryEvent):
    """The action is run from now on.

    Attributes:
        attempt: its number since the check went down, from 1.
    """

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverySucceeded(RecoveryEvent):
    """The action was run, and the check, asked again, passes.

    Attributes:
        took: seconds that the action took.
    """

    took: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryFailed(RecoveryEvent):
    """The action failed, took too long, or did not help.

    Attributes:
        reason: which of these.
        took: seconds that it took.
    """

    reason: str
    took: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryHeld(RecoveryEvent):
    """The action is not run now: another process is at it or has mended it, or nobody can say.

    Told once, until the reason is another.

    Attributes:
        reason: which of these.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryEscalated(RecoveryEvent):
    """The action has used up its restarts: it is no cure.

    Attributes:
        to: the next action; None if there is none, and a person must come.
    """

    to: str | None
