"""Many keys in one call: one load for those that are missing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import assert_type

import pytest

from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.core import ConfigurationError
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky, OriginError


class Shop:
    """Counts the batches it is asked for."""

    def __init__(self, cache: Cache) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

        @cache.batched(tags=["item:{}"])
        async def prices(items: Sequence[str]) -> Mapping[str, int]:
            self.batches.append(list(items))
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return {item: len(item) for item in items if item != "unknown"}

        self.prices = prices


@pytest.fixture
def cache(backend: Flaky, manual_clock: ManualClock) -> Cache:
    return Cache("c", tiers=[MemoryTier(), BackendTier(backend)], ttl=10, clock=manual_clock)


async def test_only_what_is_missing_is_loaded_in_one_call(
    cache: Cache, backend: Flaky, manual_clock: ManualClock
) -> None:
    shop = Shop(cache)
    assert_type(await shop.prices([]), dict[str, int])
    assert await shop.prices(["a", "bb", "a"]) == {"a": 1, "bb": 2}
    assert await shop.prices(["bb", "ccc", "dddd"]) == {"bb": 2, "ccc": 3, "dddd": 4}
    assert shop.batches == [["a", "bb"], ["ccc", "dddd"]]
    other = Shop(Cache("c", tiers=[MemoryTier(), BackendTier(backend)], ttl=10, clock=manual_clock))
    assert await other.prices(["a", "e", "bb"]) == {"a": 1, "e": 1, "bb": 2}
    assert other.batches == [["e"]]


async def test_what_the_function_leaves_out_is_left_out_and_not_cached(cache: Cache) -> None:
    shop = Shop(cache)
    for _ in range(2):
        assert await shop.prices(["a", "unknown"]) == {"a": 1}
    assert shop.batches == [["a", "unknown"], ["unknown"]]


async def test_calls_that_overlap_load_each_key_once(cache: Cache) -> None:
    shop = Shop(cache)
    shop.gate.clear()
    one = asyncio.create_task(shop.prices(["a", "b"]))
    for _ in range(20):
        await asyncio.sleep(0)
    two = asyncio.create_task(shop.prices(["b", "c"]))
    for _ in range(20):
        await asyncio.sleep(0)
    shop.gate.set()
    assert await one == {"a": 1, "b": 1}
    assert await two == {"b": 1, "c": 1}
    assert shop.batches == [["a", "b"], ["c"]]


async def test_an_error_reaches_the_caller_as_it_is_and_is_not_cached(cache: Cache) -> None:
    shop = Shop(cache)
    shop.error = OriginError(7)
    with pytest.raises(OriginError) as caught:
        await shop.prices(["a", "b"])
    assert caught.value.code == 7
    shop.error = None
    assert await shop.prices(["a", "b"]) == {"a": 1, "b": 1}


async def test_who_is_cancelled_takes_nobody_with_it_and_the_last_takes_the_load(
    cache: Cache,
) -> None:
    shop = Shop(cache)
    shop.gate.clear()
    one, two = (asyncio.create_task(shop.prices(["a", "b"])) for _ in range(2))
    for _ in range(20):
        await asyncio.sleep(0)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    shop.gate.set()
    assert await two == {"a": 1, "b": 1}
    assert len(shop.batches) == 1
    shop.gate.clear()
    three = asyncio.create_task(shop.prices(["z"]))
    for _ in range(20):
        await asyncio.sleep(0)
    three.cancel()
    await asyncio.gather(three, return_exceptions=True)
    for _ in range(20):
        await asyncio.sleep(0)
    assert cache.stats().loading == 0


@pytest.mark.parametrize(
    "forget",
    [
        lambda cache: cache.invalidate_tags("t"),
        lambda cache: cache.invalidate_prefix(""),
        lambda cache: cache.clear(),
    ],
    ids=["tag", "prefix", "all"],
)
async def test_a_batch_after_an_invalidation_does_not_join_a_load_from_before_it(
    forget: Callable[[Cache], Awaitable[None]], manual_clock: ManualClock
) -> None:
    cache = Cache("c", clock=manual_clock)
    gate, batches = asyncio.Event(), 0

    @cache.batched(tags=["t"])
    async def values(keys: Sequence[str]) -> Mapping[str, int]:
        nonlocal batches
        batches += 1
        number = batches
        await gate.wait()
        return dict.fromkeys(keys, number)

    before = asyncio.create_task(values(["a", "b"]))
    await manual_clock.advance(1)
    await forget(cache)
    after = asyncio.create_task(values(["a", "c"]))
    await manual_clock.advance(1)
    gate.set()
    assert [await before, await after] == [{"a": 1, "b": 1}, {"a": 2, "c": 2}]


class Uneven(Flaky):
    """A backend that takes a second for `a`, and longer for others."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        await self._clock.sleep(ord(keys[1][-1]) - ord("a") + 1)
        return await super().get_many(keys)


async def test_a_batch_that_takes_over_from_one_that_was_cancelled_gets_every_key(
    manual_clock: ManualClock,
) -> None:
    cache = Cache("c", tiers=[BackendTier(Uneven(manual_clock))], clock=manual_clock)
    batches: list[list[str]] = []

    @cache.batched()
    async def values(keys: Sequence[str]) -> Mapping[str, str]:
        batches.append(list(keys))
        return {key: key for key in keys}

    first, second = (asyncio.create_task(values(["a", "b"])) for _ in range(2))
    await manual_clock.advance(0.5)
    first.cancel()
    await manual_clock.advance(10)  # the tier is asked again, for one key longer than for the other
    assert second.result() == {"a": "a", "b": "b"}
    assert batches == [["a"], ["b"]]


async def test_its_values_are_forgotten_by_key_and_by_tag(cache: Cache) -> None:
    shop = Shop(cache)
    await shop.prices(["a", "b", "c"])
    await shop.prices.invalidate(["a"])
    await cache.invalidate_tags("item:b")
    await shop.prices(["a", "b", "c"])
    assert shop.batches[1:] == [["a", "b"]]


async def test_get_many_returns_what_is_held(cache: Cache) -> None:
    await cache.set("a", 1)
    await cache.set("none", None)
    assert await cache.get_many(["a", "b", "none"]) == {"a": 1, "none": None}


def test_a_function_that_is_not_async_is_refused(cache: Cache) -> None:
    with pytest.raises(ConfigurationError):

        @cache.batched()  # type: ignore[arg-type]  # what is refused
        def prices(items: Sequence[str]) -> dict[str, int]:
            return {}
