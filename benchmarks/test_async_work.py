"""Many things at once: what the limits cost, in time and in bytes.

The first of each group is the floor: a semaphore and `asyncio.gather`, as everybody writes them, or
the function that is decorated, asked key by key.
"""

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import pytest

from benchmarks.conftest import Measure
from mobius_infra.perf import batched, coalesced, gather_bounded, map_bounded

ITEMS = 100_000
LIMIT = 100

Run = Callable[[], Coroutine[Any, Any, None]]
Figure = Callable[[str, str], None]


async def nothing(item: int) -> int:
    return item


async def by_semaphore() -> None:
    semaphore = asyncio.Semaphore(LIMIT)

    async def one(item: int) -> int:
        async with semaphore:
            return await nothing(item)

    await asyncio.gather(*(one(item) for item in range(ITEMS)))


async def as_they_come() -> None:
    async for _ in map_bounded(nothing, range(ITEMS), limit=LIMIT):
        pass


async def in_order() -> None:
    async for _ in map_bounded(nothing, range(ITEMS), limit=LIMIT, ordered=True):
        pass


async def gathered() -> None:
    await gather_bounded(map(nothing, range(ITEMS)), limit=LIMIT)


RUNS: list[Run] = [by_semaphore, as_they_come, in_order, gathered]


@pytest.mark.benchmark(group="100,000 no-op coroutines, 100 at once")
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_time(benchmark: Any, run: Run) -> None:
    benchmark.extra_info["calls"] = ITEMS
    benchmark.pedantic(lambda: asyncio.run(run()), rounds=3, warmup_rounds=1)


def test_ratio_to_a_semaphore_and_gather(record_figure: Figure) -> None:
    """One after the other in turn, so that a busy machine is as busy for all; the best of each."""
    best = dict.fromkeys(RUNS, float("inf"))
    for _ in range(3):
        for run in RUNS:
            began = time.perf_counter()
            asyncio.run(run())
            best[run] = min(best[run], time.perf_counter() - began)
    for run in RUNS[1:]:
        record_figure(run.__name__, f"{best[run] / best[by_semaphore]:.2f} x")
    assert best[as_they_come] <= 1.3 * best[by_semaphore]


def test_peak_bytes(record_figure: Figure) -> None:
    peaks = {}
    for run in RUNS:
        tracemalloc.start()
        asyncio.run(run())
        peaks[run] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        record_figure(run.__name__, f"{peaks[run]:,} bytes")
    assert peaks[as_they_come] < 1_000_000


KEYS = range(1_000)


def together(load: Callable[[int], Awaitable[int]]) -> Callable[[], Awaitable[object]]:
    return lambda: asyncio.gather(*map(load, KEYS))


@pytest.fixture
def measure_keys(benchmark: Any, loop: asyncio.AbstractEventLoop) -> Measure:
    """Give a function that measures a thousand keys that are asked for together."""

    def run(call: Callable[[], Awaitable[object]]) -> None:
        async def once() -> None:
            await call()

        benchmark.extra_info["calls"] = len(KEYS)
        benchmark.pedantic(lambda: loop.run_until_complete(once()), rounds=30, warmup_rounds=3)

    return run


@pytest.mark.benchmark(group="1,000 keys asked for together, 100 a batch")
class TestBatched:
    def test_one_by_one(self, measure_keys: Measure) -> None:
        measure_keys(together(nothing))

    def test_mobius_infra(self, measure_keys: Measure) -> None:
        @batched("b", max_size=100)
        async def load(keys: Sequence[int]) -> Mapping[int, int]:
            return {key: key for key in keys}

        measure_keys(together(load))

    def test_aiodataloader(self, measure_keys: Measure) -> None:
        from aiodataloader import DataLoader

        async def load(keys: list[int]) -> list[int]:
            return keys

        async def once() -> None:
            loader = DataLoader(load, max_batch_size=100, cache=False)
            await asyncio.gather(*map(loader.load, KEYS))

        measure_keys(once)

    def test_aiodataloader_in_tasks(self, measure_keys: Measure) -> None:
        """As it is asked by 1,000 handlers; above, its futures are gathered without any task."""
        from aiodataloader import DataLoader

        async def load(keys: list[int]) -> list[int]:
            return keys

        async def once() -> None:
            loader = DataLoader(load, max_batch_size=100, cache=False)

            async def handler(key: int) -> int:
                return await loader.load(key)

            await asyncio.gather(*map(handler, KEYS))

        measure_keys(once)


@pytest.mark.benchmark(group="1,000 callers of 1,000 keys, nothing to share")
class TestCoalesced:
    def test_bare(self, measure_keys: Measure) -> None:
        measure_keys(together(nothing))

    def test_tasks_of_their_own(self, measure_keys: Measure) -> None:
        async def shielded(item: int) -> int:
            return await asyncio.shield(asyncio.ensure_future(nothing(item)))

        measure_keys(together(shielded))

    def test_mobius_infra(self, measure_keys: Measure) -> None:
        measure_keys(together(coalesced("c")(nothing)))
