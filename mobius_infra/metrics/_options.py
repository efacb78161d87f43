"""The keyword arguments of the methods that declare a metric: of one series, or of many."""

from collections.abc import Callable, Sequence
from typing import Required, TypedDict


class One(TypedDict, total=False):
    """Of a metric that is one series."""

    unit: str


class Many(One, total=False):
    """Of a metric that is a series for each label set."""

    labels: Required[Sequence[str]]
    max_series: int


class OneRead(One, total=False):
    """Of a gauge."""

    read: Callable[[], float]


class OneBuckets(One, total=False):
    """Of a histogram."""

    buckets: Sequence[float]


class ManyBuckets(Many, total=False):
    """Of a histogram with labels."""

    buckets: Sequence[float]


class OneQuantiles(One, total=False):
    """Of a summary."""

    quantiles: Sequence[float]


class ManyQuantiles(Many, total=False):
    """Of a summary with labels."""

    quantiles: Sequence[float]
