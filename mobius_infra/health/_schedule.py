"""When a check is due: from due time to due time, so that what a run takes moves nothing."""

from dataclasses import dataclass

OVERSLEPT = 1.0
"""Seconds from which being late means that the process stood still: a suspend, a blocked loop."""


@dataclass(slots=True)
class Schedule:
    """The due times of one check.

    It is due at once, then somewhere within the first interval, so that the checks of a process and
    of a fleet spread, and then after each interval or a little less: never later, so an outage is
    seen within interval + time-out.

    Attributes:
        every: seconds from one due time to the next, at most.
        jitter: share of it that may be missing, at random.
        due: when it is due next, on the monotonic clock.
        first: whether it has not been due yet.
        spread: whether it was moved for being late, and so is run next time, late or not.
    """

    every: float
    jitter: float
    due: float
    first: bool = True
    spread: bool = False

    def woke(self, now: float, draw: float) -> bool:
        """Say whether to run now; if not, `due` has been moved.

        All checks of a process are late together after it stood still. Each then waits for a moment
        of its own within the next interval, or they would all run in one burst.
        """
        if self.spread or now - self.due < min(OVERSLEPT, self.every):
            self.spread = False
            return True
        self.due = now + self.every * draw
        self.spread = True
        return False

    def advance(self, now: float, draw: float) -> None:
        """Move `due` past `now`: a run that took longer than its interval has skipped some."""
        share = draw if self.first and self.jitter else self.jitter * draw
        self.first = False
        before = self.due
        self.due += self.every * (1.0 - share)
        if self.due <= now:  # no time to come early
            self.due = before + self.every
        if self.due <= now:
            self.due += self.every * ((now - self.due) // self.every + 1)
