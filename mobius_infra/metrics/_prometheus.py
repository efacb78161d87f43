"""The one module that imports prometheus-client."""

import logging
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from mobius_infra.metrics._family import Buckets, Family, Quantiles, Series
from mobius_infra.metrics._family import Exemplar as Example

__all__ = ["CollectorRegistry", "Registry", "encode", "negotiate", "to_metric"]

log = logging.getLogger("mobius_infra")

Encoder = Callable[[Collector], bytes]


class Registry(CollectorRegistry):
    """A registry in which one collector that raises does not end the scrape.

    Args:
        failed: is told what raised.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        super().__init__()
        self._failed = failed

    def collect(self) -> Iterator[Metric]:
        """Yield what each collector gives, leaving out those that fail."""
        with self._lock:
            collectors = list(self._collector_to_names)
        for collector in collectors:
            try:
                found = list(collector.collect())
            except Exception:
                log.exception("collector %r failed", collector)
                self._failed(type(collector).__name__)
                continue
            yield from found


class _Given(Collector):
    """Metrics that have been collected already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._metrics


def negotiate(accept: str | None) -> tuple[Encoder, str]:
    """Return what writes the format that an `Accept` header asks for, and its content type."""
    return choose_encoder(accept or "")


def encode(encoder: Encoder, families: Iterable[Family], foreign: Iterable[Metric]) -> bytes:
    """Write all of it."""
    return encoder(_Given([*map(to_metric, families), *foreign]))


def to_metric(family: Family) -> Metric:
    """Return a family as prometheus-client's own."""
    metric = Metric(family.name, family.doc, family.kind, family.unit)
    write = _WRITERS.get(family.kind, _plain)
    for series in family.series:
        metric.samples += write(family, series)
    return metric


def _plain(family: Family, series: Series) -> Iterator[Sample]:
    suffix = _SUFFIX.get(family.kind, "")
    assert isinstance(series.value, int | float)  # noqa: S101 - of these kinds it is
    yield Sample(family.name + suffix, dict(series.labels), _to_float(series.value))


def _histogram(family: Family, series: Series) -> Iterator[Sample]:
    name, labels, value = family.name, dict(series.labels), series.value
    assert isinstance(value, Buckets)  # noqa: S101 - of this kind it is
    below = 0
    exemplars = value.exemplars or (None,) * len(value.bounds)
    for bound, count, exemplar in zip(value.bounds, value.counts, exemplars, strict=True):
        below += count
        at = {**labels, "le": floatToGoString(bound)}
        yield Sample(f"{name}_bucket", at, below, None, _exemplar(exemplar))
    yield Sample(f"{name}_count", labels, below)
    yield Sample(f"{name}_sum", labels, value.total)


def _summary(family: Family, series: Series) -> Iterator[Sample]:
    name, labels, value = family.name, dict(series.labels), series.value
    assert isinstance(value, Quantiles)  # noqa: S101 - of this kind it is
    for quantile, each in value.values:
        yield Sample(name, {**labels, "quantile": floatToGoString(quantile)}, each)
    yield Sample(f"{name}_count", labels, value.count)
    yield Sample(f"{name}_sum", labels, value.total)


_WRITERS = {"histogram": _histogram, "summary": _summary}
_SUFFIX = {"counter": "_total", "info": "_info"}


def _exemplar(found: Example | None) -> Exemplar | None:
    return None if found is None else Exemplar(dict(found.labels), found.value, found.at)


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer past all floats
        return float("inf") if value > 0 else float("-inf")
