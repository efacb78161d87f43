"""The one module that imports prometheus-client."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

__all__ = [
    "CollectorRegistry",
    "CounterMetricFamily",
    "GaugeMetricFamily",
    "Metric",
    "encode",
    "register",
]


class _Pulled(Collector):
    """Asks for the samples when somebody looks."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        """Say nothing beforehand: what there is depends on what is watched."""
        return []


def register(registry: CollectorRegistry, collect: Callable[[], Iterable[Metric]]) -> None:
    """Call `collect` at each scrape of `registry`."""
    registry.register(_Pulled(collect))


def encode(registry: CollectorRegistry, accept: str | None) -> tuple[str, bytes]:
    """Write all samples in the format that the `Accept` header asks for.

    Returns:
        The content type, and the body.
    """
    encoder, content_type = choose_encoder(accept or "")
    return content_type, encoder(registry)
