"""The cache, as its users see it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, assert_type

import pytest
from pydantic import BaseModel

from mobius_infra.cache import (
    BackendTier,
    Cache,
    CacheConfig,
    CacheCycleError,
    MemoryTier,
    TierDegraded,
    TierRestored,
)
from mobius_infra.core import ConfigurationError, Event, open_backend
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky, Origin, OriginError

TIERS: dict[str, Callable[[Flaky], list[MemoryTier | BackendTier]]] = {
    "memory": lambda backend: [MemoryTier(100)],
    "backend": lambda backend: [BackendTier(backend)],
    "both": lambda backend: [MemoryTier(100), BackendTier(backend)],
}


@pytest.fixture(params=TIERS)
def cache(request: pytest.FixtureRequest, backend: Flaky, manual_clock: ManualClock) -> Cache:
    return Cache("c", tiers=TIERS[request.param](backend), ttl=10, clock=manual_clock)


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


async def test_arguments_of_different_types_are_different_keys(cache: Cache) -> None:
    @cache.cached()
    async def kind(value: Any) -> str:
        return type(value).__name__

    assert [await kind(each) for each in (1, True, 1.0, "1", b"1", None, (1,), [1])] == [
        "int", "bool", "float", "str", "bytes", "NoneType", "tuple", "list",
    ]  # fmt: skip


async def test_a_call_has_one_key_however_it_is_written(cache: Cache) -> None:
    calls = 0

    @cache.cached()
    async def get(a: int, b: str = "x", *, c: bool = True) -> int:
        nonlocal calls
        calls += 1
        return calls

    assert {await get(1), await get(a=1), await get(1, "x"), await get(1, c=True, b="x")} == {1}
    assert await get(1, "y") == 2


async def test_two_functions_never_share_a_value(cache: Cache) -> None:
    @cache.cached()
    async def one(x: int) -> str:
        return "one"

    @cache.cached()
    async def other(x: int) -> str:
        return "other"

    assert [await one(1), await other(1)] == ["one", "other"]


async def test_a_method_needs_an_object_that_says_what_it_is(cache: Cache) -> None:
    class Service:
        def __init__(self, name: str) -> None:
            self.name = name

        @property
        def cache_key(self) -> str:
            return self.name

        @cache.cached()
        async def get(self, x: int) -> str:
            return f"{self.name}{x}"

        @cache.cached()
        @classmethod
        async def create(cls, x: int) -> str:
            return f"{cls.__name__}{x}"

        @cache.cached()
        @staticmethod
        async def double(x: int) -> int:
            return 2 * x

    class Silent:
        @cache.cached()
        async def get(self, x: int) -> int:
            return x

        @cache.cached(key="{x}")
        async def shared(self, x: int) -> int:
            return x

    assert [await Service("a").get(1), await Service("b").get(1)] == ["a1", "b1"]
    assert_type(await Service("a").get(1), str)
    assert await Service.double(4) == 8
    with pytest.raises(ConfigurationError, match="cache_key"):
        await Silent().get(1)
    assert await Silent().shared(1) == 1


async def test_a_thousand_waiters_are_one_load(
    cache: Cache, origin: Origin, manual_clock: ManualClock
) -> None:
    origin.gate = asyncio.Event()
    get = cache.cached()(origin.get)
    tasks = [asyncio.create_task(get("a")) for _ in range(1_000)]
    await manual_clock.advance(0)
    assert cache.stats().loading == 1
    origin.gate.set()
    assert set(await asyncio.gather(*tasks)) == {"a1"}
    assert len(origin.calls) == 1
    assert cache.stats().loading == 0


async def test_each_waiter_gets_an_error_of_its_own(
    cache: Cache, origin: Origin, manual_clock: ManualClock
) -> None:
    origin.error, origin.gate = OriginError(7), asyncio.Event()
    get = cache.cached()(origin.get)
    tasks = [asyncio.create_task(get("a")) for _ in range(3)]
    await manual_clock.advance(0)
    origin.gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    assert all(isinstance(error, OriginError) and error.code == 7 for error in errors)
    origin.error = None
    assert await get("a") == "a2"  # an error is not kept


async def test_a_leader_who_is_cancelled_takes_nobody_with_it(
    cache: Cache, origin: Origin, manual_clock: ManualClock
) -> None:
    origin.gate = asyncio.Event()
    get = cache.cached()(origin.get)
    leader, follower = (asyncio.create_task(get("a")) for _ in range(2))
    await manual_clock.advance(0)
    leader.cancel()
    await manual_clock.advance(0)
    origin.gate.set()
    assert await follower == "a1"
    assert leader.cancelled()


async def test_when_all_who_waited_have_gone_the_load_is_cancelled(
    cache: Cache, manual_clock: ManualClock
) -> None:
    ended: list[str] = []

    @cache.cached()
    async def get(key: str) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return key

    tasks = [asyncio.create_task(get("a")) for _ in range(2)]
    await manual_clock.advance(0)
    for task in tasks:
        task.cancel()
    await manual_clock.advance(0)
    assert ended == ["cancelled"]
    assert cache.stats().loading == 0


async def test_who_comes_while_a_load_is_being_cancelled_begins_another(
    cache: Cache, origin: Origin, manual_clock: ManualClock
) -> None:
    origin.gate = asyncio.Event()
    get = cache.cached()(origin.get)
    first = asyncio.create_task(get("a"))
    await manual_clock.advance(0)
    first.cancel()
    origin.gate.set()
    await asyncio.sleep(0)
    assert await get("a") == "a2"


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


async def test_keys_can_be_used_by_hand(cache: Cache, origin: Origin) -> None:
    assert await cache.get("k") is None
    assert await cache.get("k", "default") == "default"
    await cache.set("k", [1], tags=["t"])
    assert await cache.get("k") == [1]
    assert await cache.get_or_load("k", lambda: origin.get("x")) == [1]
    await cache.delete("k")
    assert await cache.get_or_load("k", lambda: origin.get("x")) == "x1"
    long = "k" * 5_000
    await cache.set(long, 1)
    assert [await cache.get(long), await cache.get(long + "x")] == [1, None]


async def test_a_loader_that_needs_its_own_result_is_told_so(cache: Cache) -> None:
    @cache.cached()
    async def ping(x: int) -> int:
        return await pong(x)

    @cache.cached()
    async def pong(x: int) -> int:
        return await ping(x)

    with pytest.raises(CacheCycleError, match=r"waits for itself.*pong.*ping.*pong"):
        await ping(1)


async def test_two_loaders_that_need_each_other_are_told_so(
    cache: Cache, manual_clock: ManualClock
) -> None:
    @cache.cached()
    async def one(x: int) -> int:
        await manual_clock.sleep(1)
        return await other(x)

    @cache.cached()
    async def other(x: int) -> int:
        await manual_clock.sleep(2)
        return await one(x)

    tasks = [asyncio.create_task(one(1)), asyncio.create_task(other(1))]
    await manual_clock.advance(5)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [CacheCycleError, CacheCycleError]


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


async def test_a_lower_tier_fills_the_upper_one_for_the_rest_of_a_life(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    one, two = (
        Cache("c", tiers=[MemoryTier(10), BackendTier(backend)], ttl=10, clock=manual_clock)
        for _ in range(2)
    )
    here, there = one.cached()(origin.get), two.cached()(origin.get)
    await here("a")
    manual_clock.tick(6)
    assert [await there("a"), await there("a")] == ["a1", "a1"]
    assert two.stats().hits == {"memory": 1, "memory://": 1}
    manual_clock.tick(4)
    assert await there("a") == "a2"


async def test_another_process_invalidates_by_tag_what_is_read_from_the_backend(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    one, two = (
        Cache("c", tiers=[BackendTier(backend)], ttl=10, clock=manual_clock) for _ in range(2)
    )
    here, there = (each.cached(tags=["t"])(origin.get) for each in (one, two))
    await here("a")
    manual_clock.tick(1)
    await two.invalidate_tags("t")
    manual_clock.tick(1)  # a load that began at that very instant would count as older
    assert [await here("a"), await there("a")] == ["a2", "a2"]


async def test_a_tag_invalidated_elsewhere_during_a_load_makes_its_value_born_invalid(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    one, two = (
        Cache("c", tiers=[BackendTier(backend)], ttl=10, clock=manual_clock) for _ in range(2)
    )
    origin.gate = asyncio.Event()
    get = one.cached(tags=["t"])(origin.get)
    waiting = asyncio.create_task(get("a"))
    await manual_clock.advance(1)
    await two.invalidate_tags("t")
    await manual_clock.advance(1)
    origin.gate.set()
    assert await waiting == "a1"
    assert await get("a") == "a2"


async def test_a_tier_that_is_down_is_skipped_told_once_and_rejoined(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    cache = Cache("c", tiers=[BackendTier(backend)], ttl=10, clock=manual_clock)
    heard: list[Event] = []
    cache.events.subscribe(heard.append)
    get = cache.cached()(origin.get)
    backend.away = True
    assert [await get("a"), await get("a")] == ["a1", "a2"]
    await get.invalidate("a")
    await cache.clear()
    manual_clock.tick(1)
    assert await get("a") == "a3"
    backend.away = False
    manual_clock.tick(1)
    assert [await get("a"), await get("a")] == ["a4", "a4"]
    assert [type(event) for event in heard] == [TierDegraded, TierRestored]


class Price(BaseModel):
    usd: float


async def test_values_come_back_as_their_annotated_type_and_older_shapes_are_misses(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    def make(returns: Any, value: Any) -> Callable[[int], Awaitable[Any]]:
        cache = Cache("c", tiers=[BackendTier(backend)], clock=manual_clock)

        @cache.cached(key=lambda x: "same", type_=returns)
        async def get(x: int) -> Any:
            return value

        # Each in turn is the same function of another release.
        return get

    new = make(Price, Price(usd=1.0))
    assert await new(1) == Price(usd=1.0)
    assert await make(Price, Price(usd=2.0))(1) == Price(usd=1.0)
    assert await make(int, 5)(1) == 5


async def test_what_can_not_be_written_stays_in_memory_and_is_counted(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    cache = Cache("c", tiers=TIERS["both"](backend), clock=manual_clock)

    @cache.cached()
    async def get(x: int) -> Any:
        return lambda: x

    assert await get(1) is await get(1)
    assert cache.stats().unwritable == 1


async def test_foreign_bytes_in_the_backend_are_a_miss(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    cache = Cache("c", tiers=[BackendTier(backend)], clock=manual_clock)
    for junk in (b"", b"x", b"\0" * 35, b"\1" * 35, b"\xff" * 100):
        await backend.set("cache:c:1:value:k", junk)
        assert await cache.get_or_load("k", lambda: origin.get("k")) == f"k{len(origin.calls)}"
    assert cache.stats().unreadable == {"memory://": 5}


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
