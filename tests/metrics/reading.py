"""What a scrape gave, read by prometheus-client's own parser: the strictest there is."""

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from mobius_infra.metrics import MetricsCollector

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
UTF8 = "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8"

Found = dict[tuple[str, ...], float]


def families(body: bytes, kind: str) -> list[Metric]:
    parse = open_metrics if "openmetrics" in kind else prometheus
    return list(parse(body.decode()))


def samples_of(body: bytes, kind: str) -> Found:
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in families(body, kind)
        for sample in family.samples
    }


def read(collector: MetricsCollector, accept: str | None = None) -> Found:
    """Return the values of a scrape by name and labels."""
    kind, body = collector.render(accept)
    return samples_of(body, kind)
