"""What the algorithms share: windows, the baseline, and when a limit may not move."""

from collections.abc import Callable
from math import inf

from mobius_infra.ratelimit._adaptive_steps import Algorithm, Sample

WINDOW = 20
"""Calls in a window at least. A full limiter ends about `limit` calls in a round trip, so a window
is at least that many."""

PROBE = 50
"""Calls that the baseline is the mean of: its error is a seventh of the spread of one call.
Fewer where the limit is small, down to a window, or measuring would take too long."""

DRAINED = 0.25
"""Share of the limit that is in force while the baseline is measured.

It must be clearly below 1 / tolerance, or a limit that is too high would measure the queue that it
makes itself and keep it for ever. At a quarter, a limit that is more than four times too high comes
down by about half with each measurement; one that is less measures the truth.
"""


class Control:
    """The limit of one limiter. `step` takes one window and says the limit in force.

    Args:
        algorithm: finds the next limit from the last.
        initial: calls at once to begin with.
        minimum: the limit is never lower.
        maximum: nor higher.
        interval: seconds between two measurements of the baseline, give or take a quarter, so
            that the processes of a fleet don't measure together.
        draw: gives random numbers in [0, 1).
    """

    __slots__ = (
        "_algorithm", "_drained_at", "_draining", "_draw", "_interval", "_maximum", "_minimum",
        "_probe_at", "baseline", "found", "probing", "rtt",
    )  # fmt: skip

    def __init__(
        self,
        algorithm: Algorithm,
        initial: int,
        minimum: int,
        maximum: int,
        interval: float,
        draw: Callable[[], float],
    ) -> None:
        self._algorithm = algorithm
        self._minimum = minimum
        self._maximum = maximum
        self._interval = interval
        self._draw = draw
        self.found = float(initial)
        self.baseline = self.rtt = 0.0
        self.probing = algorithm.needs_baseline  # nothing is known yet
        self._draining = self.probing
        self._drained_at = 0.0
        self._probe_at = inf

    @property
    def limit(self) -> int:
        """Calls at once that may be, now."""
        if self.probing:
            return max(self._minimum, int(self.found * DRAINED))
        return int(self.found)

    @property
    def window(self) -> int:
        """Calls after which the next step is due."""
        if self._draining:
            return self.limit  # the first to end are the short ones: they are no fair sample
        if self.probing:
            return min(PROBE, max(WINDOW, 10 * self.limit))
        return max(WINDOW, int(self.found))

    def step(self, sample: Sample) -> int:
        """Take one window; return the limit in force."""
        self.rtt = sample.rtt or self.rtt
        if self.probing:
            self._probe(sample)
        elif sample.rtt and sample.now >= self._probe_at:
            self.probing = self._draining = True
            # Calls that began before must end, or their queue would be measured.
            self._drained_at = sample.now + 2 * sample.rtt
        elif sample.dropped or (sample.rtt and sample.inflight * 2 >= self.found):
            # What is hardly used says nothing about what could be borne; only a drop does.
            self._move(sample)
        return self.limit

    def _probe(self, sample: Sample) -> None:
        if sample.dropped:
            self._move(sample)
        if self._draining:
            self._draining = sample.now < self._drained_at
        elif sample.rtt:  # where some time out at every load, those that succeed must do
            self.baseline = sample.rtt
            self.probing = False
            spread = 0.75 + 0.5 * self._draw()
            self._probe_at = sample.now + self._interval * spread

    def _move(self, sample: Sample) -> None:
        found = self._algorithm.step(self.found, self.baseline, sample)
        self.found = min(max(found, self._minimum), self._maximum)
