"""Numbers of components, as Prometheus reads them."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from mobius_infra.breaker import CircuitBreaker
from mobius_infra.cache import Cache
from mobius_infra.core import Events, Stats
from mobius_infra.metrics import MetricsCollector


def read(collector: MetricsCollector, accept: str | None = None) -> dict[tuple[str, ...], float]:
    kind, body = collector.render(accept)
    parse = open_metrics if "openmetrics" in kind else prometheus
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "accept", [None, "text/plain", "application/openmetrics-text; version=1.0.0"]
)
async def test_a_components_numbers_are_read_when_somebody_looks(accept: str | None) -> None:
    collector, cache = MetricsCollector(), Cache("prices")
    other = Cache("users")
    collector.watch(cache, other)
    await cache.set("k", 1)
    await cache.get("k")
    found = read(collector, accept)
    assert found["mobius_cache_hits_total", "name=prices", "tier=memory"] == 1
    assert found["mobius_cache_hits_total", "name=users", "tier=memory"] == 0
    assert found["mobius_cache_entries", "name=prices"] == 1


def test_the_format_is_negotiated() -> None:
    collector = MetricsCollector()
    assert collector.render(None)[0].startswith("text/plain")
    assert "openmetrics" in collector.render("application/openmetrics-text")[0]


def test_a_state_is_one_sample_for_each_state_seen() -> None:
    collector, breaker = MetricsCollector("bot"), CircuitBreaker("up")
    collector.watch(breaker)
    read(collector)
    breaker.isolate()
    found = read(collector)
    name, at = "mobius_circuit_breaker_state", ("name=up", "service=bot")
    assert found[name, *at, "state=closed"] == 0
    assert found[name, *at, "state=isolated"] == 1


def test_events_are_counted() -> None:
    collector, breaker = MetricsCollector(), CircuitBreaker("up")
    collector.watch(breaker)
    breaker.isolate()
    breaker.reset()
    found = read(collector)
    assert found["mobius_events_total", "event=CircuitIsolated", "source=up"] == 1
    assert found["mobius_events_total", "event=CircuitClosed", "source=up"] == 1


class Broken:
    name = "broken"
    events = Events()

    def stats(self) -> Stats:
        raise RuntimeError("no numbers today")


def test_a_broken_component_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    collector = MetricsCollector()
    broken, cache = Broken(), Cache("prices")
    collector.watch(broken, cache)
    found = read(collector)
    assert found["mobius_cache_entries", "name=prices"] == 0
    assert found["mobius_scrape_failures_total", "source=broken broken"] == 1
    assert "no numbers today" in caplog.text


def test_repr() -> None:
    assert repr(MetricsCollector("bot")) == "MetricsCollector('bot', components=0, metrics=0)"
