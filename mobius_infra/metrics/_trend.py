"""Whether a series rises or falls, how fast, and when it reaches a limit."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, median
from typing import Literal

from mobius_infra.core import require
from mobius_infra.metrics._moments import LARGEST
from mobius_infra.metrics._series import (
    NotEnoughData,
    Point,
    check_share,
    in_order,
    lag_one,
    thinned,
    without_rounding,
)

NEED = 10
"""From here on the normal approximation of the test is close (Gilbert 1987, section 16.4)."""

MOST = 300
"""Longer series are thinned to this: 45,000 slopes take some 10 to 20 ms."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through a series, and how sure it is that there is one.

    Attributes:
        direction: `rising` or `falling` if significant, else `none`.
        slope: change for each second, by Theil and Sen.
        low: the slope's confidence interval begins here...
        high: ...and ends here.
        at: the time in the middle of the series.
        level: the line's value there; anywhere else it is `level + slope * (t - at)`.
        p: the chance of so clear a trend in a series that has none (two-sided).
        inflation: the factor by which neighbours that resemble each other make chance trends
            stronger; 1 for independent values.
        points: how many were used.
    """

    direction: Literal["rising", "falling", "none"]
    slope: float
    low: float
    high: float
    at: float
    level: float
    p: float
    inflation: float
    points: int

    def value(self, t: float) -> float:
        """Return the line's value at time `t`."""
        return self.level + self.slope * (t - self.at)


def trend(
    points: Iterable[Point], *, significance: float = 0.05, autocorrelated: bool = True
) -> Trend | NotEnoughData:
    """Fit a line that outliers do not bend, and test if it rises or falls.

        found = trend([(0.0, 1.0), (60.0, 1.2), ...])

    The slope is the median of those between all pairs of points (Sen, "Estimates of the Regression
    Coefficient Based on Kendall's Tau", JASA 63, 1968), and bears up to 29 % of outliers. The test
    is Mann's and Kendall's, with correction for ties and continuity; the interval is Sen's.

    Values of one service resemble those just before them, and a wandering series shows trends that
    mean nothing: at a lag-one correlation of 0.7 the plain test finds one in every third series.
    So the variance is enlarged by `(1 + r) / (1 - r)` (Yue and Wang, "The Mann-Kendall Test
    Modified by Effective Sample Size", Water Resources Management 18, 2004), where `r` is that of
    the ranks of the residuals from the line. A curve's departure from its line looks like
    resemblance too: whoever knows that values are independent can turn it off.

    Args:
        points: times in seconds and values, in any order, with any gaps.
        significance: the part of trendless series in which a trend may be found by chance; the
            interval holds the slope in all but this part.
        autocorrelated: whether values may depend on those just before them.

    Returns:
        The trend, or `NotEnoughData` for fewer than ten points. Of more than 300 points, runs are
        first replaced by their medians.

    Raises:
        ConfigurationError: if `significance` is not between 0 and 1.
    """
    check_share("significance", significance)
    series = thinned(in_order(points), MOST)
    if len(series) < NEED:
        return NotEnoughData(len(series), NEED)
    slopes = sorted((w - v) / (u - t) for (t, v), (u, w) in combinations(series, 2))
    slope, at = median(slopes), median(t for t, _ in series)
    values = [v for _, v in series]
    flat = [v - slope * (t - at) for t, v in series]
    level = median(flat)
    score = sum(each > 0 for each in slopes) - sum(each < 0 for each in slopes)
    variance = score_variance(values)
    inflation = 1.0
    if autocorrelated:
        r = lag_one(without_rounding([each - level for each in flat], values), fitted=2)
        inflation = (1 + r) / (1 - r)
        variance *= inflation
    p = p_value(score, variance)
    half = _NORMAL.inv_cdf(1 - significance / 2) * math.sqrt(variance)
    low = slopes[max(round((len(slopes) - half) / 2) - 1, 0)]
    high = slopes[min(round((len(slopes) + half) / 2), len(slopes) - 1)]
    direction: Literal["rising", "falling", "none"] = "none"
    if p < significance:
        direction = "rising" if score > 0 else "falling"
    return Trend(direction, slope, low, high, at, level, p, inflation, len(series))


def score_variance(values: Sequence[float]) -> float:
    """Return the variance of Kendall's score where there is no trend, corrected for ties."""
    sizes = [len(values), *Counter(values).values()]
    whole, *tied = (size * (size - 1) * (2 * size + 5) for size in sizes)
    return (whole - sum(tied)) / 18


def p_value(score: float, variance: float) -> float:
    """Return the two-sided chance of so large a score, corrected for continuity."""
    if not variance:  # constant
        return 1.0
    z = max(abs(score) - 1, 0) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """When a limit is reached if all goes on as it did.

    Attributes:
        seconds: from now, by the most likely slope; infinity if the limit is not approached, or
            if there is no significant trend; 0 if it is reached already.
        soonest: by the steepest slope of the interval.
        latest: by the flattest; infinity if that does not get there.
        trend: what it was concluded from.
    """

    seconds: float
    soonest: float
    latest: float
    trend: Trend


def time_left(
    points: Iterable[Point],
    limit: float,
    *,
    now: float | None = None,
    significance: float = 0.05,
) -> TimeLeft | NotEnoughData:
    """Tell when a series reaches `limit`: "the disk is full in three hours".

    A rising series reaches it from below, a falling one from above. Without a significant trend,
    it is never reached: a guess from noise would wake somebody every night.

    Args:
        points: times in seconds and values, as for `trend`.
        limit: the value that must not be reached.
        now: the time to count from; the last point's if None.
        significance: as for `trend`.

    Returns:
        The time left, or `NotEnoughData` for fewer than ten points.

    Raises:
        ConfigurationError: if `limit`, `now` or `significance` is no usable number.
    """
    for name, number in (("limit", limit), ("now", now or 0.0)):
        require(-LARGEST <= number <= LARGEST, name, number, "a number, at most 1e140")
    series = in_order(points)
    found = trend(series, significance=significance)
    if isinstance(found, NotEnoughData):
        return found
    moment = series[-1][0] if now is None else now
    if found.direction == "none":
        return TimeLeft(math.inf, math.inf, math.inf, found)
    rises = found.direction == "rising"
    steep, flat = (found.high, found.low) if rises else (found.low, found.high)
    # All three lines go through the middle of the series, where they are known best.
    seconds, soonest, latest = (
        _until(limit - found.level, slope if rises else -slope, found.at - moment, rises=rises)
        for slope in (found.slope, steep, flat)
    )
    return TimeLeft(seconds, soonest, latest, found)


def _until(gap: float, speed: float, since: float, *, rises: bool) -> float:
    """Return the seconds until `gap` is closed at `speed`, which began at `since` from now."""
    gap = gap if rises else -gap
    if speed > 0:
        return max(since + gap / speed, 0.0)
    return 0.0 if gap <= 0 else math.inf
