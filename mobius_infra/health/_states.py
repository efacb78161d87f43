"""The words in which health is said: how a thing is, what a check is for, how it was found out."""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How a thing is. `UNKNOWN` until it is looked at, and again when that is too long ago."""

    UNKNOWN = "unknown"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


SEVERITY = {Health.UP: 0, Health.DEGRADED: 1, Health.DOWN: 2}
"""The three that a run can establish, from good to bad. `UNKNOWN` is not between any of them."""


class Kind(StrEnum):
    """Which question a check answers.

    - `STARTUP`: has it begun? Asked until the first yes, then never again.
    - `READINESS`: may it be given work? The only one that may ask something outside the process.
    - `LIVENESS`: must it be killed? Never asks anything outside: a restart mends no database.
    """

    STARTUP = "startup"
    READINESS = "readiness"
    LIVENESS = "liveness"


class Evidence(StrEnum):
    """What the newest word on a check rests on.

    - `NONE`: it has not run
    - `ANSWER`: it returned
    - `ERROR`: it raised
    - `TIMEOUT`: it was cancelled at its time-out
    - `STUCK`: it still runs though it was cancelled; it is not started again before it ends
    - `BLOCKED`: the event loop stood still, so its time-out says nothing
    - `CAPPED`: it did not run, because all threads are taken by checks that hang
    - `CANCELLED`: something else cancelled it
    - `NONSENSE`: it returned what is no answer
    - `STALE`: the last answer is too old
    - `TRAFFIC`: it did not need to run, real calls have shown it
    - `DEPENDENCIES`: it has no run of its own, what it depends on says it
    """

    NONE = "none"
    ANSWER = "answer"
    ERROR = "error"
    TIMEOUT = "timeout"
    STUCK = "stuck"
    BLOCKED = "blocked"
    CAPPED = "capped"
    CANCELLED = "cancelled"
    NONSENSE = "nonsense"
    STALE = "stale"
    TRAFFIC = "traffic"
    DEPENDENCIES = "dependencies"


@dataclass(frozen=True, slots=True)
class Degraded:
    """Returned by a check whose thing works, but not well.

    Attributes:
        reason: what is wrong, for people.
    """

    reason: str
