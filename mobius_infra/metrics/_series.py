"""What every analysis does first: put a series in order, and say if it is too short."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from statistics import median

from mobius_infra.core import require
from mobius_infra.metrics._moments import LARGEST

Point = tuple[float, float]
"""A time in seconds, and a value."""

_MOMENT = 1e-9


@dataclass(frozen=True, slots=True)
class NotEnoughData:
    """The answer of an analysis that was given too little to tell anything.

    It is false, so that `if answer := trend(points):` reads as it sounds.

    Attributes:
        have: usable points (or values) that there were.
        need: how many there must be.
    """

    have: int
    need: int

    def __bool__(self) -> bool:
        return False


def in_order(points: Iterable[Point]) -> list[Point]:
    """Return the usable points by time, one for each moment.

    Points that came out of order are put in order. Points where the time or the value is no
    number, or is larger than 1e140, are left out, as gaps are. Of points less than a nanosecond
    apart the median stays: a slope between them would mean nothing.
    """
    usable = sorted(
        (t, v) for t, v in points if -LARGEST <= t <= LARGEST and -LARGEST <= v <= LARGEST
    )
    moments: list[tuple[float, list[float]]] = []
    for t, v in usable:
        if moments and t - moments[-1][0] < _MOMENT:
            moments[-1][1].append(v)
        else:
            moments.append((t, [v]))
    return [(t, median(vs)) for t, vs in moments]


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """Return at most `most` points: the medians of consecutive runs of equal length."""
    run = ceil(len(points) / most)
    if run < 2:
        return points
    runs = [points[at : at + run] for at in range(0, len(points), run)]
    return [(median(t for t, _ in each), median(v for _, v in each)) for each in runs]


def ranks(values: Sequence[float]) -> list[float]:
    """Return each value's rank from 1; equal ones share the middle of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    starts = [
        at for at in range(len(order)) if not at or values[order[at]] != values[order[at - 1]]
    ]
    found = [0.0] * len(values)
    for start, end in pairwise([*starts, len(order)]):
        for at in order[start:end]:
            found[at] = (start + 1 + end) / 2
    return found


def lag_one(values: Sequence[float], *, fitted: int) -> float:
    """Return how much each value resembles the one before it, from 0 to 0.98.

    It is the autocorrelation of the ranks, so that an outlier does not hide it. In residuals it
    comes out too low, by about `(fitted + (fitted + 2) * r) / n`; that is made good (Kendall,
    "Note on Bias in the Estimation of Autocorrelation", Biometrika 41, 1954, for a fitted mean;
    Tjostheim and Paulsen, "Bias of Some Commonly-Used Time Series Estimates", Biometrika 70, 1983,
    for a line). Resemblance that is negative counts as none: it would make results look surer.

    Args:
        values: residuals, in order of time; more than six.
        fitted: parameters that were fitted before: 1 for a level, 2 for a line.
    """
    size, middle = len(values), (len(values) + 1) / 2
    away = [rank - middle for rank in ranks(values)]
    spread = sum(each * each for each in away)
    if not spread:  # all equal
        return 0.0
    found = sum(one * other for one, other in pairwise(away)) / spread
    if found <= 0:
        return 0.0
    return min((size * found + fitted) / (size - fitted - 2), 0.98)


def without_rounding(residuals: Sequence[float], values: Sequence[float]) -> list[float]:
    """Return the residuals with those set to 0 that are but the rounding of the values' floats.

    The rounding of an exact line has a pattern, which must not be taken for one of the data.
    """
    largest = max((abs(each) for each in values), default=0.0)
    return [0.0 if abs(each) <= 1e-12 * largest else each for each in residuals]


def check_share(name: str, value: float) -> None:
    """Refuse a probability that is not between 0 and 1.

    Raises:
        ConfigurationError: naming it.
    """
    require(0 < value < 1, name, value, "between 0 and 1")
