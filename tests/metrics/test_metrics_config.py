"""Metrics that a file declares."""

import json
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import Counter, Labelled, MetricsCollector, MetricsConfig
from tests.metrics.reading import read

GOOD: dict[str, Any] = {
    "name": "bot",
    "max_series": 50,
    "metrics": [
        {"name": "orders", "kind": "counter", "doc": "Orders placed", "labels": ["kind"]},
        {"name": "wait", "kind": "histogram", "doc": "Wait", "unit": "seconds", "buckets": [1, 5]},
        {"name": "size", "kind": "summary", "doc": "Size", "quantiles": [0.5], "max_series": 9},
        {"name": "depth", "kind": "gauge", "doc": "Depth"},
        {"name": "build", "kind": "info", "doc": "What runs"},
    ],
}


def test_what_a_file_declares_is_found_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "metrics_config.json"
    path.write_text(json.dumps(GOOD))
    metrics = MetricsCollector.from_config(MetricsConfig.read(path))
    orders: Labelled[Counter] = metrics["orders"]
    orders.labels("book").inc()
    metrics["wait_seconds"].observe(2)
    metrics["size"].observe(2)
    metrics["depth"].set(4)
    metrics["build"].set(version="1")
    found = read(metrics)
    assert found["orders_total", "kind=book", "service=bot"] == 1
    assert found["wait_seconds_bucket", "le=5.0", "service=bot"] == 1
    assert found["size", "quantile=0.5", "service=bot"] == pytest.approx(2, rel=0.01)
    assert found["depth", "service=bot"] == 4
    assert found["build_info", "service=bot", "version=1"] == 1
    assert metrics["orders_total"] is orders
    assert metrics["build_info"] is metrics["build"]
    for name in ("nothing", "depth_total", "orders_info", ""):
        with pytest.raises(KeyError):
            metrics[name]


@pytest.mark.parametrize(
    ("change", "entry", "allowed"),
    [
        ({"max_series": 0}, "max_series", "greater than or equal to 1"),
        ({"colour": "red"}, "colour", "not permitted"),
        ({"metrics": [{"kind": "counter", "doc": "d"}]}, "metrics.0.name", "required"),
        (
            {"metrics": [{"name": "a", "kind": "meter", "doc": "d"}]},
            "metrics.0.kind",
            "'counter', 'gauge', 'histogram', 'summary' or 'info'",
        ),
        (
            {"metrics": [{"name": "a", "kind": "gauge", "doc": "d", "labels": "kind"}]},
            "metrics.0.labels",
            "tuple",
        ),
        (
            {"metrics": [{"name": "a", "kind": "gauge", "doc": "d", "help": "h"}]},
            "metrics.0.help",
            "not permitted",
        ),
        ({"metrics": [{"name": "a b", "kind": "gauge", "doc": "d"}]}, "a b", "letters, digits"),
        (
            {"metrics": [{"name": "a", "kind": "gauge", "doc": "d", "buckets": [1]}]},
            "the buckets of a",
            "left out but for a histogram",
        ),
        (
            {"metrics": [{"name": "a", "kind": "histogram", "doc": "d", "buckets": [2, 1]}]},
            "the buckets of a",
            "in ascending order",
        ),
        ({"metrics": [GOOD["metrics"][0]] * 2}, "orders", "unlike every other"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named_with_what_is_allowed(
    change: dict[str, object], entry: str, allowed: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MetricsCollector.from_config(MetricsConfig.load({**GOOD, **change}))
    assert entry in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff", b"[]", b'"text"', None])
def test_a_file_that_is_no_json_object_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "metrics_config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"metrics_config\.json"):
        MetricsConfig.read(path)
