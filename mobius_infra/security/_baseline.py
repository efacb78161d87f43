"""What is usual for one user: a histogram that fades, its median, and how far he strays from it.

Median and median absolute deviation bear outliers where mean and deviation do not (Iglewicz and
Hoaglin, "How to Detect and Handle Outliers", 1993). Where more is done than is usual, no more than
the limit is learned of it, so that nobody teaches it his flood at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, log2
from typing import Final

from mobius_infra.core import require
from mobius_infra.security._blocklist_names import By
from mobius_infra.security._blocklist_steps import require_number, require_positive

_EXACT: Final = 8  # counts below have a bin each; above, there are four for every doubling
_BINS: Final = 80  # up to a million
_FAINT: Final = 0.01  # weight at which a bin is forgotten
_SIGMA: Final = 1.4826  # what makes a normal distribution's MAD its standard deviation


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the usual is learned, and what is far from it.

    Attributes:
        score: robust standard deviations above the median that are too many.
        least: activities in a period below which nothing is too much.
        learn: periods with activity that must have been seen first.
        period: seconds.
        fade: what a period's weight is multiplied by at each next one; 0.98 halves it in 34.
        by: whose usual it is.
        risk: what a period far above it adds to the subject's risk.

    Raises:
        ConfigurationError: if a value can't work.
    """

    score: float = 8.0
    least: int = 20
    learn: int = 20
    period: float = 60.0
    fade: float = 0.98
    by: By = "user"
    risk: float = 40.0

    def __post_init__(self) -> None:
        require_positive("score", self.score)
        require_number("least", self.least, 1, "a number of 1 or more")
        require_number("learn", self.learn, 2, "a number of 2 or more")
        require_positive("period", self.period)
        require_number("fade", self.fade, 0, "a number above 0 and up to 1")
        require(0 < self.fade <= 1, "fade", self.fade, "a number above 0 and up to 1")
        require(self.by in ("user", "ip", "chat"), "by", self.by, "'user', 'ip' or 'chat'")
        require_positive("risk", self.risk)


class Usual:
    """What one subject usually does.

    Attributes:
        period: the present one's number.
        count: activities in it.
        periods: how many with activity have been learned.
        limit: what is too much; infinity until enough is known.
        median: of activities in a period.
        weights: of each bin of the histogram.
    """

    __slots__ = ("count", "limit", "median", "period", "periods", "told", "weights")

    def __init__(self) -> None:
        self.period = self.count = self.periods = 0
        self.limit = float("inf")
        self.median = 0.0
        self.told = False
        self.weights: dict[int, float] = {}


def note(usual: Usual, now: float, baseline: Baseline) -> str | None:
    """Count an activity; return in words how far from usual it is, once a period.

    The pure step: the subject's state is changed in place.
    """
    period = floor(now / baseline.period)
    if period > usual.period:
        if usual.count:
            _learn(usual, baseline)
        usual.period, usual.count, usual.told = period, 0, False
    usual.count += 1
    if usual.told or usual.count < baseline.least or usual.count <= usual.limit:
        return None
    usual.told = True
    return f"{usual.count} in {baseline.period:g} s, usually {usual.median:g}"


def _learn(usual: Usual, baseline: Baseline) -> None:
    faded = {each: weight * baseline.fade for each, weight in usual.weights.items()}
    usual.weights = {each: weight for each, weight in faded.items() if weight > _FAINT}
    at = bin_of(min(usual.count, max(usual.limit, baseline.least)))
    usual.weights[at] = usual.weights.get(at, 0.0) + 1
    usual.periods += 1
    if usual.periods >= baseline.learn:
        values = [(value_of(each), weight) for each, weight in usual.weights.items()]
        usual.median = median = weighted_median(values)
        spread = weighted_median((abs(value - median), weight) for value, weight in values)
        # Someone who always does the same may do a little more: a tenth, or one, is no deviation.
        usual.limit = median + baseline.score * max(_SIGMA * spread, 0.1 * median, 1.0)


def bin_of(count: float) -> int:
    """Return the histogram's bin for a count."""
    if count < _EXACT:
        return int(count)
    return min(_EXACT + floor(4 * log2(count / _EXACT)), _BINS - 1)


def value_of(number: int) -> float:
    """Return the count that a bin stands for: the middle of it, by ratio."""
    return float(number) if number < _EXACT else _EXACT * 2 ** ((number - _EXACT + 0.5) / 4)


def weighted_median(values: Iterable[tuple[float, float]]) -> float:
    """Return the value with at most half of the weight on either side."""
    ordered = sorted(values)
    half = sum(weight for _, weight in ordered) / 2
    for value, weight in ordered:
        half -= weight
        if half <= 0:
            return value
    return 0.0
