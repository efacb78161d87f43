"""What the application declares: one metric each, once, with its kind, labels and bounds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf, isfinite
from typing import Any, Literal

from pydantic import Field

from mobius_infra.core import Clock, Config, ConfigurationError, require
from mobius_infra.metrics._family import Buckets, Family, Kind, Labels, Quantiles, Series
from mobius_infra.metrics._instruments import Counter, Gauge, Histogram, Info, Summary
from mobius_infra.metrics._labelled import Labelled
from mobius_infra.metrics._names import require_label_names, require_metric_name
from mobius_infra.metrics._sketch import Sketch

Instrument = Counter | Gauge | Histogram | Summary | Info

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds: those that Prometheus' own libraries use."""

QUANTILES = (0.5, 0.9, 0.99)

_ADDED: Mapping[Kind, tuple[str, ...]] = {
    "counter": ("_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_sum", "_count", "_created"),
    "summary": ("", "_sum", "_count", "_created"),
    "info": ("_info",),
}
"""What a kind's series are called in one format or another."""

_RESERVED: Mapping[Kind, tuple[str, ...]] = {"histogram": ("le",), "summary": ("quantile",)}


class MetricConfig(Config):
    """One metric, as a file declares it; the fields are the arguments of `MetricsCollector`."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary", "info"]
    doc: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] | None = None
    quantiles: tuple[float, ...] | None = None


class MetricsConfig(Config):
    """What `metrics_config.json` holds.

    Attributes:
        name: value of the label `service` on every series; none if empty.
        max_series: series of one metric.
        utf8_names: whether names may be any UTF-8 text, as from Prometheus 3 on.
        metrics: what to declare.
    """

    name: str = ""
    max_series: int = Field(default=1_000, ge=1)
    utf8_names: bool = False
    metrics: tuple[MetricConfig, ...] = ()


class Declared:
    """One metric: its kind, and what its series are made of."""

    __slots__ = ("_read", "config", "metric")

    # Any: an instrument, or `Labelled` of one; the methods of `MetricsCollector` say which.
    metric: Any

    def __init__(
        self,
        config: MetricConfig,
        *,
        clock: Clock,
        most: int,
        utf8: bool,
        warn: Callable[[str], None],
        read: Callable[[], float] | None = None,
    ) -> None:
        self.config = config
        kind, name = config.kind, config.name
        require_metric_name(name, utf8=utf8)
        labels = require_label_names(config.labels, utf8=utf8, reserved=_RESERVED.get(kind, ()))
        unit = config.unit
        require(not unit or name.endswith(f"_{unit}"), "name", name, f"one that ends in _{unit}")
        require(kind != "info" or not labels, "labels", labels, "none: an info's facts are those")
        require(kind == "histogram" or config.buckets is None, "buckets", config.buckets,
                "left out but for a histogram")  # fmt: skip
        require(kind == "summary" or config.quantiles is None, "quantiles", config.quantiles,
                "left out but for a summary")  # fmt: skip
        make, size = self._maker(clock, read)
        if labels:
            most = max(most // size, 1)
            self.metric = Labelled(name, labels, most, make, lambda: warn(name))
        else:
            self.metric = make()

    def _maker(
        self, clock: Clock, read: Callable[[], float] | None
    ) -> tuple[Callable[[], Instrument], int]:
        """Return what makes an instrument, and how many series each is."""
        config = self.config
        name = config.name
        if config.kind == "counter":
            return lambda: Counter(name), 1
        if config.kind == "gauge":
            return lambda: Gauge(name, read), 1
        if config.kind == "info":
            return lambda: Info(name), 1
        if config.kind == "histogram":
            bounds = _bounds(config.buckets if config.buckets is not None else BUCKETS)
            return lambda: Histogram(name, bounds, clock), len(bounds) + 2
        quantiles = config.quantiles if config.quantiles is not None else QUANTILES
        for each in quantiles:
            require(0 <= each <= 1, "quantiles", each, "from 0 to 1")
        return lambda: Summary(name, quantiles, Sketch()), len(quantiles) + 2

    @property
    def exposed(self) -> set[str]:
        """The names of its series, in one format or another."""
        return {self.config.name + suffix for suffix in _ADDED[self.config.kind]}

    def children(self) -> list[tuple[Labels, Instrument]]:
        """Return its instruments with their labels."""
        metric = self.metric
        if isinstance(metric, Labelled):
            return metric.children()
        return [(metric.facts() if isinstance(metric, Info) else (), metric)]

    def family(self, extra: Labels) -> Family:
        """Return what there is to export now."""
        series = tuple(Series(labels + extra, _value(each)) for labels, each in self.children())
        config = self.config
        return Family(config.name, config.kind, config.doc, series, config.unit)

    def refused(self) -> int:
        """Return how many observations were no finite numbers."""
        return sum(
            each.refused for _, each in self.children() if isinstance(each, Histogram | Summary)
        )


def require_no_clash(new: Declared, others: Iterable[Declared]) -> None:
    """Refuse a metric of which a series would have the name of another's.

    Raises:
        ConfigurationError: naming both.
    """
    for other in others:
        if both := new.exposed & other.exposed:
            theirs = f"{other.config.kind} {other.config.name!r}"
            raise ConfigurationError(
                "name", new.config.name, f"no name of another metric: {theirs} has {min(both)!r}"
            )


def _value(instrument: Instrument) -> float | Buckets | Quantiles:
    return 1.0 if isinstance(instrument, Info) else instrument.read()


def _bounds(buckets: Sequence[float]) -> tuple[float, ...]:
    finite = tuple(float(each) for each in buckets if each != inf)
    allowed = "finite numbers, at least one, each greater than the one before"
    fits = bool(finite) and all(map(isfinite, finite)) and all(a < b for a, b in pairwise(finite))
    require(fits, "buckets", buckets, allowed)
    return (*finite, inf)


