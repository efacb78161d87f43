"""What there is to export at one moment: families of series, the one form all exporters read."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from mobius_infra.metrics._sketch import Sketch

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary", "info"]
Labels: TypeAlias = tuple[tuple[str, str], ...]

SLICE = 200
"""Series that are read, and then written, in one go: about a millisecond."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One observation that stands for its bucket, and what it can be found by.

    Attributes:
        labels: name and value, such as `("trace_id", "4bf9…")`.
        value: what was observed.
        at: when, in seconds since the epoch.
    """

    labels: Labels
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram's value.

    Attributes:
        bounds: upper bounds, inclusive, ascending; the last is infinity.
        counts: observations in each bucket alone, not cumulative; as many as bounds.
        total: sum of the observations.
        exemplars: of each bucket, or None for one that has none; empty if none has.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    exemplars: tuple[Exemplar | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A summary's value.

    Attributes:
        count: observations.
        total: sum of them.
        values: pairs of a quantile in [0, 1] and its value.
        sketch: what they were read from, where it is at hand: quantiles don't merge, it does.
    """

    count: int
    total: float
    values: tuple[tuple[float, float], ...] = ()
    sketch: Sketch | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Series:
    """One series: labels in the order of their family, and the value now.

    Attributes:
        labels: name and value.
        value: a number for counters, gauges and info (1), else what its kind is made of.
        created: when a counter, histogram or summary began, in seconds since the epoch, if known.
    """

    labels: Labels
    value: float | Buckets | Quantiles
    created: float | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """Series of one name.

    Attributes:
        name: without `_total`, `_bucket` and the like, which belong to a format.
        kind: what sort of numbers they are.
        doc: what is counted, in words.
        series: each with labels of its own.
        unit: such as `seconds`; then the name ends in it.
    """

    name: str
    kind: Kind
    doc: str
    series: tuple[Series, ...]
    unit: str = ""


def as_float(value: float) -> float:
    """Return a number as a float; infinity for an integer that is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def joined(parts: Sequence[Family]) -> Family:
    """Return one family of the parts of one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return replace(first, series=tuple(each for part in parts for each in part.series))


def split(families: Iterable[Family], most: int = 200) -> Iterator[Family]:
    """Give families in parts of at most so many series."""
    for family in families:
        for at in range(0, max(len(family.series), 1), most):
            yield replace(family, series=family.series[at : at + most])
