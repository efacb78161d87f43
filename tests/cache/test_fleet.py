"""Caches of several processes: one load, and invalidations that reach everyone's memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.core import ConfigurationError, Gap, Message
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky, Origin, OriginError, Slow


@asynccontextmanager
async def fleet(
    manual_clock: ManualClock, backend: Flaky, size: int, **options: Any
) -> AsyncIterator[list[Cache]]:
    """Give caches of the same name, as processes would have them, that hear each other."""
    async with AsyncExitStack() as stack:
        caches = []
        for _ in range(size):
            cache = Cache(
                "c",
                tiers=[MemoryTier(), BackendTier(backend)],
                clock=manual_clock,
                **{"ttl": 1000, "backplane": backend, "max_staleness": 2.0, **options},
            )
            caches.append(await stack.enter_async_context(cache))
        await manual_clock.advance(1)
        yield caches


@pytest.mark.parametrize("how", ["key", "tag", "prefix", "all", "set"])
async def test_an_invalidation_reaches_the_memory_of_all_others(
    how: str, backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 3) as caches:
        gets = [cache.cached(key="{key}", tags=["t"])(origin.get) for cache in caches]
        assert [await get("a") for get in gets] == ["a1"] * 3
        await manual_clock.advance(0.1)
        match how:
            case "key":
                await gets[0].invalidate("a")
            case "tag":
                await caches[0].invalidate_tags("t")
            case "prefix":
                await gets[0].invalidate_all()
            case "all":
                await caches[0].clear()
            case _:
                await gets[0].refresh("a")
        await manual_clock.advance(0.1)
        assert [await get("a") for get in gets] == ["a2"] * 3
        assert [cache.stats().messages_heard for cache in caches] == [0, 1, 1]


async def test_a_load_under_way_elsewhere_keeps_nothing_when_its_key_is_invalidated(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 2) as caches:
        here, there = (cache.cached(key="{key}")(origin.get) for cache in caches)
        origin.gate = asyncio.Event()
        loading = asyncio.create_task(there("a"))
        await manual_clock.advance(0.1)
        await here.invalidate("a")
        await manual_clock.advance(0.1)
        origin.gate.set()
        assert await loading == "a1"
        assert [await here.peek("a"), await there.peek("a")] == [None, None]


async def test_who_hears_nothing_trusts_its_memory_no_longer_than_the_bound(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 2) as caches:
        here, there = (cache.cached(key="{key}", tags=["t"])(origin.get) for cache in caches)
        await here("a")
        assert await there("a") == "a1"
        deaf = caches[1]._engine.backplane
        assert deaf is not None
        deaf._hear = lambda data: None  # type: ignore[method-assign]  # messages get lost
        await manual_clock.advance(0.5)
        await here.invalidate("a")
        await manual_clock.advance(2.0)
        assert await there("a") == "a2"
        # As long as nothing is heard, what it loads lives no longer than the bound either.
        await here.invalidate("a")
        await manual_clock.advance(2.0)
        assert await there("a") == "a3"
        del deaf._hear
        await manual_clock.advance(2.0)
        assert deaf.connected
        assert await there("a") == "a3"
        loads = len(origin.calls)
        await manual_clock.advance(100)
        await there("a")
        assert len(origin.calls) == loads


async def test_what_was_loaded_while_nothing_was_heard_is_doubted_when_it_is_again(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    """The invalidation that was missed came during the load, which ends when all is well again."""
    async with fleet(manual_clock, backend, 2) as caches:
        here, there = (cache.cached(key="{key}")(origin.get) for cache in caches)
        deaf = caches[1]._engine.backplane
        assert deaf is not None
        deaf._hear = lambda data: None  # type: ignore[method-assign]  # messages get lost
        await manual_clock.advance(3)
        origin.gate = asyncio.Event()
        loading = asyncio.create_task(there("a"))
        await manual_clock.advance(0.1)
        await here.invalidate("a")
        await manual_clock.advance(0.1)
        del deaf._hear
        await manual_clock.advance(2)
        assert deaf.connected
        origin.gate.set()
        assert await loading == "a1"
        assert await there("a") == "a2"


async def test_a_gap_in_the_messages_during_a_load_leaves_it_in_doubt(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 1) as (cache,):
        get = cache.cached()(origin.get)
        origin.gate = asyncio.Event()
        loading = asyncio.create_task(get("a"))
        await manual_clock.advance(0.1)
        for queue in backend._queues["cache:c:1"]:
            queue.put(Gap("lost"))
        await manual_clock.advance(0.1)
        origin.gate.set()
        await loading
        hits = cache.stats().hits
        assert await get("a") == "a1"  # as the lower tier says
        assert cache.stats().hits == {**hits, "memory://": hits["memory://"] + 1}


async def test_who_asks_after_a_gap_in_the_messages_joins_no_load_from_before_it(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 1) as (cache,):
        get = cache.cached()(origin.get)
        origin.gate = asyncio.Event()
        before = asyncio.create_task(get("a"))
        await manual_clock.advance(0.1)
        for queue in backend._queues["cache:c:1"]:
            queue.put(Gap("lost"))
        await manual_clock.advance(0.1)
        after = asyncio.create_task(get("a"))
        await manual_clock.advance(0.1)
        origin.gate.set()
        assert [await before, await after] == ["a1", "a2"]


async def test_what_is_doubted_is_still_served_when_all_else_fails(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 1, stale_for=1000) as (cache,):
        get = cache.cached()(origin.get)
        await get("a")
        backend.away = True
        origin.error = OriginError(1)
        await manual_clock.advance(5)
        assert await get("a") == "a1"
        assert cache.stats().stale == 1
        backend.away = False
        origin.error = None
        await manual_clock.advance(15)
        assert await get("a") == "a1"  # the lower tier has it, and it was never invalidated


async def test_a_cache_with_a_backplane_must_be_entered(backend: Flaky) -> None:
    cache = Cache("c", backplane=backend)
    with pytest.raises(ConfigurationError, match="async with"):
        await cache.get_or_load("k", lambda: asyncio.sleep(0))


async def test_foreign_messages_are_counted_and_harm_nothing(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 1) as (cache,):
        before = cache.stats().messages_failed
        for junk in (
            b"", b"\xff", b"[]", b'["x"]', b'["x","invalid",1]', b'{"a":1}', b"null",
            b"[" * 100_000, b'["x","invalid",[],[],[1],false]', b'["x","invalid",[[]],[],[],false]',
        ):  # fmt: skip
            await backend.publish("cache:c:1", junk)
        await manual_clock.advance(1)
        assert cache.stats().messages_failed == before + 10
        await cache.set("k", 1)
        assert await cache.get("k") == 1


async def test_only_its_own_beat_tells_a_process_that_it_hears(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 1) as (cache,):
        plane = cache._engine.backplane
        assert plane is not None
        assert plane.connected
        backend.away = True  # nothing can be sent
        for _ in range(10):
            for queue in backend._queues["cache:c:1"]:
                queue.put(Message("cache:c:1", b'["another","beat",1000000.0]'))
            await manual_clock.advance(0.25)
        assert not plane.connected


@pytest.mark.parametrize("messages", [True, False])
async def test_one_process_loads_and_the_others_wait_for_what_it_stores(
    messages: bool, backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    plane = {} if messages else {"backplane": None}
    async with fleet(manual_clock, backend, 3, lease=10.0, **plane) as caches:
        origin.gate = asyncio.Event()
        gets = [cache.cached(key="{key}")(origin.get) for cache in caches]
        waiting = [asyncio.create_task(get("a")) for get in gets for _ in range(5)]
        await manual_clock.advance(3)
        assert len(origin.calls) == 1
        origin.gate.set()
        await manual_clock.advance(2)
        assert [task.result() for task in waiting] == ["a1"] * 15
        assert sum(cache.stats().waited for cache in caches) == 2


async def test_the_lease_of_a_process_that_died_runs_out(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 2, lease=5.0) as caches:
        dies, lives = (cache.cached(key="{key}")(origin.get) for cache in caches)
        origin.gate = asyncio.Event()
        stuck = asyncio.create_task(dies("a"))
        await manual_clock.advance(0.1)
        waiting = asyncio.create_task(lives("a"))
        await manual_clock.advance(4)
        assert len(origin.calls) == 1
        await manual_clock.advance(2)
        assert len(origin.calls) == 2
        origin.gate.set()
        await manual_clock.advance(1)
        assert waiting.result() == "a2"
        # The load that had outlived its lease does not replace what began later.
        assert stuck.result() == "a1"
        fresh = Cache("c", tiers=[BackendTier(backend)], clock=manual_clock)
        assert await fresh.cached(key="{key}")(origin.get).peek("a") == "a2"


async def test_a_load_that_outlives_its_lease_replaces_nothing_newer_in_memory_either(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 2, lease=5.0) as caches:
        slow, quick = (cache.cached(key="{key}")(origin.get) for cache in caches)
        gate = origin.gate = asyncio.Event()
        late = asyncio.create_task(slow("a"))
        await manual_clock.advance(6)
        origin.gate = None
        assert await quick("a") == "a2"
        gate.set()
        assert await late == "a1"
        assert await slow("a") == "a2"


async def test_who_gets_the_lease_just_after_another_has_stored_does_not_load(
    origin: Origin, manual_clock: ManualClock
) -> None:
    slow = Slow(manual_clock)
    async with fleet(manual_clock, slow, 2, lease=5.0) as caches:
        first, second = (cache.cached(key="{key}")(origin.get) for cache in caches)
        asking = slow.hold("run")
        late = asyncio.create_task(second("a"))
        await manual_clock.advance(0.1)
        slow.hold("run").set()  # others' go through
        await first("a")
        asking.set()
        assert await late == "a1"
        assert len(origin.calls) == 1


async def test_who_is_cancelled_just_when_it_has_the_lease_gives_it_back(
    origin: Origin, manual_clock: ManualClock
) -> None:
    slow = Slow(manual_clock)
    async with fleet(manual_clock, slow, 2, lease=1000.0) as caches:
        gone, next_ = (cache.cached(key="{key}")(origin.get) for cache in caches)
        await caches[0].get("any")
        await caches[1].get("any")
        gate = slow.hold("run")
        task = asyncio.create_task(gone("a"))
        await manual_clock.advance(0)
        reading = slow.hold("get_many")  # the look that follows the lease
        gate.set()
        await manual_clock.advance(0)
        task.cancel()
        await manual_clock.advance(0)
        reading.set()
        asked = asyncio.create_task(next_("a"))
        await manual_clock.advance(1)
        assert asked.result() == "a1"


async def test_a_leader_whose_load_fails_gives_its_turn_to_the_next(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 2, lease=100.0) as caches:
        one, two = (cache.cached(key="{key}")(origin.get) for cache in caches)
        origin.gate = asyncio.Event()
        origin.error = OriginError(1)
        first = asyncio.create_task(one("a"))
        await manual_clock.advance(0.1)
        second = asyncio.create_task(two("a"))
        await manual_clock.advance(0.1)
        gate, origin.gate = origin.gate, None
        gate.set()
        with pytest.raises(OriginError):
            await first
        origin.error = None
        await manual_clock.advance(1)
        assert second.result() == "a2"


async def test_without_a_backend_for_leases_everyone_loads(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    async with fleet(manual_clock, backend, 2, lease=5.0) as caches:
        backend.away = True
        gets = [cache.cached(key="{key}")(origin.get) for cache in caches]
        assert [await get("a") for get in gets] == ["a1", "a2"]
