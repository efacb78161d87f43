"""The cache: what a hit, a miss and an entry cost, beside the peers.

The first of each group is the floor.
"""

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import psutil
import pytest

from benchmarks.conftest import Measure
from mobius_infra.cache import Cache, MemoryTier

WAITERS = 1_000


async def nothing(x: str = "btc") -> str:
    return x


# Any: peers' decorators, of whatever type they say.
def mobius_infra() -> Any:
    return Cache("c").cached()(nothing)


def mobius_infra_by_template() -> Any:
    return Cache("c").cached(key="{x}")(nothing)


def moka_py() -> Any:
    from moka_py import cached

    return cached(maxsize=10_000, ttl=60)(nothing)


def cachebox() -> Any:
    import cachebox

    return cachebox.cached(cachebox.TTLCache(10_000, 60))(nothing)


def async_lru() -> Any:
    from async_lru import alru_cache

    return alru_cache(maxsize=10_000, ttl=60)(nothing)


def theine() -> Any:
    from datetime import timedelta

    from theine import Memoize

    return Memoize(10_000, timedelta(seconds=60))(nothing)


def aiocache() -> Any:
    from aiocache import cached  # type: ignore[import-untyped]  # ships none

    return cached(ttl=60)(nothing)


def cashews() -> Any:
    import cashews

    cache = cashews.Cache()
    cache.setup("mem://")
    return cache(ttl=60)(nothing)


PEERS = [
    mobius_infra,
    mobius_infra_by_template,
    moka_py,
    cachebox,
    async_lru,
    theine,
    aiocache,
    cashews,
]


@pytest.mark.benchmark(group="cache: hit in memory")
class TestHit:
    def test_bare_await(self, measure: Measure) -> None:
        measure(lambda: nothing("btc"))

    @pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.__name__)
    def test_peer(self, peer: Callable[[], Any], measure: Measure) -> None:
        cached = peer()
        measure(lambda: cached("btc"))


@pytest.mark.benchmark(group="cache: hit in memory, two arguments")
class TestHitOfTwo:
    def test_bare_await(self, measure: Measure) -> None:
        async def two(x: str, y: int) -> str:
            return x

        measure(lambda: two("btc", 7))

    def test_mobius_infra(self, measure: Measure) -> None:
        async def two(x: str, y: int) -> str:
            return x

        cached = Cache("c").cached()(two)
        measure(lambda: cached("btc", 7))

    def test_async_lru(self, measure: Measure) -> None:
        from async_lru import alru_cache

        async def two(x: str, y: int) -> str:
            return x

        cached = alru_cache(maxsize=10_000, ttl=60)(two)
        measure(lambda: cached("btc", 7))


@pytest.mark.benchmark(group=f"cache: a miss with {WAITERS} waiters, for each")
class TestMiss:
    def storm(
        self, benchmark: Any, loop: asyncio.AbstractEventLoop, decorate: Callable[[Any], Any]
    ) -> None:
        calls = 0

        async def slow(x: int) -> int:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return x

        cached = decorate(slow)
        rounds = 0

        async def storm() -> None:
            nonlocal rounds
            rounds += 1
            await asyncio.gather(*(cached(rounds) for _ in range(WAITERS)))

        benchmark.extra_info["calls"] = WAITERS
        benchmark.pedantic(lambda: loop.run_until_complete(storm()), rounds=20, warmup_rounds=2)
        assert calls == rounds

    def test_async_lru(self, benchmark: Any, loop: asyncio.AbstractEventLoop) -> None:
        from async_lru import alru_cache

        self.storm(benchmark, loop, alru_cache(maxsize=10_000, ttl=60))

    def test_mobius_infra(self, benchmark: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.storm(benchmark, loop, Cache("c").cached())


SIZES = [1_000, 10_000, 100_000, 1_000_000]


@pytest.mark.benchmark(group="cache: put and get by size of the cache, for each")
class TestSize:
    @pytest.mark.parametrize("size", SIZES)
    def test_mobius_infra(self, size: int, benchmark: Any, loop: asyncio.AbstractEventLoop) -> None:
        """A full cache: each new key evicts one, and is then read."""
        cache = Cache("c", tiers=[MemoryTier(size)])
        cached = cache.cached()(nothing)

        async def run(keys: range) -> None:
            for key in keys:
                await cached(str(key))

        loop.run_until_complete(run(range(size)))
        gc.collect()
        gc.freeze()  # what is measured is not the collector's walk over the rest of the process
        at = size

        async def rounds() -> None:
            nonlocal at
            await run(range(at, at + 1_000))
            await run(range(at, at + 1_000))
            at += 1_000

        benchmark.extra_info["calls"] = 2_000
        benchmark.pedantic(lambda: loop.run_until_complete(rounds()), rounds=20, warmup_rounds=2)
        gc.unfreeze()


@pytest.mark.benchmark(group="cache: invalidation of 100,000 entries by one tag")
class TestTags:
    def test_mobius_infra(self, benchmark: Any, loop: asyncio.AbstractEventLoop) -> None:
        cache = Cache("c", tiers=[MemoryTier(100_000)])
        cached = cache.cached(tags=["all"])(nothing)

        async def fill() -> None:
            for key in range(100_000):
                await cached(str(key))

        def setup() -> None:
            loop.run_until_complete(fill())

        def invalidate() -> None:
            loop.run_until_complete(cache.invalidate_tags("all"))

        benchmark.pedantic(invalidate, setup=setup, rounds=3)
        assert loop.run_until_complete(cached.peek("7")) is None


ENTRIES = 1_000_000


def hold_ours(keys: list[str]) -> object:
    cached = Cache("c", tiers=[MemoryTier(ENTRIES)]).cached()(nothing)

    async def fill() -> None:
        for key in keys:
            await cached(key)

    asyncio.run(fill())
    return cached


def hold_cachetools(keys: list[str]) -> object:
    import cachetools

    cache: Any = cachetools.TTLCache(ENTRIES, 3_600)
    cache.update(zip(keys, keys, strict=True))
    return cache


def hold_cachebox(keys: list[str]) -> object:
    import cachebox

    cache: Any = cachebox.TTLCache(ENTRIES, 3_600)
    cache.update(zip(keys, keys, strict=True))
    return cache


def bytes_of(hold: Callable[[list[str]], object]) -> float:
    """Return by how much this process grows for each entry, keys and values aside."""
    keys = [f"key{number}" for number in range(ENTRIES)]
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    held = hold(keys)
    gc.collect()
    grown = process.memory_info().rss - before
    del held
    return grown / ENTRIES


@pytest.mark.parametrize("hold", [hold_ours, hold_cachetools, hold_cachebox])
def test_bytes_for_each_entry(
    hold: Callable[[list[str]], object], record_figure: Callable[[str, str], None]
) -> None:
    """Each in a process of its own, that memory freed by another is not used again."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        figure = pool.submit(bytes_of, hold).result()
    record_figure(f"bytes an entry, {hold.__name__}, {ENTRIES:,} entries", f"{figure:,.0f}")
