"""The one module that imports prometheus-client: its registry, its formats, its writers."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as PrometheusExemplar
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics._family import Buckets, Exemplar, Family, Kind, Quantiles, as_float
from mobius_infra.metrics._names import clean, series_names

__all__ = ["CollectorRegistry", "Encoded", "Metric", "Registry", "encode"]

_CONTENT_TYPE = re.compile(r"[a-z/-]+; version=[0-9.]+; charset=utf-8(; escaping=[a-z0-9-]+)?")

Failed = Callable[[str, Exception], None]
Encoded = Iterator[bytes]
Value = float | Buckets | Quantiles
Writer = Callable[[list[Sample], str, dict[str, str], Value], None]


class _Reserved(Collector):
    """Keeps a declared metric's names, so that a second one by any of them is refused."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)

    def collect(self) -> Iterable[Metric]:
        return []

    def describe(self) -> Iterable[Metric]:
        return [Metric(name, "", "unknown") for name in self._names]


class Registry(CollectorRegistry):
    """Prometheus's registry, in which a collector that raises does not end the scrape.

    Args:
        collect: gives the families of the collector that owns it.
        failed: called with what a foreign collector is, and its error.
    """

    def __init__(self, collect: Callable[[], Iterable[Family]], failed: Failed) -> None:
        super().__init__()
        self._families = collect
        self._failed = failed
        self._foreign: tuple[Collector, ...] = ()

    def reserve(self, name: str, kind: Kind) -> None:
        """Keep the names of a metric.

        Raises:
            ConfigurationError: if one of them is taken.
        """
        try:
            super().register(_Reserved(series_names(name, kind)))
        except ValueError as error:
            allowed = f"unlike every other in each format ({error})"
            raise ConfigurationError("the name of a metric", name, allowed) from error

    def register(self, collector: Collector) -> None:
        """Add a collector of the application's own."""
        super().register(collector)
        self._foreign = (*self._foreign, collector)

    def unregister(self, collector: Collector) -> None:
        """Take a collector out again."""
        super().unregister(collector)
        self._foreign = tuple(each for each in self._foreign if each is not collector)

    def collect(self) -> Iterator[Metric]:
        """Give everything there is, for a reader of prometheus-client's own."""
        yield from map(to_metric, self._families())
        yield from self.foreign()

    def foreign(self) -> Iterator[Metric]:
        """Give what the application's own collectors have; what is broken is left out."""
        for collector in self._foreign:
            try:
                found = list(collector.collect())
            except Exception as error:  # noqa: BLE001 - it is counted
                self._failed(type(collector).__qualname__, error)
                continue
            for metric in found:
                try:
                    yield _scrubbed(metric)
                except Exception as error:  # noqa: BLE001 - it is counted
                    self._failed(metric.name, error)


def _scrubbed(metric: Metric) -> Metric:
    """Return a foreign metric with labels and help that can be written.

    Raises:
        ValueError: if it counts NaN, for which a reader would refuse all that it is told.
    """
    copy = Metric(metric.name, clean(metric.documentation), metric.type, metric.unit)
    for sample in metric.samples:
        suffix = sample.name.removeprefix(metric.name)
        counts = metric.type != "gauge" and suffix in ("_total", "_bucket", "_count", "_sum")
        if counts and math.isnan(sample.value):
            raise ValueError(f"{sample.name} is NaN")
        labels = {name: clean(text) for name, text in sample.labels.items()}
        copy.samples.append(sample._replace(labels=labels))
    return copy


def to_metric(family: Family) -> Metric:
    """Return a family as prometheus-client has it.

    `_created` is left out: it would double the series, and Prometheus reads it from OpenMetrics
    only when told to.
    """
    metric = Metric(family.name, family.doc, family.kind, family.unit)
    write = _WRITERS[family.kind]
    for series in family.series:
        write(metric.samples, family.name, dict(series.labels), series.value)
    return metric


# A value is of the kind that its family says; the assertions are for the type checker.
def _plain(suffix: str) -> Writer:
    def write(samples: list[Sample], name: str, labels: dict[str, str], value: Value) -> None:
        assert isinstance(value, int | float)  # noqa: S101
        samples.append(Sample(name + suffix, labels, as_float(value)))

    return write


def _histogram(samples: list[Sample], name: str, labels: dict[str, str], value: Value) -> None:
    assert isinstance(value, Buckets)  # noqa: S101
    exemplars = value.exemplars or (None,) * len(value.bounds)
    below = list(accumulate(value.counts))
    for bound, count, exemplar in zip(value.bounds, below, exemplars, strict=True):
        at = {**labels, "le": _text(bound)}
        samples.append(Sample(f"{name}_bucket", at, count, None, _exemplar(exemplar)))
    # With negative observations the sum is no counter, and OpenMetrics has neither of the two.
    if value.bounds[0] >= 0:
        samples.append(Sample(f"{name}_count", labels, below[-1]))
        samples.append(Sample(f"{name}_sum", labels, as_float(value.total)))


def _text(number: float) -> str:
    text: str = floatToGoString(number)  # type: ignore[no-untyped-call]
    return text


def _exemplar(exemplar: Exemplar | None) -> PrometheusExemplar | None:
    if exemplar is None:
        return None
    return PrometheusExemplar(dict(exemplar.labels), exemplar.value, exemplar.at)


def _summary(samples: list[Sample], name: str, labels: dict[str, str], value: Value) -> None:
    assert isinstance(value, Quantiles)  # noqa: S101
    for quantile, at in value.values:
        samples.append(Sample(name, {**labels, "quantile": _text(quantile)}, at))
    samples.append(Sample(f"{name}_count", labels, value.count))
    samples.append(Sample(f"{name}_sum", labels, as_float(value.total)))


_WRITERS: dict[Kind, Writer] = {
    "counter": _plain("_total"),
    "gauge": _plain(""),
    "histogram": _histogram,
    "summary": _summary,
    "info": _plain("_info"),
}


class _One:
    """A registry of one metric, for prometheus-client's writers."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return [self._metric]


def encode(
    pieces: Iterable[Family | Metric | None], accept: str | None, failed: Failed
) -> tuple[str, Encoded]:
    """Write families in the format that the `Accept` header asks for, one piece after the other.

    Args:
        pieces: families; one that has the name of the last goes on with it. None is an empty piece.
        accept: the header.
        failed: called with the name and the error of what can't be written, and is left out.

    Returns:
        The content type, and the parts of the body.
    """
    write, content_type = _negotiate(accept or "")
    end = b"# EOF\n" if "openmetrics" in content_type else b""
    return content_type, _encoded(pieces, write, failed, end)


def _negotiate(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        write, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        return choose_encoder("")
    # The version comes from the header: what is said back is only what can stand there.
    return (write, content_type) if _CONTENT_TYPE.fullmatch(content_type) else choose_encoder("")


def _encoded(
    pieces: Iterable[Family | Metric | None],
    write: Callable[[Collector], bytes],
    failed: Failed,
    end: bytes,
) -> Encoded:
    last = ""
    for piece in pieces:
        if piece is None:
            yield b""
            continue
        try:
            metric = to_metric(piece) if isinstance(piece, Family) else piece
            text = write(_One(metric)).removesuffix(end)
        except Exception as error:  # noqa: BLE001 - it is counted
            # What is ours was checked when it was declared or read; a foreign metric was not.
            failed(piece.name, error)
            continue
        yield _without_head(text) if piece.name == last else text
        last = piece.name
    yield end


def _without_head(text: bytes) -> bytes:
    """Return a piece without the lines that say what the family is: they were written."""
    while text.startswith(b"# "):
        _, _, text = text.partition(b"\n")
    return text
