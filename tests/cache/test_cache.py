"""The cache, as its users see it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, assert_type

import pytest

from mobius_infra.cache import (
    BackendTier,
    Cache,
    CacheConfig,
    MemoryTier,
)
from mobius_infra.core import ConfigurationError, open_backend
from mobius_infra.testing import ManualClock
from tests.cache.support import TIERS, Flaky, Origin, OriginError


async def test_a_value_is_loaded_once_until_its_time(
    cache: Cache, origin: Origin, manual_clock: ManualClock
) -> None:
    get = cache.cached()(origin.get)
    assert [await get("a"), await get("a"), await get("b")] == ["a1", "a1", "b2"]
    manual_clock.tick(9.9)
    assert await get("a") == "a1"
    manual_clock.tick(0.1)
    assert await get("a") == "a3"


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
async def test_empty_values_are_hits(cache: Cache, value: Any) -> None:
    calls = 0

    @cache.cached()
    async def get(key: str) -> Any:
        nonlocal calls
        calls += 1
        return value

    assert [await get("k"), await get("k")] == [value, value]
    assert calls == 1


Forget = Callable[[Cache, Callable[..., Awaitable[None]]], Awaitable[None]]
FORGET: dict[str, Forget] = {
    "invalidate": lambda cache, invalidate: invalidate("a"),
    "tag": lambda cache, invalidate: cache.invalidate_tags("coin:a"),
    "clear": lambda cache, invalidate: cache.clear(),
}


@pytest.mark.parametrize("forget", FORGET.values(), ids=FORGET)
async def test_what_is_forgotten_is_loaded_anew(
    forget: Forget, cache: Cache, origin: Origin, manual_clock: ManualClock
) -> None:
    get = cache.cached(tags=["coin:{key}"])(origin.get)
    await get("a")
    manual_clock.tick(0.001)
    await forget(cache, get.invalidate)
    assert await get.peek("a") is None
    assert await get("a") == "a2"


@pytest.mark.parametrize("forget", FORGET.values(), ids=FORGET)
async def test_what_is_forgotten_while_it_loads_is_not_stored(
    forget: Forget, cache: Cache, origin: Origin, manual_clock: ManualClock
) -> None:
    origin.gate = asyncio.Event()
    get = cache.cached(tags=["coin:{key}"])(origin.get)
    waiting = asyncio.create_task(get("a"))
    await manual_clock.advance(0.001)
    await forget(cache, get.invalidate)
    origin.gate.set()
    assert await waiting == "a1"  # for those who waited
    manual_clock.tick(0.001)
    assert await get("a") == "a2"


async def test_only_values_with_the_tag_are_forgotten(
    cache: Cache, origin: Origin, manual_clock: ManualClock
) -> None:
    get = cache.cached(tags=["all", "coin:{key}"])(origin.get)
    await get("a")
    await get("b")
    manual_clock.tick(0.001)
    await cache.invalidate_tags("coin:a")
    assert [await get("a"), await get("b")] == ["a3", "b2"]
    manual_clock.tick(0.001)
    await cache.invalidate_tags("all")
    assert [await get("a"), await get("b")] == ["a4", "b5"]


async def test_refresh_loads_now_and_peek_loads_nothing(cache: Cache, origin: Origin) -> None:
    get = cache.cached()(origin.get)
    assert await get.peek("a") is None
    assert await get("a") == "a1"
    assert await get.refresh("a") == "a2"
    assert [await get.peek("a"), await get("a")] == ["a2", "a2"]


@pytest.mark.parametrize("kind", TIERS)
async def test_an_old_value_serves_when_a_load_fails(
    kind: str, backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    cache = Cache("c", tiers=TIERS[kind](backend), ttl=10, stale_for=50, clock=manual_clock)
    get = cache.cached(tags=["t"])(origin.get)
    await get("a")
    origin.error = OriginError(1)
    manual_clock.tick(30)
    assert await get("a") == "a1"
    assert cache.stats().stale == 1
    manual_clock.tick(31)
    with pytest.raises(OriginError):
        await get("a")


async def test_an_invalidated_value_never_serves_as_an_old_one(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    cache = Cache("c", tiers=TIERS["both"](backend), ttl=10, stale_for=50, clock=manual_clock)
    get = cache.cached(tags=["t"])(origin.get)
    ways: list[Callable[[], Awaitable[None]]] = [
        lambda: get.invalidate("a"),
        lambda: cache.invalidate_tags("t"),
        cache.clear,
    ]
    for forget in ways:
        origin.error = None
        await get("a")
        manual_clock.tick(0.001)
        await forget()
        origin.error = OriginError(1)
        with pytest.raises(OriginError):
            await get("a")
        manual_clock.tick(0.001)


@pytest.mark.parametrize("most", [0, 1, 2, 10])
async def test_memory_never_holds_more_than_its_bound(most: int, origin: Origin) -> None:
    cache = Cache("c", tiers=[MemoryTier(most)])
    get = cache.cached()(origin.get)
    for number in range(50):
        await get(str(number % 13))
        assert cache.stats().entries <= most


async def test_what_is_asked_for_stays_when_others_make_room() -> None:
    cache = Cache("c", tiers=[MemoryTier(3)])
    for number in range(20):
        await cache.set(f"once{number}", number)
        await cache.set("often", "kept")
        assert await cache.get("often") == "kept"
    assert cache.stats().evictions["entries"] > 10


async def test_types_of_a_decorated_function() -> None:
    cache = Cache("c")

    @cache.cached(ttl=5)
    async def get(x: int, *, y: str = "") -> list[str]:
        return [y] * x

    assert_type(await get(1, y="a"), list[str])
    assert_type(await get.refresh(1), list[str])
    assert_type(await get.peek(1), list[str] | None)
    assert get.__name__ == "get"  # type: ignore[attr-defined]  # a function, though typed by a protocol


async def test_it_is_built_from_settings(manual_clock: ManualClock) -> None:
    config = CacheConfig.load({"name": "prices", "entries": 2, "ttl": 3, "policy": "sieve"})
    cache = Cache.from_config(config, clock=manual_clock)
    for key in "abc":
        await cache.set(key, key)
    assert cache.stats().entries == 2
    manual_clock.tick(3)
    assert await cache.get_many(["a", "b", "c"]) == {}
    assert repr(cache) == "Cache('prices', tiers=['memory'])"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a:b"}, "name"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": float("nan")}, "ttl"),
        ({"stale_for": -1}, "stale_for"),
        ({"jitter": 1.0}, "jitter"),
        ({"idle_ttl": 0.0}, "idle_ttl"),
        ({"soft_timeout": -1.0}, "soft_timeout"),
        ({"error_ttl": float("inf")}, "error_ttl"),
        ({"early": -1.0}, "early"),
        ({"revalidate_for": -1.0}, "revalidate_for"),
        ({"max_staleness": 0.0}, "max_staleness"),
        ({"lease": 5.0}, "lease"),
        ({"tiers": []}, "tiers"),
        ({"tiers": [MemoryTier(), MemoryTier()]}, "tiers"),
        ({"tiers": [BackendTier(open_backend("memory://")), MemoryTier()]}, "tiers"),
    ],
)
def test_values_out_of_range_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Cache(**{"name": "x", **options})
    assert caught.value.field == field


def test_a_decorator_that_can_not_work_is_refused_at_decoration() -> None:
    cache = Cache("c")
    with pytest.raises(ConfigurationError, match="ttl"):
        cache.cached(ttl=-1)
    with pytest.raises(ConfigurationError, match="'chat' is not one"):

        @cache.cached(tags=["chat:{chat}"])
        async def get(x: int) -> int:
            return x

    with pytest.raises(ConfigurationError):
        MemoryTier(-1)


async def test_its_hit_rate_over_time_is_kept_and_drawn(
    origin: Origin, manual_clock: ManualClock
) -> None:
    async with Cache("<c>", ttl=1000, clock=manual_clock) as cache:
        get = cache.cached()(origin.get)
        assert "no data yet" in cache.picture()
        for key in ("a", "a", "a", "b"):
            await get(key)
        await manual_clock.advance(10)
        await manual_clock.advance(10)  # nothing was asked for
        await get("a")
        await manual_clock.advance(10)
        assert [(each.hits, each.misses) for each in cache.history()] == [(2, 2), (0, 0), (1, 0)]
        assert [each.hit_rate for each in cache.history()] == [0.5, 0.0, 1.0]
        picture = cache.picture()
        assert picture.count("<polyline") == 2  # with a gap between them
        assert "&lt;c&gt;: hit rate, now 100%" in picture
