"""The metrics that an application declared: each once, with what it may have."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from mobius_infra.core import Clock, ConfigurationError, require
from mobius_infra.metrics._family import Family, Kind, Labels, Series
from mobius_infra.metrics._instruments import (
    Counter,
    Gauge,
    Histogram,
    Info,
    Instrument,
    Summary,
    bucket_bounds,
    quantiles_of,
)
from mobius_infra.metrics._labelled import Declaration, Failed, Labelled, Overflowed
from mobius_infra.metrics._names import ADDED, clean, label_names, metric_name

C = TypeVar("C", bound=Instrument)

BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Seconds: from what a cache answers in to what a user no longer waits for."""

QUANTILES = (0.5, 0.9, 0.99)

FUNCTIONS = 100_000
"""Series that a metric of decorated functions may have."""

OWN = {
    "mobius_events": "Events, by source and kind",
    "mobius_scrape_failures": "Times that a source could not be read, by source",
    "mobius_series_overflows": "Times that a label set had no room, by metric",
    "mobius_observations_refused": "Observations that could not be taken, by metric",
}
"""Counters that a collector itself has, and what they count."""


class Declared:
    """Metrics by name.

    Args:
        extra: labels that every series has.
        limit: series of a metric that says no limit of its own.
        utf8: allow any text as a name.
        clock: tells when a series began.
        reserve: keeps a metric's names, or raises.
        on_overflow: called when a metric has no room for a label set for the first time.
    """

    __slots__ = ("_clock", "_extra", "_limit", "_metrics", "_on_overflow", "_reserve", "_utf8")

    def __init__(
        self,
        extra: Labels,
        limit: int,
        *,
        utf8: bool,
        clock: Clock,
        reserve: Callable[[str, Kind], None],
        on_overflow: Overflowed,
    ) -> None:
        self._extra = extra
        self._limit = require_limit("max_series", limit)
        self._utf8 = utf8
        self._clock = clock
        self._reserve = reserve
        self._on_overflow = on_overflow
        # Any: of the kind that it was declared with.
        self._metrics: dict[str, Labelled[Any]] = {}

    def declare(
        self,
        kind: Kind,
        name: str,
        doc: str,
        *,
        labels: Sequence[str] = (),
        unit: str = "",
        max_series: int | None = None,
        buckets: Sequence[float] | None = None,
        quantiles: Sequence[float] | None = None,
        read: Callable[[], float] | None = None,
    ) -> Any:  # Any: an instrument, or `Labelled` of it where there are labels
        """Add a metric; the arguments are those of `MetricsCollector`'s methods.

        Raises:
            ConfigurationError: naming the metric, and what is wrong with it.
        """
        called = metric_name(name, kind, unit, utf8=self._utf8)
        require(bool(doc), f"the doc of {name}", doc, "some words")
        if isinstance(labels, str):
            raise ConfigurationError(f"the labels of {name}", labels, f"a list: [{labels!r}]")
        taken = tuple(each for each, _ in self._extra)
        names = label_names(name, kind, tuple(labels), taken, utf8=self._utf8)
        require(kind != "info" or not names, f"the labels of {name}", names, "none: `set` has them")
        self._refuse_foreign(kind, name, {"buckets": buckets, "quantiles": quantiles, "read": read})
        make, size = self._maker(kind, called, buckets, quantiles)
        limit = self._limit
        if max_series is not None:
            limit = require_limit(f"the max_series of {name}", max_series)
        self._reserve(called, kind)
        made = self._add(
            Declaration(called, kind, clean(doc), unit, names, self._extra, size, limit), make
        )
        if names:
            require(read is None, f"the read of {name}", read, "left out where there are labels")
            return made
        if read is not None:
            made.labels().follow(read)
        return made.labels()

    def shared(
        self,
        kind: Kind,
        name: str,
        doc: str,
        labels: tuple[str, ...],
        buckets: Sequence[float] | None = None,
    ) -> Any:  # Any: `Labelled` of what the kind says
        """Return the metric of several decorated functions, declaring it for the first.

        Raises:
            ConfigurationError: if the name stands for something else.
        """
        known = self.get(name)
        if known is None:
            # Functions are what the program has, not what its users send: they all have room.
            room = FUNCTIONS if labels[2:] == () else None
            unit = "seconds" if kind == "histogram" else ""
            return self.declare(
                kind, name, doc, labels=labels, unit=unit, max_series=room, buckets=buckets
            )
        same = (known.declaration.kind, known.declaration.labels) == (kind, labels)
        require(same, "name", name, f"that of a {kind} labelled {', '.join(labels)}, or unused")
        require(buckets is None, "buckets", buckets, f"left out: {name} has its own already")
        return known

    def own(self, name: str, labels: tuple[str, ...]) -> Labelled[Counter]:
        """Add a counter of the library's own."""
        self._reserve(name, "counter")
        doc = OWN[name]
        declaration = Declaration(name, "counter", doc, "", labels, self._extra, 1, self._limit)
        return self._add(declaration, self._maker("counter", name, None, None)[0])

    def _add(self, declaration: Declaration, make: Callable[[Labels], C]) -> Labelled[C]:
        metric = self._metrics[declaration.name] = Labelled(declaration, make, self._on_overflow)
        return metric

    @staticmethod
    def _refuse_foreign(kind: Kind, name: str, given: dict[str, object]) -> None:
        """Refuse what belongs to another kind."""
        of = {"buckets": "histogram", "quantiles": "summary", "read": "gauge"}
        for field, value in given.items():
            good = value is None or kind == of[field]
            require(good, f"the {field} of {name}", value, f"left out but for a {of[field]}")

    def _maker(
        self,
        kind: Kind,
        name: str,
        buckets: Sequence[float] | None,
        quantiles: Sequence[float] | None,
    ) -> tuple[Callable[[Labels], Any], int]:
        """Return what makes a series, and how many it is in Prometheus."""
        now = self._clock.time
        if kind == "histogram":
            bounds = bucket_bounds(name, BUCKETS if buckets is None else tuple(buckets))
            return lambda labels: Histogram(name, labels, bounds, now), len(bounds) + 2
        if kind == "summary":
            asked = quantiles_of(name, QUANTILES if quantiles is None else tuple(quantiles))
            return lambda labels: Summary(name, labels, asked, now()), len(asked) + 2
        plain = {"counter": Counter, "gauge": Gauge, "info": Info}[kind]
        return lambda labels: plain(name, labels, now()), 1

    def get(self, name: str) -> "Labelled[Any] | None":
        """Return a metric by the name that it was declared or is exported by."""
        for kind, suffix in ADDED.items():
            base = self._metrics.get(name.removesuffix(suffix))
            if base is not None and base.declaration.kind == kind:
                return base
        return self._metrics.get(name)

    def __iter__(self) -> "Iterator[Labelled[Any]]":
        return iter(list(self._metrics.values()))

    def __len__(self) -> int:
        return len(self._metrics)

    def families(self, failed: Failed) -> Iterator[Family]:
        """Give all series, some at a time."""
        for metric in self:
            yield from metric.families(failed)

    def about(self) -> Iterator[Family]:
        """Give what is to be known of the metrics themselves."""
        overflowed = {metric.name: metric.overflowed for metric in self}
        yield self._about("mobius_series_overflows", overflowed)
        refused = {metric.name: metric.refused for metric in self}
        yield self._about("mobius_observations_refused", refused)

    def _about(self, name: str, numbers: dict[str, int]) -> Family:
        found = [(at, number) for at, number in numbers.items() if number]
        series = tuple(Series((("metric", at), *self._extra), number) for at, number in found)
        return Family(name, "counter", OWN[name], series)


def require_limit(field: str, limit: int) -> int:
    """Return a number of series, if it is one.

    Raises:
        ConfigurationError: naming `field`.
    """
    good = type(limit) is int and 0 < limit <= 10_000_000
    require(good, field, limit, "a number of series, from 1 to 10,000,000")
    return limit
