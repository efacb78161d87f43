"""What an observation costs, and how much memory a hundred series of a million take."""

import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from mobius_infra.metrics import Sketch

OBSERVATIONS = 10_000


def observations(number: int) -> list[float]:
    chance = random.Random(1)
    return [chance.lognormvariate(-3, 1) for _ in range(number)]


@pytest.mark.benchmark(group="one observation")
class TestObserve:
    def measure(self, benchmark: Any, observe: Callable[[float], object]) -> None:
        values = observations(OBSERVATIONS)

        def many() -> None:
            for value in values:
                observe(value)

        benchmark.extra_info["calls"] = OBSERVATIONS
        benchmark.pedantic(many, rounds=30, warmup_rounds=3)

    def test_prometheus_histogram(self, benchmark: Any) -> None:
        from prometheus_client import CollectorRegistry, Histogram

        self.measure(benchmark, Histogram("h", "h", registry=CollectorRegistry()).observe)

    def test_mobius_infra_sketch(self, benchmark: Any) -> None:
        self.measure(benchmark, Sketch().add)


def test_memory_of_100_series_of_a_million_observations(
    record_figure: Callable[[str, str], None],
) -> None:
    """Each of other values: latencies around microseconds, milliseconds, seconds, hours."""
    chance = random.Random(2)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    sketches: list[Sketch] = []
    for number in range(100):
        sketch, part = Sketch(), Sketch()
        for _ in range(10_000):
            part.add(chance.lognormvariate(number % 20 - 10, 1 + number % 3))
        # What a sketch takes depends on which bins there are, not on how often each is hit.
        for _ in range(100):
            sketch.merge(part)
        sketches.append(sketch)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(sketch.count == 1_000_000 for sketch in sketches)
    record_figure("bytes of all", f"{after - before:,}")
    record_figure("bins of the largest", f"{max(map(len, sketches)):,}")
    # Two dicts of at most 2,048 bins each, integers and all.
    assert after - before < 100 * 2 * 2048 * 110
