"""Bounded maps and gathers: limits, order, back pressure, errors, cancellation; nothing is left."""

import asyncio
import gc
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import assert_type

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.perf import gather_bounded, map_bounded

pytestmark = pytest.mark.usefixtures("nothing_is_left")

place: ContextVar[str] = ContextVar("place", default="nowhere")


class Gated:
    """Calls that end when they are told to; keeps how many were under way at once."""

    def __init__(self) -> None:
        self.under_way: dict[int, asyncio.Future[None]] = {}
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self.most = 0

    async def call(self, item: int) -> int:
        gate = self.under_way[item] = asyncio.get_running_loop().create_future()
        self.begun.append(item)
        self.most = max(self.most, len(self.under_way))
        try:
            await gate
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        finally:
            del self.under_way[item]
        return item * 10


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def double(item: int) -> int:
    await asyncio.sleep(0)
    return item * 2


async def stream(items: range) -> AsyncGenerator[int, None]:
    for item in items:
        await asyncio.sleep(0)
        yield item


async def test_results_come_from_sync_and_async_sources() -> None:
    for source in (range(25), stream(range(25))):
        results = [each async for each in map_bounded(double, source, limit=4)]
        assert_type(results, list[int])
        assert sorted(results) == [2 * each for each in range(25)]
    assert [each async for each in map_bounded(double, [], limit=4)] == []


async def test_results_come_as_they_end_or_in_order() -> None:
    for ordered, expected in ((False, [20, 0, 10]), (True, [0, 10, 20])):
        gated = Gated()
        results: list[int] = []

        async def collect(
            gated: Gated = gated, results: list[int] = results, ordered: bool = ordered
        ) -> None:
            async for each in map_bounded(gated.call, range(3), limit=3, ordered=ordered):
                results.append(each)  # noqa: PERF401 - seen while it grows

        task = asyncio.create_task(collect())
        await turns()
        for item in (2, 0, 1):
            gated.under_way[item].set_result(None)
            await turns()
            assert ordered or results[-1] == item * 10
        await task
        assert results == expected


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("ahead", [0, 1, 3])
async def test_no_more_are_taken_from_the_source_than_there_is_room_for(
    ordered: bool, ahead: int
) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        for item in itertools.count():
            taken += 1
            yield item

    results = map_bounded(double, endless(), limit=4, ahead=ahead, ordered=ordered)
    async with aclosing(results):
        for number in range(1, 30):
            await anext(results)
            await turns()
            # All that may be under way or wait beside the one in hand.
            assert taken == number + 4 + ahead


async def test_calls_go_on_while_the_results_are_slowly_taken() -> None:
    gated = Gated()
    results = map_bounded(gated.call, range(10), limit=2)
    async with aclosing(results):
        first = asyncio.ensure_future(anext(results))
        await turns()
        gated.under_way[0].set_result(None)
        assert await first == 0
        gated.under_way[1].set_result(None)
        await turns()
        assert sorted(gated.under_way) == [2, 3]


async def test_the_first_error_cancels_the_others_waits_for_them_and_is_raised_as_itself() -> None:
    gated = Gated()
    error = OSError("gone")

    async def take() -> None:
        async for _ in map_bounded(gated.call, itertools.count(), limit=3):
            pass

    task = asyncio.create_task(take())
    await turns()
    gated.under_way[1].set_exception(error)
    with pytest.raises(OSError, match="gone") as caught:
        await task
    assert caught.value is error
    assert gated.begun == [0, 1, 2]
    assert gated.cancelled == [0, 2]
    assert not gated.under_way


async def test_others_are_cancelled_at_once_however_slowly_results_are_taken() -> None:
    gated = Gated()
    results = map_bounded(gated.call, itertools.count(), limit=2)
    first = asyncio.ensure_future(anext(results))
    await turns()
    gated.under_way[0].set_result(None)
    await first
    await turns()
    gated.under_way[1].set_exception(OSError("gone"))
    await turns()
    assert not gated.under_way
    with pytest.raises(OSError, match="gone"):
        await anext(results)


async def test_what_fails_while_it_ends_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def call(item: int) -> None:
        try:
            await asyncio.sleep(item * 1000)
            raise OSError("first")
        finally:
            if item:
                raise ValueError("second")

    with pytest.raises(OSError, match="first"):
        async for _ in map_bounded(call, range(2), limit=2):
            pass
    record = caplog.records[0]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "second"


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_error_of_the_source_is_raised_and_cancels_the_calls(is_async: bool) -> None:
    gated = Gated()

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("source")

    async def broken_stream() -> AsyncIterator[int]:
        for each in broken():
            yield each

    source = broken_stream() if is_async else broken()
    with pytest.raises(OSError, match="source"):
        async for _ in map_bounded(gated.call, source, limit=3):
            pass
    assert gated.cancelled == gated.begun


async def test_leaving_early_cancels_what_is_under_way_and_waits_for_it() -> None:
    gated = Gated()
    results = map_bounded(gated.call, itertools.count(), limit=3)
    async with aclosing(results):
        first = asyncio.ensure_future(anext(results))
        await turns()
        gated.under_way[2].set_result(None)
        assert await first == 20
        await turns()
    assert not gated.under_way
    assert sorted(gated.cancelled) == [0, 1, 3]


async def test_a_break_without_closing_leaves_nothing_either() -> None:
    gated = Gated()

    async def take() -> int:
        async for each in map_bounded(gated.call, range(100), limit=3):
            return each
        return -1

    task = asyncio.create_task(take())
    await turns()
    gated.under_way[0].set_result(None)
    assert await task == 0
    del task
    gc.collect()
    await turns()
    assert not gated.under_way


@pytest.mark.parametrize("step", range(40))
@pytest.mark.parametrize("ordered", [False, True])
async def test_cancelled_at_any_step_it_leaves_nothing(step: int, ordered: bool) -> None:
    begun: list[int] = []

    async def call(item: int) -> int:
        begun.append(item)
        try:
            return await double(item)
        finally:
            begun.remove(item)

    async def take() -> int:
        number = 0
        results = map_bounded(call, stream(range(6)), limit=2, ordered=ordered)
        async with aclosing(results):
            async for _ in results:
                number += 1
                await asyncio.sleep(0)
        return number

    task = asyncio.create_task(take())
    await turns(step)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or task.result() == 6
    assert not begun
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_each_call_has_context_variables_of_its_own() -> None:
    seen: list[str] = []

    async def call(item: int) -> None:
        seen.append(place.get())
        place.set(f"call {item}")
        await asyncio.sleep(0)
        assert place.get() == f"call {item}"

    place.set("caller")
    async for _ in map_bounded(call, range(5), limit=2):
        pass
    assert seen == ["caller"] * 5


async def test_a_call_that_cancels_itself_is_an_end_like_an_error() -> None:
    async def call(item: int) -> int:
        if item == 3:
            raise asyncio.CancelledError
        return await double(item)

    with pytest.raises(asyncio.CancelledError):
        async for _ in map_bounded(call, range(9), limit=2, ordered=True):
            pass


@settings(max_examples=50, deadline=None)
@given(
    delays=st.lists(st.integers(0, 4), max_size=30),
    limit=st.integers(1, 6),
    ahead=st.integers(0, 6),
    ordered=st.booleans(),
)
def test_whatever_ends_when_each_result_comes_once_and_the_limits_hold(
    delays: list[int], limit: int, ahead: int, ordered: bool
) -> None:
    async def run() -> None:
        under_way = most = held = 0

        async def call(item: tuple[int, int]) -> int:
            nonlocal under_way, most, held
            under_way += 1
            held += 1
            most = max(most, under_way)
            assert held <= limit + ahead
            await turns(item[1])
            under_way -= 1
            return item[0]

        results = []
        source = list(enumerate(delays))
        async for each in map_bounded(call, source, limit=limit, ahead=ahead, ordered=ordered):
            held -= 1
            results.append(each)
        assert most <= limit
        assert (results if ordered else sorted(results)) == list(range(len(delays)))

    asyncio.run(run())


async def test_gathered_results_are_in_order_and_never_more_than_the_limit_at_once() -> None:
    gated = Gated()
    task = asyncio.create_task(gather_bounded(map(gated.call, range(9)), limit=3))
    while not task.done():
        await turns(3)
        if gated.under_way:
            gated.under_way[max(gated.under_way)].set_result(None)
    assert_type(await task, list[int])
    assert await task == [each * 10 for each in range(9)]
    assert gated.most == 3


async def test_gathering_a_list_closes_what_was_never_begun() -> None:
    async def fail() -> int:
        raise OSError("gone")

    # A coroutine that is dropped without being awaited would warn, and warnings are errors.
    with pytest.raises(OSError, match="gone"):
        await gather_bounded([fail(), *map(double, range(20))], limit=1)
    with pytest.raises(ConfigurationError):
        await gather_bounded([double(1)], limit=0)
    gc.collect()


async def test_gathering_can_put_errors_in_their_places() -> None:
    async def odd(item: int) -> int:
        if item % 2:
            raise OSError(item)
        return item

    results = await gather_bounded(map(odd, range(4)), limit=2, return_exceptions=True)
    assert_type(results, list[int | Exception])
    assert [str(each) for each in results] == ["0", "1", "2", "3"]


async def test_futures_are_gathered_too_and_cancelled_with_the_rest() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(gather_bounded([future, double(1)], limit=2))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.cancelled()


async def test_what_can_not_work_is_refused() -> None:
    for limit in (0, -1, True, 1.5, float("nan"), None):
        with pytest.raises(ConfigurationError, match="limit"):
            map_bounded(double, [1], limit=limit)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="ahead"):
        map_bounded(double, [1], limit=1, ahead=-1)
    with pytest.raises(ConfigurationError, match="source"):
        map_bounded(double, 5, limit=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="func"):
        map_bounded(None, [1], limit=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="async function"):
        async for _ in map_bounded(str, [1], limit=1):  # type: ignore[arg-type]
            pass
