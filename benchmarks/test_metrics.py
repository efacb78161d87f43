"""What counting, timing, watching and scraping cost, beside prometheus-client in the same run."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from benchmarks.conftest import CALLS, Measure
from mobius_infra.cache import Cache
from mobius_infra.metrics import MetricsCollector

SERIES = 10_000
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


async def nothing() -> None:
    pass


@pytest.fixture
def metrics() -> MetricsCollector:
    return MetricsCollector(max_series=20 * SERIES)


@pytest.fixture
def peer() -> Iterator[CollectorRegistry]:
    """Give a registry of the peer's, without `_created`, which would double what it writes."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    yield CollectorRegistry()
    prometheus_client.enable_created_metrics()  # type: ignore[no-untyped-call]


def measure_sync(benchmark: Any, call: Callable[[], object]) -> None:
    def many() -> None:
        for _ in range(CALLS):
            call()

    benchmark.extra_info["calls"] = CALLS
    benchmark.pedantic(many, rounds=50, warmup_rounds=3)


@pytest.mark.benchmark(group="one observation, and one timed call")
class TestTimed:
    def test_prometheus_histogram_observe(self, benchmark: Any, peer: CollectorRegistry) -> None:
        seconds = prometheus_client.Histogram("s", "s", ["function"], registry=peer)
        observe = seconds.labels("f").observe
        measure_sync(benchmark, lambda: observe(0.003))

    def test_prometheus_labels_observe(self, benchmark: Any, peer: CollectorRegistry) -> None:
        seconds = prometheus_client.Histogram("s", "s", ["function"], registry=peer)
        measure_sync(benchmark, lambda: seconds.labels("f").observe(0.003))

    def test_mobius_infra_histogram_observe(
        self, benchmark: Any, metrics: MetricsCollector
    ) -> None:
        observe = metrics.histogram("s", "s", labels=["function"]).labels("f").observe
        measure_sync(benchmark, lambda: observe(0.003))

    def test_mobius_infra_labels_observe(self, benchmark: Any, metrics: MetricsCollector) -> None:
        seconds = metrics.histogram("s", "s", labels=["function"])
        measure_sync(benchmark, lambda: seconds.labels("f").observe(0.003))

    def test_mobius_infra_summary_observe(self, benchmark: Any, metrics: MetricsCollector) -> None:
        observe = metrics.summary("s", "s").observe
        measure_sync(benchmark, lambda: observe(0.003))

    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_mobius_infra_timed_call(self, measure: Measure, metrics: MetricsCollector) -> None:
        measure(metrics.timed(nothing))

    def test_mobius_infra_counted_call(self, measure: Measure, metrics: MetricsCollector) -> None:
        measure(metrics.counted(nothing))

    def test_mobius_infra_in_flight_call(self, measure: Measure, metrics: MetricsCollector) -> None:
        measure(metrics.in_flight(nothing))


@pytest.mark.benchmark(group="one count")
class TestCount:
    def test_prometheus_counter_inc(self, benchmark: Any, peer: CollectorRegistry) -> None:
        measure_sync(benchmark, prometheus_client.Counter("c", "c", registry=peer).inc)

    def test_mobius_infra_counter_inc(self, benchmark: Any, metrics: MetricsCollector) -> None:
        measure_sync(benchmark, metrics.counter("c", "c").inc)

    def test_prometheus_labels_inc(self, benchmark: Any, peer: CollectorRegistry) -> None:
        counter = prometheus_client.Counter("c", "c", ["kind"], registry=peer)
        measure_sync(benchmark, lambda: counter.labels("a").inc())

    def test_mobius_infra_labels_inc(self, benchmark: Any, metrics: MetricsCollector) -> None:
        counter = metrics.counter("c", "c", labels=["kind"])
        measure_sync(benchmark, lambda: counter.labels("a").inc())

    def test_mobius_infra_labels_by_name_inc(
        self, benchmark: Any, metrics: MetricsCollector
    ) -> None:
        counter = metrics.counter("c", "c", labels=["kind"])
        measure_sync(benchmark, lambda: counter.labels(kind="a").inc())

    def test_mobius_infra_labels_past_the_bound(
        self, benchmark: Any, metrics: MetricsCollector
    ) -> None:
        counter = metrics.counter("c", "c", labels=["kind"], max_series=2)
        numbers = iter(range(10**9))
        measure_sync(benchmark, lambda: counter.labels(next(numbers)).inc())


@pytest.mark.benchmark(group="a cache's hit, watched or not")
class TestWatched:
    def measure_hit(self, measure: Measure, loop: asyncio.AbstractEventLoop, cache: Cache) -> None:
        @cache.cached()
        async def load(key: str) -> str:
            return key

        loop.run_until_complete(load("a"))
        measure(lambda: load("a"))

    def test_not_watched(self, measure: Measure, loop: asyncio.AbstractEventLoop) -> None:
        self.measure_hit(measure, loop, Cache("prices"))

    def test_watched(
        self, measure: Measure, loop: asyncio.AbstractEventLoop, metrics: MetricsCollector
    ) -> None:
        cache = Cache("prices")
        metrics.watch(cache)
        metrics.render()
        self.measure_hit(measure, loop, cache)


@pytest.mark.benchmark(group=f"a scrape of {SERIES:,} series")
class TestScrape:
    def test_prometheus_counters(self, benchmark: Any, peer: CollectorRegistry) -> None:
        counter = prometheus_client.Counter("c", "c", ["kind", "at"], registry=peer)
        for number in range(SERIES):
            counter.labels(str(number), "x").inc()
        benchmark.pedantic(lambda: generate_latest(peer), rounds=10, warmup_rounds=1)

    def test_mobius_infra_counters(self, benchmark: Any, metrics: MetricsCollector) -> None:
        counter = metrics.counter("c", "c", labels=["kind", "at"])
        for number in range(SERIES):
            counter.labels(str(number), "x").inc()
        benchmark.pedantic(metrics.render, rounds=10, warmup_rounds=1)

    def test_prometheus_histograms(self, benchmark: Any, peer: CollectorRegistry) -> None:
        seconds = prometheus_client.Histogram("s", "s", ["kind"], registry=peer)
        for number in range(SERIES // 17):
            seconds.labels(str(number)).observe(number / 100)
        benchmark.pedantic(lambda: generate_latest(peer), rounds=10, warmup_rounds=1)

    def test_mobius_infra_histograms(self, benchmark: Any, metrics: MetricsCollector) -> None:
        seconds = metrics.histogram("s", "s", labels=["kind"])
        for number in range(SERIES // 17):
            seconds.labels(str(number)).observe(number / 100)
        benchmark.pedantic(metrics.render, rounds=10, warmup_rounds=1)


@pytest.mark.parametrize("accept", [None, OPEN_METRICS])
def test_how_long_a_scrape_holds_up_the_event_loop(
    metrics: MetricsCollector, record_figure: Callable[[str, str], None], accept: str | None
) -> None:
    """The longest time between two turns of another task, the best of several scrapes.

    What else the machine does can make any one of them longer.
    """
    counter = metrics.counter("c", "c", labels=["kind", "at"])
    seconds = metrics.histogram("s", "s", labels=["kind"])
    sizes = metrics.summary("z", "z", labels=["kind"])
    caches = [Cache(f"c{number}") for number in range(SERIES // 40)]
    metrics.watch(*caches)
    for number in range(SERIES // 2):
        counter.labels(str(number), "x").inc()
        seconds.labels(str(number % (SERIES // 40))).observe(number / 100)
        sizes.labels(str(number % (SERIES // 50))).observe(number / 100)

    async def longest() -> float:
        gaps: list[float] = []

        async def look() -> None:
            last = time.perf_counter()
            while True:
                await asyncio.sleep(0)
                now = time.perf_counter()
                gaps.append(now - last)
                last = now

        task = asyncio.create_task(look())
        await asyncio.sleep(0)
        await metrics.render_async(accept)
        await asyncio.sleep(0)
        task.cancel()
        return max(gaps)

    best = min(asyncio.run(longest()) for _ in range(5))
    record_figure(f"{accept or 'text'}"[:12], f"{best * 1e3:.1f} ms at a time")
    assert best < 0.010
