"""Values that are far from what trend and season let one expect."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import NormalDist, fmean, median

from mobius_infra.core import require
from mobius_infra.metrics._moments import LARGEST
from mobius_infra.metrics._season import by_step
from mobius_infra.metrics._series import NotEnoughData, Point, in_order, without_rounding
from mobius_infra.metrics._trend import NEED, Trend, trend

SEASONS = 5
"""With fewer values in each phase, their median lies too close to them to tell what is odd."""

_QUARTILE = NormalDist().inv_cdf(0.75)
_MEAN_AWAY = 0.7978845608028654
"""The mean distance from the mean of a standard normal distribution: the root of 2 / pi."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A value that does not fit.

    Attributes:
        at: its time.
        value: what it was.
        expected: what trend and season let one expect.
        score: how many standard deviations of the rest it is away; negative if it is too low.
    """

    at: float
    value: float
    expected: float
    score: float


def robust_scores(values: Sequence[float]) -> list[float]:
    """Return how many deviations each value is from the median, not swayed by the odd ones.

    It is the modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle Outliers", ASQC
    1993: the deviation comes from the median distance to the median (MAD), which bears up to half
    of the values being odd. Where more than half are equal, that is zero, and the mean distance is
    taken instead; where all are equal, every score is 0.
    """
    if not values:
        return []
    middle = median(values)
    away = without_rounding([each - middle for each in values], values)
    distances = [abs(each) for each in away]
    deviation = median(distances) / _QUARTILE or fmean(distances) / _MEAN_AWAY
    return [each / deviation if deviation else 0.0 for each in away]


def anomalies(
    points: Iterable[Point],
    *,
    period: float | None = None,
    step: float | None = None,
    threshold: float = 3.5,
) -> list[Anomaly] | NotEnoughData:
    """Find values far from the line of Theil and Sen, and from the season if there is one.

    Everything that expectations are made of is a median, so that what is odd does not hide
    itself or make its neighbours look odd. A wandering level makes odd what is only new: take the
    last hours, or look at `change_points` first.

    Args:
        points: times in seconds and values, in any order, with any gaps.
        period: seconds after which the series repeats itself; None if it does not.
        step: seconds from one value to the next, for `period`; what is usual if None.
        threshold: the score from which on a value is odd. At 3.5 that is one of 2,150 values of
            normal noise in a long series, and one of 80 where there are but 20 to tell from.

    Returns:
        What is odd, by time, or `NotEnoughData` for fewer than ten points or five seasons.

    Raises:
        ConfigurationError: if a number is not positive, or a period less than two steps.
    """
    require(0 < threshold < inf, "threshold", threshold, "a positive number of deviations")
    for name, seconds in (("period", period), ("step", step)):
        require(
            seconds is None or 0 < seconds <= LARGEST, name, seconds, "a positive number of seconds"
        )
    series = in_order(points)
    phases = [0] * len(series)
    need = NEED
    if period is not None and len(series) > 1:
        length, numbers = by_step(series, period, step)
        phases = [number % length for number in numbers]
        need = max(NEED, SEASONS * length)
    if len(series) < need:
        return NotEnoughData(len(series), need)
    seasonal = [0.0] * len(series)
    # Twice: an incomplete last season tilts the first line.
    for _ in range(1 if period is None else 2):
        line = trend(
            [(t, v - each) for (t, v), each in zip(series, seasonal, strict=True)],
            autocorrelated=False,
        )
        if not isinstance(line, Trend):  # thinning leaves more than enough
            return line
        flat = [v - line.value(t) for t, v in series]
        seasonal = _medians_of_others(flat, phases)
    away = [v - each for v, each in zip(flat, seasonal, strict=True)]
    away = without_rounding(away, [v for _, v in series])
    return [
        Anomaly(t, v, v - off, score)
        for (t, v), off, score in zip(series, away, robust_scores(away), strict=True)
        if abs(score) > threshold
    ]


def _medians_of_others(values: Sequence[float], phases: Sequence[int]) -> list[float]:
    """Return for each value the median of all others in its phase.

    A median that it is part of lies on one value and close to the next: all others would look
    odd beside them. A value without others is its own.
    """
    held: dict[int, list[int]] = {}
    for at, phase in enumerate(phases):
        held.setdefault(phase, []).append(at)
    found = list(values)
    for group in held.values():
        group.sort(key=values.__getitem__)
        ordered = [values[at] for at in group]
        # Without the one, the middle of the rest moves to the right or stays: by where it was.
        for place, at in enumerate(group if len(group) > 1 else []):
            middle = (len(ordered) - 1) // 2
            high = ordered[middle + (place <= middle)]
            low = ordered[middle - 1 + (place < middle)] if len(ordered) % 2 else high
            found[at] = (low + high) / 2
    return found
