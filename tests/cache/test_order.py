"""What is invalidated, set or cancelled while something else is under way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mobius_infra.cache import BackendTier, Cache, MemoryTier, TierRestored, WriteBehind
from mobius_infra.cache._owed import Invalidation
from mobius_infra.core import Event
from mobius_infra.testing import ManualClock
from tests.cache.support import TIERS, Flaky, Origin, OriginError, Slow

FORGET: dict[str, Callable[[Cache], Awaitable[None]]] = {
    "key": lambda cache: cache.delete("a"),
    "tag": lambda cache: cache.invalidate_tags("t"),
    "prefix": lambda cache: cache.invalidate_prefix(""),
    "all": lambda cache: cache.clear(),
}


def make(manual_clock: ManualClock, *tiers: MemoryTier | BackendTier, **options: Any) -> Cache:
    return Cache("c", tiers=tiers, **{"ttl": 10, "early": 0, "clock": manual_clock, **options})


# Who asks after an invalidation gets nothing from before it.


@pytest.mark.parametrize("soft_timeout", [None, 5.0])
@pytest.mark.parametrize("forget", FORGET.values(), ids=FORGET)
async def test_who_asks_after_an_invalidation_does_not_join_a_load_from_before_it(
    forget: Callable[[Cache], Awaitable[None]],
    soft_timeout: float | None,
    origin: Origin,
    manual_clock: ManualClock,
) -> None:
    cache = make(manual_clock, MemoryTier(), soft_timeout=soft_timeout)

    async def get() -> Any:
        return await cache.get_or_load("a", lambda: origin.get("a"), tags=["t"])

    origin.gate = asyncio.Event()
    before = asyncio.create_task(get())
    await manual_clock.advance(1)
    await forget(cache)
    after = [asyncio.create_task(get()) for _ in range(2)]
    await manual_clock.advance(1)
    origin.gate.set()
    assert [await before, *[await each for each in after]] == ["a1", "a2", "a2"]
    assert await get() == "a2"


async def test_nobody_joins_a_load_longer_than_an_invalidation_may_go_unheard(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    one, two = (
        make(manual_clock, MemoryTier(max_ttl=2), BackendTier(backend), ttl=100) for _ in range(2)
    )
    here, there = (each.cached(key="{key}")(origin.get) for each in (one, two))
    origin.gate = asyncio.Event()
    first = asyncio.create_task(there("a"))
    await manual_clock.advance(1)
    await here.invalidate("a")
    second = asyncio.create_task(there("a"))
    await manual_clock.advance(1)
    third = asyncio.create_task(there("a"))
    await manual_clock.advance(0)
    origin.gate.set()
    assert [await first, await second, await third] == ["a1", "a1", "a2"]


async def test_a_load_under_way_does_not_replace_what_was_set_meanwhile(
    origin: Origin, manual_clock: ManualClock
) -> None:
    """Not even one that began when the old value was forgotten and the new one not yet there."""
    messages = Slow(manual_clock)
    async with make(manual_clock, MemoryTier(), backplane=messages) as cache:
        await manual_clock.advance(1)
        gate = messages.hold("publish")
        setting = asyncio.create_task(cache.set("k", "new"))
        await manual_clock.advance(0.1)
        origin.gate = asyncio.Event()
        loading = asyncio.create_task(cache.get_or_load("k", lambda: origin.get("old")))
        await manual_clock.advance(0.1)
        gate.set()
        await setting
        origin.gate.set()
        assert await loading == "old1"
        assert await cache.get("k") == "new"


# What was read before an invalidation does not come back in need.


@pytest.mark.parametrize("forget", FORGET.values(), ids=FORGET)
@pytest.mark.parametrize("memory", [False, True])
async def test_what_was_old_when_it_was_invalidated_does_not_serve_a_load_under_way(
    memory: bool,
    forget: Callable[[Cache], Awaitable[None]],
    backend: Flaky,
    origin: Origin,
    manual_clock: ManualClock,
) -> None:
    tiers: list[MemoryTier | BackendTier] = [MemoryTier()] if memory else []
    cache = make(manual_clock, *tiers, BackendTier(backend), stale_for=100)

    async def get() -> Any:
        return await cache.get_or_load("a", lambda: origin.get("a"), tags=["t"])

    await get()
    manual_clock.tick(20)
    origin.gate = asyncio.Event()
    loading = asyncio.create_task(get())
    await manual_clock.advance(1)
    await forget(cache)
    origin.error = OriginError(1)
    origin.gate.set()
    with pytest.raises(OriginError):
        await loading


@pytest.mark.parametrize("what", [Invalidation(tags=("t",)), Invalidation(keys=("a",))])
async def test_what_is_invalidated_between_its_discovery_and_the_load_does_not_serve(
    what: Invalidation, origin: Origin, manual_clock: ManualClock
) -> None:
    """The turn of the event loop between a look into the tiers in vain and the load."""
    backend = Slow(manual_clock)
    cache = make(manual_clock, BackendTier(backend), stale_for=100, revalidate_for=100)

    async def get() -> Any:
        return await cache.get_or_load("a", lambda: origin.get("a"), tags=["t"])

    await get()
    manual_clock.tick(20)
    await cache.get("any")
    gate = backend.hold("get_many")
    loading = asyncio.create_task(get())
    await manual_clock.advance(1)
    gate.set()
    origin.error = OriginError(1)
    while not cache._engine._under_way:
        await asyncio.sleep(0)
    cache._engine.forget(what)
    with pytest.raises(OriginError):
        await loading


async def test_an_invalidation_of_other_values_leaves_what_serves_in_need(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, BackendTier(backend), stale_for=100)
    get = cache.cached(tags=["{key}"])(origin.get)
    await get("a")
    manual_clock.tick(20)
    origin.gate = asyncio.Event()
    loading = asyncio.create_task(get("a"))
    await manual_clock.advance(1)
    await cache.invalidate_tags("b")
    await cache.invalidate_prefix("b")
    origin.error = OriginError(1)
    origin.gate.set()
    assert await loading == "a1"


@pytest.mark.parametrize("where", TIERS)
async def test_what_serves_in_need_has_its_end_also_while_a_load_is_waited_for(
    where: str, backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, *TIERS[where](backend), stale_for=30)
    get = cache.cached()(origin.get)
    await get("a")
    manual_clock.tick(20)
    origin.gate, origin.error = asyncio.Event(), OriginError(1)
    loading = asyncio.create_task(get("a"))
    await manual_clock.advance(20)
    origin.gate.set()
    with pytest.raises(OriginError):
        await loading


async def test_a_loader_that_ignores_its_cancellation_stores_nothing(
    manual_clock: ManualClock,
) -> None:
    cache = make(manual_clock, MemoryTier())

    @cache.cached()
    async def stubborn(key: str) -> str:
        try:
            await manual_clock.sleep(100)
        except asyncio.CancelledError:
            return "half"
        return "whole"

    task = asyncio.create_task(stubborn("a"))
    await manual_clock.advance(1)
    task.cancel()
    await manual_clock.advance(1)
    assert await stubborn.peek("a") is None


# What lives, and for how long.


@pytest.mark.parametrize("how", ["key", "tag", "prefix", "all"])
async def test_what_was_stored_too_late_is_never_valid_however_long_it_lives(
    how: str, backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    """Its record is there for longer than any load takes; the mark must be there longer still."""
    ttl = 30 * 86400.0
    one, two = (make(manual_clock, BackendTier(backend), ttl=ttl) for _ in range(2))
    here, there = (each.cached(key="{key}", tags=["t"])(origin.get) for each in (one, two))
    origin.gate = asyncio.Event()
    loading = asyncio.create_task(here("a"))
    await manual_clock.advance(1)
    if how == "key":
        await there.invalidate("a")
    else:
        await FORGET[how](two)
    origin.gate.set()
    await loading
    for _ in range(60):
        manual_clock.tick(ttl / 60)
        assert await there.peek("a") is None


async def test_no_value_outlives_the_marks_of_its_tier(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, BackendTier(backend, mark_ttl=5), stale_for=100)
    await cache.set("k", 1)
    manual_clock.tick(4.9)
    assert await cache.get("k") == 1
    manual_clock.tick(0.2)
    assert await cache.get("k") is None


async def test_a_slow_tier_adds_nothing_to_a_life(manual_clock: ManualClock) -> None:
    near, far = Slow(manual_clock), Flaky(manual_clock)
    cache = make(manual_clock, BackendTier(near), BackendTier(far))
    gate = near.hold("set")
    setting = asyncio.create_task(cache.set("k", "v"))
    await manual_clock.advance(6)
    gate.set()
    await setting
    await manual_clock.advance(4)
    assert await make(manual_clock, BackendTier(far)).get("k") is None
    assert await make(manual_clock, BackendTier(near)).get("k") is None


async def test_a_slow_tier_makes_nothing_younger_that_it_is_given_from_below(
    manual_clock: ManualClock,
) -> None:
    near, far = Slow(manual_clock), Slow(manual_clock)
    writer = make(manual_clock, BackendTier(far), ttl=100)
    await writer.set("short", "v")
    await writer.set("marked", "v", tags=["t"])
    manual_clock.tick(0.5)
    await make(manual_clock, BackendTier(near)).invalidate_tags("t")  # has not reached `far` yet
    reader = make(manual_clock, BackendTier(near), BackendTier(far), ttl=100)
    reading = far.hold("get_many")
    lifting = asyncio.create_task(reader.get_many(["short", "marked"]))
    await manual_clock.advance(11)
    asking = near.hold("now")  # not asked for so long, `near` is asked for its time again
    reading.set()
    await manual_clock.advance(3)
    asking.set()
    await lifting
    fresh = make(manual_clock, BackendTier(near))
    assert await fresh.get_many(["short", "marked"]) == {"short": "v"}
    manual_clock.tick(86)
    assert await fresh.get("short") is None


async def test_what_waits_to_be_written_ends_in_its_time(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    tier = BackendTier(backend, write_behind=WriteBehind(interval=1000))
    async with make(manual_clock, tier) as cache:
        get = cache.cached()(origin.get)
        await get("a")
        manual_clock.tick(11)
        origin.error = OriginError(1)
        with pytest.raises(OriginError):
            await get("a")


# Marks of tiers.


@pytest.mark.parametrize("how", ["key", "tag", "prefix", "all"])
async def test_a_mark_that_is_written_late_does_not_move_another_back(
    how: str, origin: Origin, manual_clock: ManualClock
) -> None:
    slow = Slow(manual_clock)
    caches = [make(manual_clock, BackendTier(slow), ttl=1000) for _ in range(3)]
    one, two, three = (each.cached(key="{key}", tags=["t"])(origin.get) for each in caches)

    def forget(number: int, get: Any) -> Any:
        return get.invalidate("a") if how == "key" else FORGET[how](caches[number])

    late = slow.hold("compare_and_set")
    first = asyncio.create_task(forget(0, one))
    await manual_clock.advance(1)
    slow.hold("compare_and_set").set()  # others' go through
    origin.gate = asyncio.Event()
    loading = asyncio.create_task(three("a"))
    await manual_clock.advance(1)
    await forget(1, two)
    late.set()
    await first
    origin.gate.set()
    await loading
    assert await three.peek("a") is None


async def test_what_is_invalidated_again_while_it_is_applied_is_still_owed(
    origin: Origin, manual_clock: ManualClock
) -> None:
    slow = Slow(manual_clock)
    one, two = (make(manual_clock, BackendTier(slow), ttl=1000) for _ in range(2))
    await one.get("any")
    slow.away = True
    await one.invalidate_tags("t")
    slow.away = False
    manual_clock.tick(1)
    gate = slow.hold("compare_and_set")
    settling = asyncio.create_task(one.get("any"))  # the one that tries whether it is back
    await manual_clock.advance(0)
    slow.hold("compare_and_set").set()  # others' go through
    manual_clock.tick(0.1)
    await two.set("k", "old", tags=["t"])
    manual_clock.tick(0.1)
    await one.invalidate_tags("t")  # skips the tier
    gate.set()
    await settling
    manual_clock.tick(1)
    await one.get("any")
    assert await two.get("k") is None


async def test_an_invalidation_that_is_cancelled_is_applied_to_every_tier_all_the_same(
    manual_clock: ManualClock,
) -> None:
    near, far = Slow(manual_clock), Flaky(manual_clock)
    cache = make(manual_clock, BackendTier(near), BackendTier(far))
    await cache.set("k", "old")
    gate = near.hold("compare_and_set")
    deleting = asyncio.create_task(cache.delete("k"))
    await manual_clock.advance(1)
    deleting.cancel()
    await manual_clock.advance(1)
    gate.set()
    assert await cache.get("k") is None
    assert await make(manual_clock, BackendTier(far)).get("k") is None


async def test_nothing_invalidated_is_no_sign_that_a_tier_is_back(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, BackendTier(backend))
    heard: list[Event] = []
    cache.events.subscribe(heard.append)
    backend.away = True
    await cache.get("any")
    manual_clock.tick(1)
    await cache.delete()
    assert TierRestored not in map(type, heard)
