"""What may be declared, and what may not."""

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import MetricsCollector
from mobius_infra.metrics._names import (
    LONGEST,
    label_names,
    label_value,
    legal,
    metric_name,
    series_names,
)
from tests.metrics.reading import OPEN_METRICS, UTF8, read


@pytest.fixture
def metrics() -> MetricsCollector:
    return MetricsCollector()


@pytest.mark.parametrize(
    "name", ["", "1st", "a-b", "a b", "größe", "a.b", "a\n", 'a"', "mobius_orders", None, 7]
)
def test_a_name_that_prometheus_would_refuse_is_refused(
    metrics: MetricsCollector, name: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        metrics.gauge(name, "doc")
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("label", ["", "1st", "a-b", "__name__", "größe", "a\n", "a:b", None])
def test_a_label_name_that_prometheus_would_refuse_is_refused(
    metrics: MetricsCollector, label: str
) -> None:
    with pytest.raises(ConfigurationError, match="a label of orders"):
        metrics.counter("orders", "doc", labels=["kind", label])


def test_labels_are_a_list_of_different_names_none_of_them_taken() -> None:
    metrics = MetricsCollector("bot")
    with pytest.raises(ConfigurationError, match=r"it must be a list: \['kind'\]"):
        metrics.counter("orders", "doc", labels="kind")
    for labels in (["a", "a"], ["service"]):
        with pytest.raises(ConfigurationError, match="a label of orders"):
            metrics.counter("orders", "doc", labels=labels)
    with pytest.raises(ConfigurationError, match="'le'"):
        metrics.histogram("h", "doc", labels=["le"])
    with pytest.raises(ConfigurationError, match="'quantile'"):
        metrics.summary("s", "doc", labels=["quantile"])
    metrics.gauge("free", "doc", labels=["le", "quantile"])


CLASHES = [
    ("counter", "x", "counter", "x"),
    ("counter", "x", "counter", "x_total"),
    ("counter", "x", "gauge", "x"),
    ("counter", "x", "gauge", "x_total"),
    ("counter", "x", "gauge", "x_created"),
    ("histogram", "x", "gauge", "x_bucket"),
    ("histogram", "x", "counter", "x_sum"),
    ("histogram", "x", "gauge", "x_count"),
    ("histogram", "x", "summary", "x"),
    ("summary", "x", "gauge", "x_count"),
    ("summary", "x", "gauge", "x_sum"),
    ("info", "x", "gauge", "x_info"),
    ("info", "x", "info", "x_info"),
]


@pytest.mark.parametrize("pair", CLASHES, ids="-".join)
@pytest.mark.parametrize("turned", [False, True])
def test_two_metrics_that_clash_in_any_format_are_refused(
    metrics: MetricsCollector, pair: tuple[str, str, str, str], turned: bool
) -> None:
    kind, name, other_kind, other = pair
    first, second = ((kind, name), (other_kind, other))[:: -1 if turned else 1]
    getattr(metrics, first[0])(first[1], "doc")
    with pytest.raises(ConfigurationError, match="the name of a metric"):
        getattr(metrics, second[0])(second[1], "doc")
    assert len(metrics._declared) == 1


def test_a_foreign_metric_that_clashes_is_refused_too(metrics: MetricsCollector) -> None:
    metrics.counter("x", "doc")
    with pytest.raises(ValueError, match="x_total"):
        prometheus_client.Gauge("x_total", "doc", registry=metrics.registry)
    prometheus_client.Histogram("y", "doc", registry=metrics.registry)
    with pytest.raises(ConfigurationError, match="y_count"):
        metrics.gauge("y_count", "doc")


def test_a_unit_ends_the_name(metrics: MetricsCollector) -> None:
    metrics.gauge("size", "doc", unit="bytes").set(1)
    metrics.counter("sent_bytes", "doc", unit="bytes").inc()
    found = read(metrics, OPEN_METRICS)
    assert found["size_bytes",] == found["sent_bytes_total",] == 1
    with pytest.raises(ConfigurationError, match="the unit of other"):
        metrics.gauge("other", "doc", unit="m/s")


def test_what_belongs_to_another_kind_is_refused(metrics: MetricsCollector) -> None:
    declare = metrics._declared.declare
    with pytest.raises(ConfigurationError, match="left out but for a histogram"):
        declare("counter", "x", "doc", buckets=[1])
    with pytest.raises(ConfigurationError, match="left out but for a summary"):
        declare("gauge", "x", "doc", quantiles=[0.5])
    with pytest.raises(ConfigurationError, match="left out but for a gauge"):
        declare("counter", "x", "doc", read=lambda: 1)
    with pytest.raises(ConfigurationError, match="left out where there are labels"):
        declare("gauge", "y", "doc", labels=["a"], read=lambda: 1)
    with pytest.raises(ConfigurationError, match="the doc of x"):
        declare("gauge", "x", "")


@pytest.mark.parametrize("bounds", [[], [2, 1], [1, 1], [float("nan")], ["a"], [True], [-1e300]])
def test_buckets_ascend(metrics: MetricsCollector, bounds: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="the buckets of h"):
        metrics.histogram("h", "doc", buckets=bounds)


@pytest.mark.parametrize("quantiles", [[1.1], [-0.1], [float("nan")], [0.5, 0.5], ["a"]])
def test_quantiles_are_from_0_to_1(metrics: MetricsCollector, quantiles: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="the quantiles of s"):
        metrics.summary("s", "doc", quantiles=quantiles)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, float("nan"), 10**9])
def test_max_series_is_a_positive_number(metrics: MetricsCollector, limit: int) -> None:
    with pytest.raises(ConfigurationError, match="max_series"):
        metrics.counter("x", "doc", labels=["a"], max_series=limit)
    with pytest.raises(ConfigurationError, match="max_series"):
        MetricsCollector(max_series=limit)


def test_names_may_be_any_text_where_that_is_switched_on() -> None:
    metrics = MetricsCollector(utf8_names=True)
    metrics.counter("größe.kg", "doc", labels=["größe"]).labels("ü").inc()
    assert read(metrics, UTF8)["größe.kg_total", "größe=ü"] == 1
    # Who does not ask for that gets what every reader knows.
    assert read(metrics, OPEN_METRICS)["gr__e_kg_total", "gr__e=ü"] == 1
    assert read(metrics)["gr__e_kg_total", "gr__e=ü"] == 1
    with pytest.raises(ConfigurationError, match="gr__e_kg"):
        metrics.gauge("größe kg", "one with it, once both have underscores")
    for name in ("a\nb", "a\0", "\ud800", ""):
        with pytest.raises(ConfigurationError):
            metrics.gauge(name, "doc")


def test_utf8_labels_that_become_one_with_underscores_are_refused() -> None:
    metrics = MetricsCollector("bot", utf8_names=True)
    for labels in (["a.b", "a_b"], [".."], ["7.x"]):
        with pytest.raises(ConfigurationError, match="a label of x"):
            metrics.gauge("x", "doc", labels=labels)


@given(st.text(st.characters()))
def test_a_labels_value_can_be_written_whatever_it_is(text: str) -> None:
    value = label_value(text)
    assert len(value) <= LONGEST
    assert value.encode().decode() == value
    assert not {"\0", "\r"} & set(value)
    assert label_value(value) == value


@given(st.text())
def test_any_text_can_be_made_part_of_a_name(text: str) -> None:
    assert metric_name(legal(text), "gauge") == legal(text)
    assert len(label_names("x", "gauge", (f"a{legal(text)}",), ())) == 1


def test_series_names_are_those_of_all_formats() -> None:
    assert series_names("x", "counter") == {"x", "x_total", "x_created"}
    assert series_names("x", "info") == {"x", "x_info"}
    assert series_names("1:x.y", "gauge") == {"1:x.y", "_:x_y"}
    assert series_names("x", "unknown") == {"x"}
