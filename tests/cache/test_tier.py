"""One tier in a backend: what is read with nothing else to be done, and when more has to be."""

import asyncio

import pytest

from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky, Origin, Slow


class Watched(Flaky):
    """A backend that counts what it is asked, whose clock may be wrong, and whose marks wait."""

    __slots__ = ("ahead", "asked", "gates")

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.asked: list[str] = []
        self.ahead = 0.0
        self.gates: dict[str, asyncio.Event] = {}  # by the last letter of what is written

    async def now(self) -> float:
        self.asked.append("now")
        return await super().now() + self.ahead

    async def get_many(self, keys: object) -> list[bytes | None]:
        self.asked.append("get_many")
        return await super().get_many(keys)  # type: ignore[arg-type]  # handed on

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, ttl: float | None = None
    ) -> bool:
        if key[-1] in self.gates:
            await self.gates[key[-1]].wait()
        return await super().compare_and_set(key, expected, value, ttl)


@pytest.fixture
def watched(manual_clock: ManualClock) -> Watched:
    return Watched(manual_clock)


@pytest.fixture
def cache(watched: Watched, manual_clock: ManualClock) -> Cache:
    return Cache("c", tiers=[BackendTier(watched)], ttl=100, clock=manual_clock)


async def test_a_hit_is_one_question(cache: Cache, watched: Watched, origin: Origin) -> None:
    get = cache.cached(key="{key}", tags=["tag:{key}", "all"])(origin.get)
    await get("a")
    watched.asked.clear()
    assert await get("a") == "a1"
    assert watched.asked == ["get_many"]


async def test_the_backend_s_clock_is_looked_at_again_after_a_while(
    cache: Cache, watched: Watched, manual_clock: ManualClock
) -> None:
    await cache.set("k", "v")
    watched.ahead = 95.0
    manual_clock.tick(9)
    assert await cache.get("k") == "v"
    manual_clock.tick(2)
    assert await cache.get("k") is None


async def test_what_is_asked_for_during_an_invalidation_is_not_the_old_value(
    watched: Watched, origin: Origin, manual_clock: ManualClock
) -> None:
    tiers = (MemoryTier(), BackendTier(watched))
    cache = Cache("c", tiers=tiers, ttl=100, clock=manual_clock)
    get = cache.cached(key="{key}")(origin.get)
    assert await get("a") == "a1"
    manual_clock.tick(1)
    watched.gates["a"] = asyncio.Event()
    forgetting = asyncio.create_task(get.invalidate("a"))
    await manual_clock.advance(1)
    asking = asyncio.create_task(get("a"))
    await manual_clock.advance(1)
    watched.gates["a"].set()
    await forgetting
    assert await asking == "a2"
    assert await get("a") == "a2"


async def test_an_invalidation_that_comes_while_another_is_applied_is_waited_for_too(
    cache: Cache, watched: Watched, origin: Origin, manual_clock: ManualClock
) -> None:
    get = cache.cached(key="{key}")(origin.get)
    assert [await get("a"), await get("b")] == ["a1", "b2"]
    manual_clock.tick(1)
    watched.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    first = asyncio.create_task(get.invalidate("a"))
    await manual_clock.advance(0)
    other = asyncio.create_task(get("c"))  # applies the first, too
    await manual_clock.advance(0)
    second = asyncio.create_task(get.invalidate("b"))
    await manual_clock.advance(0)
    watched.gates["a"].set()
    await manual_clock.advance(0)
    asking = asyncio.create_task(get("b"))
    await manual_clock.advance(0)
    watched.gates["b"].set()
    await asyncio.gather(first, second, other)
    assert await asking in ("b3", "b4")


async def test_after_a_failure_nothing_is_asked_before_the_clock_is_known_again(
    cache: Cache, watched: Watched, manual_clock: ManualClock
) -> None:
    await cache.set("k", "v")
    watched.away = True
    assert await cache.get("k") is None
    watched.asked.clear()
    assert await cache.get("k") is None
    assert watched.asked == []
    watched.away = False
    manual_clock.tick(1)
    assert await cache.get("k") == "v"
    assert watched.asked == ["now", "get_many"]


async def test_what_all_invalidations_by_prefix_were_is_read_again_when_it_has_changed(
    cache: Cache, watched: Watched, manual_clock: ManualClock
) -> None:
    other = Cache("c", tiers=[BackendTier(watched)], ttl=100, clock=manual_clock)
    for prefix in ("a", "b", "c"):
        await cache.set(f"{prefix}1", prefix)
        manual_clock.tick(1)
        assert await cache.get(f"{prefix}1") == prefix
        await other.invalidate_prefix(prefix)
        assert await cache.get(f"{prefix}1") is None
    await cache.set("d1", "d")
    assert await cache.get("d1") == "d"


async def test_all_who_ask_while_a_tier_is_read_get_what_was_found_by_one_question(
    origin: Origin, manual_clock: ManualClock
) -> None:
    slow = Slow(manual_clock)
    cache = Cache("c", tiers=[BackendTier(slow)], ttl=100, clock=manual_clock)
    get = cache.cached(key="{key}")(origin.get)
    await get("a")
    gate = slow.hold("get_many")
    asking = [asyncio.create_task(get("a")) for _ in range(3)]
    await manual_clock.advance(0)
    gate.set()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*asking) == ["a1"] * 3
    assert cache.stats().hits == {"memory": 0, "memory://": 1}
