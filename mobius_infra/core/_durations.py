"""Counts durations by length, where nothing may be allocated that could be locked or collected."""

from bisect import bisect_left
from itertools import accumulate

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds: from what no user feels to what every one does."""

_NAMES = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")


class Durations:
    """A histogram of fixed buckets: two list items change, and a reader sees no half of it.

    A dict that grew while it is read would raise; these lists never grow. So one thread may add
    (even a callback of the garbage collector, which runs between any two steps) and another read.
    """

    __slots__ = ("_counts", "longest", "total")

    def __init__(self) -> None:
        self._counts = [0] * len(_NAMES)
        self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        if seconds > self.longest:  # noqa: PLR1730 - a call would cost as much as the rest
            self.longest = seconds

    @property
    def count(self) -> int:
        """How many were added."""
        return sum(self._counts)

    def within(self) -> dict[str, int]:
        """Return how many took at most so many seconds, as Prometheus' buckets count."""
        return dict(zip(_NAMES, accumulate(tuple(self._counts)), strict=True))

    def __repr__(self) -> str:
        return f"Durations(count={self.count}, longest={self.longest:g})"
