"""The one module that imports OpenTelemetry: families as its SDK's own data.

Names and kinds are those of OpenTelemetry's specification, "Prometheus and OpenMetrics
Compatibility", as far as the SDK has them. Everything is cumulative.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mobius_infra.metrics._family import (
    Buckets,
    Exemplar,
    Family,
    Kind,
    Quantiles,
    Series,
    as_float,
)

__all__ = ["MetricExporter", "Resource", "Send", "to_sdk"]

Data: TypeAlias = tuple[str, Sum | Gauge | Histogram]

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_UNITS = {"seconds": "s", "bytes": "By", "ratio": "1"}
"""UCUM's, for the units that Prometheus recommends."""

_TRACE, _SPAN = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")


class Send:
    """Gives families to an exporter of OpenTelemetry's. It blocks.

    Args:
        exporter: the SDK's.
        resource: what the numbers are of; the SDK's default if None, which the environment
            (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) describes.
        since: when what has no time of its own began to be counted, in seconds since the epoch.
    """

    __slots__ = ("_exporter", "_resource", "_since")

    def __init__(self, exporter: MetricExporter, resource: Resource | None, since: float) -> None:
        self._exporter = exporter
        self._resource = resource or Resource.create()
        self._since = since

    def __call__(self, families: Iterable[Family], at: float) -> None:
        """Export families that were read at `at`.

        Raises:
            ConnectionError: if the exporter says that it failed.
        """
        data = to_sdk(families, self._resource, self._since, at)
        if self._exporter.export(data) is not MetricExportResult.SUCCESS:
            raise ConnectionError(f"{type(self._exporter).__name__} could not export")

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()


def to_sdk(families: Iterable[Family], resource: Resource, since: float, at: float) -> MetricsData:
    """Return families as what the SDK gives to exporters."""
    metrics = [
        Metric(name, family.doc, _UNITS.get(family.unit, family.unit), data)
        for family in families
        for name, data in _WRITERS[family.kind](family, _nano(since), _nano(at))
    ]
    scope = ScopeMetrics(InstrumentationScope("mobius_infra"), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _counter(family: Family, since: int, at: int) -> Iterator[Data]:
    points = [_point(each, each.value, since, at) for each in family.series]
    yield family.name, Sum(points, _CUMULATIVE, is_monotonic=True)


def _gauge(family: Family, since: int, at: int) -> Iterator[Data]:
    yield family.name, Gauge([_point(each, each.value, since, at) for each in family.series])


def _info(family: Family, since: int, at: int) -> Iterator[Data]:
    points = [_point(each, each.value, since, at) for each in family.series]
    yield f"{family.name}_info", Sum(points, _CUMULATIVE, is_monotonic=False)


def _histogram(family: Family, since: int, at: int) -> Iterator[Data]:
    points = [_buckets(each, since, at) for each in family.series]
    yield family.name, Histogram(points, _CUMULATIVE)


def _summary(family: Family, since: int, at: int) -> Iterator[Data]:
    """Give quantiles as gauges, count and sum as sums: the SDK has no summaries."""
    quantiles, counts, sums = [], [], []
    for each in family.series:
        value = each.value
        assert isinstance(value, Quantiles)  # noqa: S101 - of this kind it is
        quantiles += [
            _point(each, found, since, at, quantile=f"{q:g}") for q, found in value.values
        ]
        counts.append(_point(each, value.count, since, at))
        sums.append(_point(each, value.total, since, at))
    yield family.name, Gauge(quantiles)
    yield f"{family.name}_count", Sum(counts, _CUMULATIVE, is_monotonic=True)
    # Of what may be negative: then it may fall.
    yield f"{family.name}_sum", Sum(sums, _CUMULATIVE, is_monotonic=False)


_WRITERS: dict[Kind, Callable[[Family, int, int], Iterator[Data]]] = {
    "counter": _counter,
    "gauge": _gauge,
    "info": _info,
    "histogram": _histogram,
    "summary": _summary,
}


def _point(series: Series, value: object, since: int, at: int, **more: str) -> NumberDataPoint:
    assert isinstance(value, int | float)  # noqa: S101 - of these kinds it is
    fits = isinstance(value, float) or -(2**63) <= value < 2**63  # else the wire can't bear it
    return NumberDataPoint(
        attributes=dict(series.labels) | more,
        start_time_unix_nano=_began(series, since),
        time_unix_nano=at,
        value=value if fits else as_float(value),
    )


def _buckets(series: Series, since: int, at: int) -> HistogramDataPoint:
    value = series.value
    assert isinstance(value, Buckets)  # noqa: S101 - of this kind it is
    return HistogramDataPoint(
        attributes=dict(series.labels),
        start_time_unix_nano=_began(series, since),
        time_unix_nano=at,
        count=sum(value.counts),
        sum=as_float(value.total),
        bucket_counts=value.counts,
        explicit_bounds=value.bounds[:-1],
        # Optional on the wire, if not by the SDK's types: nobody knows them of buckets.
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
        exemplars=[_exemplar(each) for each in value.exemplars if each is not None],
    )


def _exemplar(exemplar: Exemplar) -> SdkExemplar:
    labels = dict(exemplar.labels)
    trace, span = labels.get("trace_id", ""), labels.get("span_id", "")
    value, at = as_float(exemplar.value), _nano(exemplar.at)
    if not (_TRACE.fullmatch(trace) and _SPAN.fullmatch(span)):
        return SdkExemplar(labels, value, at)
    del labels["trace_id"], labels["span_id"]
    return SdkExemplar(labels, value, at, int(span, 16), int(trace, 16))


def _began(series: Series, since: int) -> int:
    return since if series.created is None else _nano(series.created)


def _nano(seconds: float) -> int:
    return int(seconds * 1e9)
