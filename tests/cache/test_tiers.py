"""Several tiers: lives, outages, and writing behind."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from mobius_infra.cache import (
    BackendTier,
    Cache,
    MemoryTier,
    TierDegraded,
    TierRestored,
    ValueUnwritable,
    WriteBehind,
)
from mobius_infra.core import ConfigurationError, Event
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky, Origin, Slow


def make(manual_clock: ManualClock, *tiers: MemoryTier | BackendTier, **options: Any) -> Cache:
    return Cache("c", tiers=tiers, **{"ttl": 10, "clock": manual_clock, **options})


async def test_a_hit_in_the_lowest_fills_all_above_for_the_rest_of_its_life(
    origin: Origin, manual_clock: ManualClock
) -> None:
    near, far = Flaky(manual_clock), Flaky(manual_clock)
    writer = make(manual_clock, BackendTier(far))
    await writer.set("k", "v")
    manual_clock.tick(6)
    reader = make(manual_clock, MemoryTier(), BackendTier(near), BackendTier(far))
    assert await reader.get("k") == "v"
    far.away = True
    fresh = make(manual_clock, BackendTier(near))
    assert await fresh.get("k") == "v"
    manual_clock.tick(4)
    assert await fresh.get("k") is None
    assert await reader.get("k") is None


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
    assert cache.stats().tier_errors == {"memory://": 1}
    manual_clock.tick(1)
    assert await get("a") == "a3"
    backend.away = False
    manual_clock.tick(1)
    assert [await get("a"), await get("a")] == ["a4", "a4"]
    assert [type(event) for event in heard] == [TierDegraded, TierRestored]


@pytest.mark.parametrize("skew", [-1000.0, 1000.0])
async def test_a_wrong_clock_of_one_process_changes_no_life(
    skew: float, manual_clock: ManualClock
) -> None:
    backend = Flaky(manual_clock)
    await make(manual_clock, BackendTier(backend)).set("k", "v")
    wrong = ManualClock(start=77.0 + skew, epoch=1.0)
    other = make(wrong, MemoryTier(), BackendTier(backend))
    manual_clock.tick(9)
    wrong.tick(9)
    assert await other.get("k") == "v"
    manual_clock.tick(1)
    wrong.tick(1)
    assert await other.get("k") is None


@pytest.mark.parametrize("how", ["key", "tag", "prefix", "all", "many"])
async def test_what_was_invalidated_while_a_tier_was_down_is_not_served_after_its_return(
    how: str, backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, MemoryTier(), BackendTier(backend), ttl=1000)
    heard: list[Event] = []
    cache.events.subscribe(heard.append)
    get = cache.cached(tags=["t"])(origin.get)
    await get("a")
    manual_clock.tick(1)
    backend.away = True
    match how:
        case "key":
            await get.invalidate("a")
        case "tag":
            await cache.invalidate_tags("t")
        case "prefix":
            await get.invalidate_all()
        case "all":
            await cache.clear()
        case _:  # past what is remembered, all of the tier becomes invalid
            for number in range(10_001):
                await cache.delete(f"k{number}")
    manual_clock.tick(60)
    backend.away = False
    if how == "many":
        await cache.get("any")
    else:
        assert await get("a") == "a2"
    assert TierRestored in [type(event) for event in heard]
    manual_clock.tick(1)
    assert await make(manual_clock, BackendTier(backend)).cached()(origin.get)("a") == "a2"


async def test_a_load_that_began_before_an_invalidation_elsewhere_is_stored_in_vain(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    """By key, by prefix, and as a whole: in the lower tier the value is born invalid."""
    one, two = (make(manual_clock, BackendTier(backend)) for _ in range(2))
    get = one.cached(key="{key}")(origin.get)
    for forget in (two.cached(key="{key}")(origin.get).invalidate, None):
        origin.gate = asyncio.Event()
        loading = asyncio.create_task(get("a"))
        await manual_clock.advance(1)
        if forget is None:
            await two.clear()
        else:
            await forget("a")
        await manual_clock.advance(1)
        origin.gate.set()
        await loading
        assert await two.cached(key="{key}")(origin.get).peek("a") is None


async def test_marks_of_tags_that_the_call_does_not_name_are_looked_up_too(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    one, two = (make(manual_clock, BackendTier(backend)) for _ in range(2))
    await one.set("k", "v", tags=["t"])
    manual_clock.tick(1)
    assert await two.get("k") == "v"
    await two.invalidate_tags("t")
    assert await one.get("k") is None


async def test_without_a_backplane_memory_asks_the_lower_tier_again_after_its_bound(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    one = make(manual_clock, MemoryTier(max_ttl=2), BackendTier(backend), ttl=100)
    two = make(manual_clock, BackendTier(backend), ttl=100)
    await one.set("k", "old", tags=["t"])
    manual_clock.tick(1)
    await two.invalidate_tags("t")
    assert await one.get("k") == "old"
    manual_clock.tick(1)
    assert await one.get("k") is None


async def test_the_bound_counts_from_when_the_lower_tier_was_asked(
    origin: Origin, manual_clock: ManualClock
) -> None:
    backend = Slow(manual_clock)
    one = make(manual_clock, MemoryTier(max_ttl=2), BackendTier(backend), ttl=100)
    two = make(manual_clock, BackendTier(backend), ttl=100)
    await two.set("k", "old", tags=["t"])
    await one.get("any")
    gate = backend.hold("get_many")
    reading = asyncio.create_task(one.get_or_load("k", lambda: origin.get("k"), tags=["t"]))
    await manual_clock.advance(1.5)
    await two.invalidate_tags("t")
    gate.set()
    assert await reading == "old"
    await manual_clock.advance(1)
    assert await one.get("k") is None


async def test_a_value_that_can_not_be_written_is_told_of_once(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, MemoryTier(), BackendTier(backend))
    heard: list[Event] = []
    cache.events.subscribe(heard.append)

    @cache.cached()
    async def odd(x: int) -> Any:
        return object()

    for number in range(3):
        assert await odd(number) is await odd(number)
    assert [type(event) for event in heard] == [ValueUnwritable]
    assert cache.stats().unwritable == 3


async def test_what_is_owed_is_applied_although_nobody_asks(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    async with make(manual_clock, BackendTier(backend), ttl=1000) as cache:
        await cache.set("k", "old")
        await manual_clock.advance(1)
        backend.away = True
        await cache.delete("k")
        backend.away = False
        await manual_clock.advance(2)
        assert await make(manual_clock, BackendTier(backend)).get("k") is None


@pytest.mark.parametrize("how", ["key", "tag", "prefix", "all"])
@pytest.mark.parametrize("read", ["call", "peek", "get"])
async def test_what_is_invalidated_while_a_lower_tier_is_read_is_not_kept_in_memory(
    how: str, read: str, origin: Origin, manual_clock: ManualClock
) -> None:
    backend = Slow(manual_clock)
    writer, cache = (make(manual_clock, MemoryTier(), BackendTier(backend)) for _ in range(2))
    await writer.cached(key="{key}", tags=["t"])(origin.get)("a")
    await writer.set("a", "a1", tags=["t"])
    manual_clock.tick(1)
    get = cache.cached(key="{key}", tags=["t"])(origin.get)
    await cache.get("other")  # knows the backend's time from now on
    gate = backend.hold("get_many")
    job: Coroutine[Any, Any, Any]
    match read:
        case "call":
            job = get("a")
        case "peek":
            job = get.peek("a")
        case _:
            job = cache.get("a")
    reading = asyncio.create_task(job)
    await manual_clock.advance(1)
    forgetting: asyncio.Future[Any]
    match how:
        case "key":
            forgetting = asyncio.gather(get.invalidate("a"), cache.delete("a"))
        case "tag":
            forgetting = asyncio.gather(cache.invalidate_tags("t"))
        case "prefix":
            forgetting = asyncio.gather(cache.invalidate_prefix(""))
        case _:
            forgetting = asyncio.gather(cache.clear())
    await manual_clock.advance(1)
    gate.set()
    await forgetting
    value = await reading
    if read == "call":  # those who waited may have either, and get the newer where it is loaded
        assert value == ("a1" if how == "key" else "a2")
    manual_clock.tick(1)
    assert await get.peek("a") is None
    assert await cache.get("a") is None


class Counting(MemoryBackend):
    __slots__ = ("batches", "writes")

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.writes = 0
        self.batches: list[int] = []

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.writes += 1
        await super().set(key, value, ttl)

    async def set_many(self, items: Any, ttl: float | None = None) -> None:
        self.batches.append(len(items))
        await super().set_many(items, ttl)


async def test_writing_behind_batches_reads_its_own_writes_and_flushes_on_close(
    manual_clock: ManualClock,
) -> None:
    backend = Counting(manual_clock)
    behind = WriteBehind(interval=1.0, batch=40, max_pending=100)
    async with make(manual_clock, BackendTier(backend, write_behind=behind)) as cache:
        await asyncio.gather(*(cache.set(f"k{number}", number) for number in range(90)))
        backend.batches.clear()
        assert await cache.get("k7") == 7
        assert cache.stats().waiting_writes == {"memory://": 90}
        await manual_clock.advance(1)
        assert backend.batches == [40, 40, 10]
        await cache.set("late", 1)
        await cache.set("gone", 1)
        await cache.delete("gone")
    assert backend.writes == 0
    assert cache.stats().waiting_writes == {"memory://": 0}
    manual_clock.tick(0.1)
    other = make(manual_clock, BackendTier(backend))
    assert await other.get_many(["k7", "late", "gone"]) == {"k7": 7, "late": 1}


async def test_what_is_set_again_while_it_is_written_behind_is_written_too(
    manual_clock: ManualClock,
) -> None:
    backend = Slow(manual_clock)
    tier = BackendTier(backend, write_behind=WriteBehind(interval=1.0))
    async with make(manual_clock, tier) as cache:
        await cache.set("k", "old")
        writing = backend.hold("set_many")
        await manual_clock.advance(1)
        await cache.set("k", "new")
        writing.set()
        await manual_clock.advance(1)
    assert await make(manual_clock, BackendTier(backend)).get("k") == "new"


async def test_when_too_many_writes_wait_the_caller_waits_for_a_batch(
    manual_clock: ManualClock,
) -> None:
    backend = Counting(manual_clock)
    behind = WriteBehind(interval=100.0, batch=5, max_pending=10)
    async with make(manual_clock, BackendTier(backend, write_behind=behind)) as cache:
        for number in range(25):
            await cache.set(f"k{number}", number)
            assert cache.stats().waiting_writes["memory://"] <= 10


async def test_what_could_not_be_written_behind_is_counted_as_lost(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    async with make(manual_clock, BackendTier(backend, write_behind=WriteBehind())) as cache:
        await cache.set("a", 1)
        backend.away = True
    assert cache.stats().lost_writes == {"memory://": 1}


async def test_outside_of_its_context_nothing_waits_to_be_written(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, BackendTier(backend, write_behind=WriteBehind()))
    await cache.set("a", 1)
    assert cache.stats().waiting_writes == {"memory://": 0}
    assert await cache.get("a") == 1


@pytest.mark.parametrize("field", ["interval", "batch", "max_pending"])
def test_settings_of_writing_behind_are_positive(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        WriteBehind(**{field: 0})
