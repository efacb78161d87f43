"""How long values serve: ends, early refreshes, old values in need, and cached errors."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky, Origin, OriginError


def make(manual_clock: ManualClock, **options: Any) -> Cache:
    return Cache("c", **{"ttl": 10, "clock": manual_clock, **options})


async def test_jitter_shortens_a_life_by_its_share(
    origin: Origin, manual_clock: ManualClock
) -> None:
    draws = iter([0.0, 1.0])
    cache = make(manual_clock, jitter=0.5, early=0, draw=lambda: next(draws))
    get = cache.cached()(origin.get)
    await get("whole")
    await get("half")
    manual_clock.tick(4.9)
    assert await get("half") == "half2"
    manual_clock.tick(0.2)
    assert await get.peek("half") is None
    assert await get("whole") == "whole1"
    manual_clock.tick(4.8)
    assert await get.peek("whole") == "whole1"
    manual_clock.tick(0.2)
    assert await get.peek("whole") is None


async def test_an_idle_value_ends_and_one_that_is_asked_for_lives_to_its_ttl(
    origin: Origin, manual_clock: ManualClock
) -> None:
    get = make(manual_clock, idle_ttl=3).cached()(origin.get)
    await get("asked")
    await get("idle")
    for _ in range(4):
        manual_clock.tick(2)
        assert await get("asked") == "asked1"
    assert await get("idle") == "idle3"
    manual_clock.tick(2)
    assert await get("asked") == "asked4"  # its ten seconds are over, however often it was asked


async def test_a_ttl_may_come_from_the_value(origin: Origin, manual_clock: ManualClock) -> None:
    cache = make(manual_clock)

    @cache.cached(ttl=float)
    async def of(seconds: int) -> int:
        origin.calls.append(str(seconds))
        return seconds

    await of(1)
    await of(5)
    await of(0)  # not kept
    manual_clock.tick(2)
    await of(1)
    await of(5)
    await of(0)
    assert origin.calls == ["1", "5", "0", "1", "0"]


async def test_only_what_is_worth_it_is_kept(origin: Origin, manual_clock: ManualClock) -> None:
    get = make(manual_clock).cached(when=lambda value: value != "a1")(origin.get)
    assert [await get("a") for _ in range(3)] == ["a1", "a2", "a2"]


async def test_copies_are_each_callers_own(manual_clock: ManualClock) -> None:
    cache = make(manual_clock)

    @cache.cached(copies=True)
    async def own(x: int) -> list[int]:
        return [x]

    @cache.cached()
    async def shared(x: int) -> list[int]:
        return [x]

    (await own(1)).append(2)
    assert await own(1) == [1]
    assert await shared(1) is await shared(1)


async def test_an_exception_is_cached_only_when_asked_and_raised_as_each_callers_own(
    origin: Origin, manual_clock: ManualClock
) -> None:
    origin.error = OriginError(7)
    cache = make(manual_clock, error_ttl=2)
    get = cache.cached()(origin.get)
    raised = []
    for _ in range(3):
        with pytest.raises(OriginError) as caught:
            await get("a")
        raised.append(caught.value)
    assert len(origin.calls) == 1
    assert len({id(error) for error in raised}) == 3
    assert all(error.code == 7 for error in raised)
    assert cache.stats().errors_served == 2
    assert await get.peek("a") is None
    assert await cache.get("nothing") is None
    manual_clock.tick(2)
    origin.error = None
    assert await get("a") == "a2"


async def test_an_old_value_serves_rather_than_a_cached_error(
    origin: Origin, manual_clock: ManualClock
) -> None:
    get = make(manual_clock, error_ttl=5, stale_for=100).cached()(origin.get)
    await get("a")
    manual_clock.tick(11)
    origin.error = OriginError(1)
    assert [await get("a"), await get("a")] == ["a1", "a1"]
    origin.error = None
    assert await get("a") == "a4"


@pytest.mark.parametrize("where", ["memory", "backend"])
async def test_what_has_ended_is_served_at_once_while_it_is_loaded_anew(
    where: str, backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    tiers = [MemoryTier()] if where == "memory" else [MemoryTier(), BackendTier(backend)]
    async with make(manual_clock, tiers=tiers, revalidate_for=5) as first:
        await first.cached()(origin.get)("a")
        cache = first
        if where == "backend":
            cache = make(manual_clock, tiers=[MemoryTier(), BackendTier(backend)], revalidate_for=5)
        get = cache.cached()(origin.get)
        manual_clock.tick(12)
        origin.gate = asyncio.Event()
        assert [await get("a") for _ in range(3)] == ["a1"] * 3
        await asyncio.sleep(0)
        assert len(origin.calls) == 2  # one load for all of them
        origin.gate.set()
        await manual_clock.advance(0)
        assert await get("a") == "a2"
        assert cache.stats().revalidated == 3
        manual_clock.tick(15.1)  # past the window: now it is waited for
        assert await get("a") == "a3"


async def test_a_failed_reload_behind_is_counted_and_told_to_nobody(
    origin: Origin, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, revalidate_for=5)
    get = cache.cached()(origin.get)
    await get("a")
    manual_clock.tick(11)
    origin.error = OriginError(1)
    assert await get("a") == "a1"
    await manual_clock.advance(0)
    assert cache.stats().load_errors == 1
    assert cache.stats().loading == 0


async def test_a_slow_load_is_not_waited_for_longer_than_the_soft_time_out(
    origin: Origin, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, stale_for=100, soft_timeout=0.5)
    get = cache.cached()(origin.get)
    await get("a")
    manual_clock.tick(11)
    origin.gate = asyncio.Event()
    waiting = [asyncio.create_task(get("a")) for _ in range(3)]
    await manual_clock.advance(0.6)
    assert [task.result() for task in waiting] == ["a1"] * 3
    assert cache.stats().stale == 3
    assert len(origin.calls) == 2
    origin.gate.set()  # the load has gone on behind, and what it brings is kept
    await manual_clock.advance(0)
    assert await get.peek("a") == "a2"


async def test_without_an_old_value_a_slow_load_is_waited_for(
    origin: Origin, manual_clock: ManualClock
) -> None:
    get = make(manual_clock, stale_for=100, soft_timeout=0.5).cached()(origin.get)
    origin.gate = asyncio.Event()
    waiting = asyncio.create_task(get("a"))
    await manual_clock.advance(5)
    assert not waiting.done()
    origin.gate.set()
    assert await waiting == "a1"


async def test_a_value_is_refreshed_before_its_end_the_likelier_the_nearer(
    manual_clock: ManualClock,
) -> None:
    calls = 0
    draw = 0.5

    async def slow(key: str) -> int:
        nonlocal calls
        calls += 1
        await manual_clock.sleep(1)
        return calls

    cache = make(manual_clock, ttl=100, draw=lambda: draw)
    get = cache.cached()(slow)
    first = asyncio.create_task(get("a"))
    await manual_clock.advance(1)
    assert await first == 1
    # A load takes 1 s; with a draw of 0.5 the refresh comes ln 2 = 0.69 s before the end.
    manual_clock.tick(98.5)
    assert await get("a") == 1
    assert cache.stats().early == 0
    manual_clock.tick(1)
    assert [await get("a"), await get("a")] == [1, 1]  # nobody waits
    assert cache.stats().early == 1
    await manual_clock.advance(1)
    assert await get.peek("a") == 2
    manual_clock.tick(50)
    assert await get("a") == 2


async def test_what_is_invalidated_while_it_is_loaded_behind_is_not_kept(
    origin: Origin, manual_clock: ManualClock
) -> None:
    cache = make(manual_clock, revalidate_for=50)
    get = cache.cached(tags=["t"])(origin.get)
    await get("a")
    await get("b")
    manual_clock.tick(11)
    origin.gate = asyncio.Event()
    assert [await get("a"), await get("b")] == ["a1", "b2"]
    await asyncio.sleep(0)
    await get.invalidate("a")
    await cache.invalidate_tags("t")
    origin.gate.set()
    await manual_clock.advance(0)
    assert [await get.peek("a"), await get.peek("b")] == [None, None]
    assert [await get("a"), await get("b")] == ["a5", "b6"]


async def test_neither_a_cleared_nor_an_invalidated_value_serves_in_need(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    tiers = [MemoryTier(), BackendTier(backend)]
    cache = make(manual_clock, tiers=tiers, stale_for=100, revalidate_for=50, soft_timeout=1)
    get = cache.cached(tags=["t"])(origin.get)
    ways: list[Callable[[], Awaitable[None]]] = [
        lambda: get.invalidate("a"),
        lambda: cache.invalidate_tags("t"),
        get.invalidate_all,
        lambda: cache.invalidate_prefix(""),
        cache.clear,
    ]
    for forget in ways:
        origin.error = None
        manual_clock.tick(1)
        await get("a")
        manual_clock.tick(12)
        await forget()
        origin.error = OriginError(1)
        with pytest.raises(OriginError):
            await get("a")


async def test_errors_keep_no_frames_and_odd_ones_pass(manual_clock: ManualClock) -> None:
    cache = make(manual_clock)

    @cache.cached()
    async def fails(kind: str) -> None:
        if kind == "group":
            raise ExceptionGroup("both", [ValueError(1), KeyError(2)])
        raise StopIteration

    with pytest.raises(ExceptionGroup) as caught:
        await fails("group")
    assert [type(each) for each in caught.value.exceptions] == [ValueError, KeyError]
    with pytest.raises(RuntimeError, match="StopIteration"):  # as Python turns it into
        await fails("stop")
    assert cache.stats().loading == 0


class Held:
    """Something that a frame holds."""


async def test_a_cached_exception_keeps_no_frame_alive(manual_clock: ManualClock) -> None:
    cache = make(manual_clock, error_ttl=100)
    held: list[weakref.ref[Held]] = []

    @cache.cached()
    async def fails() -> None:
        local = Held()
        held.append(weakref.ref(local))
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise OriginError(1) from error

    for _ in range(2):
        with contextlib.suppress(OriginError):
            await fails()
    await asyncio.sleep(0)  # the event loop lets go of what it has just delivered
    gc.collect()
    assert cache.stats().errors_served == 1
    assert [each() for each in held] == [None]
    (entry,) = cache._engine.store.memory.entries.values()
    kept = entry.value.error
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)
