"""One load for all who wait, whoever of them is cancelled."""

import asyncio

import pytest

from mobius_infra.cache import (
    Cache,
    CacheCycleError,
)
from mobius_infra.testing import ManualClock
from tests.cache.support import Origin, OriginError


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
    cache: Cache, manual_clock: ManualClock
) -> None:
    calls = 0

    @cache.cached()
    async def get(key: str) -> str:
        nonlocal calls
        calls += 1
        number = calls
        try:
            await manual_clock.sleep(1)
        finally:
            await manual_clock.sleep(1)  # puts things in order first
        return f"{key}{number}"

    first = asyncio.create_task(get("a"))
    await manual_clock.advance(0.5)
    first.cancel()
    await manual_clock.advance(0.1)
    second = asyncio.create_task(get("a"))
    await manual_clock.advance(5)
    assert second.result() == "a2"


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


async def test_closing_gives_up_what_is_loaded_behind_and_leaves_those_who_wait(
    origin: Origin, manual_clock: ManualClock
) -> None:
    cache = Cache("c", ttl=10, revalidate_for=100, clock=manual_clock)
    async with cache:
        get = cache.cached()(origin.get)
        assert [await get("a"), await get("b")] == ["a1", "b2"]
        manual_clock.tick(11)
        origin.gate = asyncio.Event()
        assert [await get("a"), await get("b")] == ["a1", "b2"]  # loaded anew behind
        manual_clock.tick(100)
        waiting = asyncio.create_task(get("a"))
        await manual_clock.advance(0)
    assert cache.stats().loading == 1
    origin.gate.set()
    assert await waiting == "a3"
    assert await get.peek("b") is None
