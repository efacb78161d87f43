"""What exports cost, beside prometheus-client's own text of the same numbers."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Protocol

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from mobius_infra.metrics import MetricsCollector, Workers, from_json, to_json

SERIES = 10_000


class Benchmark(Protocol):
    def __call__(self, run: Callable[[], object]) -> object: ...


@pytest.fixture(scope="module")
def metrics() -> MetricsCollector:
    collector = MetricsCollector("bot")
    for family in range(10):
        counter = collector.counter(f"c{family}", "Counted", labels=["user"])
        for user in range(SERIES // 10):
            counter.labels(f"user{user}").inc()
    return collector


@pytest.mark.benchmark(group="10,000 series")
def test_prometheus_client_text(benchmark: Benchmark) -> None:
    registry = CollectorRegistry()
    for family in range(10):
        counter = Counter(f"c{family}", "Counted", ["user"], registry=registry)
        for user in range(SERIES // 10):
            counter.labels(f"user{user}").inc()
    benchmark(lambda: generate_latest(registry))


@pytest.mark.benchmark(group="10,000 series")
def test_collect(benchmark: Benchmark, metrics: MetricsCollector) -> None:
    benchmark(metrics.collect)


@pytest.mark.benchmark(group="10,000 series")
def test_write_json(benchmark: Benchmark, metrics: MetricsCollector) -> None:
    families = metrics.collect()
    benchmark(lambda: to_json(families, at=0))


@pytest.mark.benchmark(group="10,000 series")
def test_read_json(benchmark: Benchmark, metrics: MetricsCollector) -> None:
    written = to_json(metrics.collect(), at=0)
    benchmark(lambda: from_json(written))


@pytest.mark.benchmark(group="10,000 series")
def test_write_a_snapshot(benchmark: Benchmark, metrics: MetricsCollector, tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        workers = runner.run(Workers(tmp_path, metrics, interval=3600).__aenter__())
        benchmark(lambda: runner.run(workers.write()))
        runner.run(workers.__aexit__())


@pytest.mark.benchmark(group="10,000 series")
def test_answer_for_four_workers(
    benchmark: Benchmark, metrics: MetricsCollector, tmp_path: Path
) -> None:
    with asyncio.Runner() as runner:
        four = [Workers(tmp_path, metrics, interval=3600) for _ in range(4)]
        for each in four:
            runner.run(each.__aenter__())
            runner.run(each.write())
        benchmark(lambda: runner.run(four[0].render()))
        for each in four:
            runner.run(each.__aexit__())


async def test_the_loop_is_not_held_up_while_all_of_it_happens(
    metrics: MetricsCollector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shown, not asserted: on a busy machine others hold it up, too.

    The garbage collector's own longest pause is shown beside it. It grows with all objects of the
    process, whoever made them, and no thread runs meanwhile.
    """
    worst, done, pauses = 0.0, False, [0.0]

    def collecting(phase: str, info: dict[str, int]) -> None:
        now = perf_counter()
        pauses.append(-now) if phase == "start" else pauses.append(now + pauses.pop())

    async def watch() -> None:
        nonlocal worst
        while not done:
            began = perf_counter()
            await asyncio.sleep(0)
            worst = max(worst, perf_counter() - began)

    async with Workers(tmp_path, metrics) as one, Workers(tmp_path, metrics) as other:
        watching = asyncio.create_task(watch())
        gc.callbacks.append(collecting)
        try:
            await asyncio.gather(other.write(), one.write())
            await one.render()
        finally:
            gc.callbacks.remove(collecting)
        done = True
        await watching
    with capsys.disabled():
        print(f"\nlongest stop of the loop: {worst * 1000:.1f} ms; "
              f"longest garbage collection: {max(pauses) * 1000:.1f} ms")  # fmt: skip
