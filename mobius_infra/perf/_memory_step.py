"""When memory is short, and when it looks like a leak: decisions on numbers alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf
from statistics import median
from typing import Literal

MemoryLevel = Literal["normal", "high", "critical"]

LEVELS: tuple[MemoryLevel, ...] = ("normal", "high", "critical")
WINDOWS = 8
CERTAIN = 20
"""Of 28 pairs, so many more that rise than fall: by chance in 0.7 % (Mann and Kendall, n = 8)."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Shares of the limit at which a level begins; it ends `margin` below."""

    high: float
    critical: float
    margin: float

    def step(self, level: MemoryLevel, share: float) -> MemoryLevel:
        """Return the level after `level` when `share` of the memory is in use."""
        critical = self.critical - (self.margin if level == "critical" else 0.0)
        high = self.high - (self.margin if level != "normal" else 0.0)
        if share >= critical:
            return "critical"
        return "high" if share >= high else "normal"


class Minima:
    """The least memory in each of the last windows of time.

    What is in use rises and falls; what it never falls below is what is not given back.
    """

    __slots__ = ("_began", "_least", "_window", "values")

    def __init__(self, window: float) -> None:
        self._window = window
        self._began: float | None = None
        self._least = inf
        self.values: list[float] = []

    def add(self, now: float, used: float) -> bool:
        """Take a reading; say whether a window ended with it."""
        if self._began is None:
            self._began = now
        ended = now - self._began >= self._window
        if ended:
            self.values = [*self.values, self._least][-WINDOWS:]
            self._began, self._least = now, inf
        self._least = min(self._least, used)
        return ended

    def slope(self) -> float | None:
        """Return the growth in bytes a second; None before all windows have been."""
        if len(self.values) < WINDOWS:
            return None
        each = combinations(enumerate(self.values), 2)
        # The median of all slopes (Theil and Sen): a step up and down again does not tilt it.
        return median((b - a) / (j - i) for (i, a), (j, b) in each) / self._window

    def forget(self) -> None:
        """Begin anew: what was told is not told again on the same evidence."""
        self.values = []


def rises(values: Sequence[float], least: float) -> bool:
    """Say whether minima rise for certain, by at least the share `least` from first to last."""
    if len(values) < WINDOWS:
        return False
    score = sum((b > a) - (b < a) for a, b in combinations(values, 2))
    return score >= CERTAIN and values[-1] - values[0] >= least * values[0]
