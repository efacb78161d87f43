"""When a series changed its level: afterwards from all of it, or value by value as it comes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median
from typing import Literal, Self

from mobius_infra.core import require
from mobius_infra.metrics._moments import LARGEST
from mobius_infra.metrics._series import (
    NotEnoughData,
    Point,
    check_share,
    in_order,
    lag_one,
    ranks,
    thinned,
    without_rounding,
)

NEED = 20
"""Fewer can't tell a change from an outlier."""

SIDE = 5
"""Points that there must be on each side of a change."""

MOST = 2_000
"""Longer series are thinned to this: each pass takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A moment at which the level of a series changed.

    Attributes:
        at: the time of the first point of the new level.
        before: the median since the change before this one.
        after: the median until the next.
        p: the chance of so clear a change in a series that has none.
    """

    at: float
    before: float
    after: float
    p: float


def change_points(
    points: Iterable[Point], *, significance: float = 0.01, autocorrelated: bool = True
) -> list[ChangePoint] | NotEnoughData:
    """Find when the level of a series changed, if it did.

    The test compares ranks before and after each moment (Pettitt, "A Non-Parametric Approach to
    the Change-Point Problem", Applied Statistics 28(2), 1979), so that it needs no distribution
    and bears outliers. What it finds divides the series, and each part is searched again. A
    steady slope is a change of level to it: ask `trend` too. Values that resemble those just
    before them weaken a finding as they do in `trend`.

    Args:
        points: times in seconds and values, in any order, with any gaps.
        significance: the part of series without a change in which one may be found.
        autocorrelated: whether values may depend on those just before them.

    Returns:
        The changes by time, or `NotEnoughData` for fewer than twenty points. Of more than 2,000
        points, runs are first replaced by their medians.

    Raises:
        ConfigurationError: if `significance` is not between 0 and 1.
    """
    check_share("significance", significance)
    series = thinned(in_order(points), MOST)
    if len(series) < NEED:
        return NotEnoughData(len(series), NEED)
    values = [v for _, v in series]
    cuts: dict[int, float] = {}
    parts = [(0, len(values))]
    while parts:
        start, end = parts.pop()
        if end - start < NEED:
            continue
        split, p = _best_split(values[start:end], autocorrelated=autocorrelated)
        if p < significance:
            cuts[start + split] = p
            parts += [(start, start + split), (start + split, end)]
    ends = [0, *sorted(cuts), len(values)]
    levels = [median(values[a:b]) for a, b in pairwise(ends)]
    return [
        ChangePoint(series[cut][0], levels[at], levels[at + 1], cuts[cut])
        for at, cut in enumerate(sorted(cuts))
    ]


def _best_split(values: Sequence[float], *, autocorrelated: bool) -> tuple[int, float]:
    """Return where the ranks differ most before and after, and how probable that is by chance."""
    size = len(values)
    # Pettitt's statistic for a change behind each of the values.
    scores = [
        2 * total - count * (size + 1)
        for count, total in enumerate(accumulate(ranks(values)), start=1)
    ]
    split = max(range(SIDE, size - SIDE + 1), key=lambda count: abs(scores[count - 1]))
    score = scores[split - 1]
    inflation = 1.0
    if autocorrelated:
        left, right = median(values[:split]), median(values[split:])
        away = [v - left for v in values[:split]] + [v - right for v in values[split:]]
        # A level and a step were fitted.
        r = lag_one(without_rounding(away, values), fitted=2)
        inflation = (1 + r) / (1 - r)
    return split, min(2 * math.exp(-6 * score**2 / (size**3 + size**2) / inflation), 1.0)


Shift = Literal["up", "down", "none"]


class Cusum:
    """Watches, value by value, if a level is still what it was, in constant memory.

    For example::

        watch = Cusum(target=0.2, deviation=0.05)
        if watch.add(latency) == "up":
            ...
            watch.reset()

    Small departures add up until they are beyond doubt (Page, "Continuous Inspection Schemes",
    Biometrika 41, 1954; the tabular form of the NIST/SEMATECH e-Handbook, section 6.3.2.3). With
    the defaults, independent normal noise raises one false alarm in 465 values, and a shift by
    one deviation is noticed after 10, by two after 4 (Montgomery, "Introduction to Statistical
    Quality Control", table 9.3). Values that resemble those before them raise more: watch means
    over times longer than that.

    Args:
        target: the level that it should have.
        deviation: the standard deviation of single values.
        slack: departures smaller than this many deviations are not added up; half of the shift
            that matters.
        threshold: the sum, in deviations, that is beyond doubt.

    Raises:
        ConfigurationError: for a target that is no number, a deviation or threshold that is not
            positive, or a negative slack.
    """

    __slots__ = ("deviation", "down", "refused", "slack", "target", "threshold", "up")

    def __init__(
        self, target: float, deviation: float, *, slack: float = 0.5, threshold: float = 5.0
    ) -> None:
        require(-LARGEST <= target <= LARGEST, "target", target, "a number, at most 1e140")
        require(0 < deviation <= LARGEST, "deviation", deviation, "positive, at most 1e140")
        require(0 <= slack < math.inf, "slack", slack, "a number of deviations, 0 or more")
        require(0 < threshold < math.inf, "threshold", threshold, "a positive number of deviations")
        self.target = target
        self.deviation = deviation
        self.slack = slack
        self.threshold = threshold
        self.up = self.down = 0.0
        self.refused = 0

    @classmethod
    def learn(
        cls, values: Iterable[float], *, slack: float = 0.5, threshold: float = 5.0
    ) -> Self | NotEnoughData:
        """Take target and deviation from values of a time when all was well.

        They are estimates (the median, and the median distance from it), which costs precision:
        give it a hundred values or more to keep false alarms near those of known ones. Where all
        are equal, any departure is a shift.

        Returns:
            The watch, or `NotEnoughData` for fewer than twenty values.
        """
        usable = [each for each in values if -LARGEST <= each <= LARGEST]
        if len(usable) < NEED:
            return NotEnoughData(len(usable), NEED)
        target = median(usable)
        # 1.4826 makes it the standard deviation of a normal distribution.
        deviation = 1.4826 * median(abs(each - target) for each in usable)
        least = max(1e-12 * abs(target), 1e-140)
        return cls(target, min(max(deviation, least), LARGEST), slack=slack, threshold=threshold)

    def add(self, value: float) -> Shift:
        """Take one value, and say if the level is beyond doubt no longer the target.

        It goes on saying so until values outweigh what was added up, or it is `reset`. What is no
        number, or over 1e140, is counted in `refused` and changes nothing else.
        """
        if -LARGEST <= value <= LARGEST:
            away = (value - self.target) / self.deviation
            self.up = max(self.up + away - self.slack, 0.0)
            self.down = max(self.down - away - self.slack, 0.0)
        else:
            self.refused += 1
        return self.shift

    @property
    def shift(self) -> Shift:
        """What the last `add` said."""
        if max(self.up, self.down) <= self.threshold:
            return "none"
        return "up" if self.up >= self.down else "down"

    def reset(self, target: float | None = None) -> None:
        """Begin anew, at a new level if that is what is right now."""
        if target is not None:
            require(-LARGEST <= target <= LARGEST, "target", target, "a number, at most 1e140")
            self.target = target
        self.up = self.down = 0.0

    def __repr__(self) -> str:
        return f"Cusum(target={self.target:g}, deviation={self.deviation:g}, shift={self.shift!r})"
