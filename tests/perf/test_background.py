"""Background tasks and the queue of work: limits, turns, errors that are told, and the end."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Event
from mobius_infra.perf import Background, WorkClosedError, WorkFailed, WorkFullError, WorkQueue
from mobius_infra.perf._workqueue import rank_of
from mobius_infra.testing import ManualClock

pytestmark = pytest.mark.usefixtures("nothing_is_left")

who: ContextVar[str] = ContextVar("who", default="nobody")


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Gates:
    """Calls that end when they are told to."""

    def __init__(self) -> None:
        self.begun: dict[str, asyncio.Future[str]] = {}
        self.cancelled: list[str] = []
        self.seen: list[str] = []

    async def call(self, item: str) -> str:
        gate = self.begun[item] = asyncio.get_running_loop().create_future()
        self.seen.append(who.get())
        try:
            result: str = await gate
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        return result

    def end(self, item: str) -> None:
        self.begun[item].set_result(item)

    @property
    def order(self) -> str:
        return "".join(self.begun)


@pytest.fixture
def gates() -> Gates:
    return Gates()


class TestBackground:
    async def test_no_more_are_under_way_than_the_limit_and_others_wait_in_order(
        self, gates: Gates
    ) -> None:
        async with Background("b", limit=2, queue=2) as background:
            tasks = [background.create_task(gates.call(each)) for each in "abcd"]
            with pytest.raises(WorkFullError, match="'b' is full: its limit is 2, 2 wait"):
                _ = background.create_task(gates.call("e"))
            await turns()
            assert gates.order == "ab"
            stats = background.stats()
            assert (stats.under_way, stats.waiting, stats.rejected) == (2, 2, 1)
            gates.end("b")
            await turns()
            assert gates.order == "abc"
            for each in "acd":
                await turns()
                gates.end(each)
            assert [await task for task in tasks] == list("abcd")
        assert background.stats().succeeded == 4
        assert repr(background) == "Background('b', 0 tasks, limit=2, closed)"

    async def test_an_error_is_told_and_logged_and_the_others_go_on(
        self, gates: Gates, caplog: pytest.LogCaptureFixture, manual_clock: ManualClock
    ) -> None:
        heard: list[Event] = []
        error = OSError("gone")
        async with Background("b", clock=manual_clock) as background:
            background.events.subscribe(heard.append)
            _ = background.create_task(gates.call("a"), name="a's")
            other = background.create_task(gates.call("b"))
            await turns()
            gates.begun["a"].set_exception(error)
            await turns()
            gates.end("b")
            assert await other == "b"
        assert heard == [WorkFailed(source="b", at=manual_clock.time(), work="a's", error=error)]
        assert "'b': a's failed" in caplog.text
        assert background.stats().failed == 1

    @pytest.mark.parametrize("step", range(5))
    async def test_a_slot_is_never_lost_by_a_cancellation(self, gates: Gates, step: int) -> None:
        async with Background("b", limit=1) as background:
            tasks = [background.create_task(gates.call(each)) for each in "abc"]
            await turns(step)
            tasks[1].cancel()
            await turns()
            gates.end("a")
            await turns()
            assert gates.order == "ac"
            gates.end("c")

    @pytest.mark.parametrize("step", range(4))
    async def test_a_slot_that_is_given_to_one_who_is_just_cancelled_goes_on(
        self, gates: Gates, step: int
    ) -> None:
        async with Background("b", limit=1) as background:
            tasks = [background.create_task(gates.call(each)) for each in "abc"]
            await turns()
            gates.end("a")
            await turns(step)
            tasks[1].cancel()
            await turns()
            assert "c" in gates.begun
            assert background.stats().under_way == 1
            gates.end("c")

    async def test_what_does_not_end_in_time_is_cancelled(
        self, gates: Gates, manual_clock: ManualClock
    ) -> None:
        background = Background("b", limit=1, clock=manual_clock)
        for each in "ab":
            _ = background.create_task(gates.call(each))
        closing = asyncio.create_task(background.close(5))
        await manual_clock.advance(4.9)
        assert not closing.done()
        with pytest.raises(WorkClosedError):
            _ = background.create_task(gates.call("c"))
        await manual_clock.advance(0.1)
        assert await closing == 2
        assert gates.cancelled == ["a"]
        assert background.stats().cancelled == 2

    async def test_closing_that_is_cancelled_cancels_the_tasks(self, gates: Gates) -> None:
        background = Background("b")
        _ = background.create_task(gates.call("a"))
        closing = asyncio.create_task(background.close())
        await turns()
        closing.cancel()
        await turns()
        assert closing.cancelled()
        assert gates.cancelled == ["a"]

    async def test_draining_waits_and_takes_more(
        self, gates: Gates, manual_clock: ManualClock
    ) -> None:
        background = Background("b", clock=manual_clock)
        assert await background.drain()
        _ = background.create_task(gates.call("a"))
        draining = asyncio.create_task(background.drain(1))
        await manual_clock.advance(1)
        assert not await draining
        draining = asyncio.create_task(background.drain())
        await turns()
        gates.end("a")
        assert await draining

    async def test_a_task_keeps_the_context_of_whoever_made_it_and_is_not_collected(
        self, gates: Gates
    ) -> None:
        async with Background("b") as background:
            who.set("me")
            _ = background.create_task(gates.call("a"))
            who.set("you")
            await turns()
            gc.collect()
            assert gates.seen == ["me"]
            gates.end("a")

    async def test_what_can_not_work_is_refused(self) -> None:
        for field, value in (("limit", 0), ("queue", -1), ("grace", float("inf"))):
            with pytest.raises(ConfigurationError, match=field):
                Background("b", **{field: value})  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="coroutine"):
            _ = Background("b").create_task(turns)  # type: ignore[arg-type]


class TestWorkQueue:
    async def test_the_most_urgent_comes_first_and_equals_as_they_came(self, gates: Gates) -> None:
        async with WorkQueue("q", gates.call) as queue:
            for item, priority in (("x", 9), ("a", 1), ("b", 0), ("c", 1), ("d", -1)):
                await queue.put(item, priority)
            assert len(queue) == 4
            await turns()
            for item in "xdbac":
                gates.end(item)
                await turns()
        assert gates.order == "xdbac"
        assert queue.stats().succeeded == 5

    async def test_what_has_waited_long_overtakes_what_is_more_urgent(
        self, gates: Gates, manual_clock: ManualClock
    ) -> None:
        for aging, expected in ((10, "xoldnew"), (None, "xnewold")):
            mine = Gates()
            async with WorkQueue("q", mine.call, aging=aging, clock=manual_clock) as queue:
                await queue.put("x")
                await queue.put("old", 2)
                manual_clock.tick(21)
                await queue.put("new", 0)
                for _ in range(3):
                    await turns()
                    mine.end([*mine.begun][-1])
            assert mine.order == expected

    @settings(max_examples=200, deadline=None)
    @given(
        st.tuples(st.integers(-20, 20), st.integers(0, 1000)),
        st.tuples(st.integers(-20, 20), st.integers(0, 1000)),
        st.integers(1, 100),
        st.integers(1000, 10_000),
    )
    def test_the_rank_is_the_order_of_effective_priorities_at_any_time(
        self, one: tuple[int, int], two: tuple[int, int], aging: int, later: int
    ) -> None:
        def effective(item: tuple[int, int]) -> int:
            return item[0] * aging - (later - item[1])

        ranks = rank_of(*one, aging), rank_of(*two, aging)
        assert (ranks[0] < ranks[1]) == (effective(one) < effective(two))

    async def test_a_full_queue_makes_its_callers_wait_and_the_urgent_go_in_first(
        self, gates: Gates
    ) -> None:
        async with WorkQueue("q", gates.call, size=1) as queue:
            await queue.put("a")
            await queue.put("b")
            with pytest.raises(WorkFullError):
                queue.put_nowait("z")
            late = asyncio.create_task(queue.put("c", 5))
            await turns()
            soon = asyncio.create_task(queue.put("d", 1))
            gone = asyncio.create_task(queue.put("e", 0))
            await turns()
            gone.cancel()
            await turns()
            gates.end("a")
            await turns()
            assert soon.done()
            assert not late.done()
            for each in "bdc":
                gates.end(each)
                await turns()
        assert gates.order == "abdc"

    async def test_a_put_cancelled_when_room_was_just_made_leaves_no_item(
        self, gates: Gates
    ) -> None:
        async with WorkQueue("q", gates.call, size=1) as queue:
            for each in "ab":
                await queue.put(each)
            putting = asyncio.create_task(queue.put("c"))
            other = asyncio.create_task(queue.put("d"))
            await turns()
            gates.end("a")
            while not queue.stats().succeeded:
                await asyncio.sleep(0)
            putting.cancel()
            await turns()
            assert putting.cancelled()
            gates.end("b")
            await other
            await turns()
            gates.end("d")
        assert gates.order == "abd"

    @pytest.mark.parametrize("step", range(6))
    async def test_room_is_not_given_to_one_who_is_just_being_cancelled(
        self, gates: Gates, step: int
    ) -> None:
        async with WorkQueue("q", gates.call, size=1) as queue:
            for each in "ab":
                await queue.put(each)
            putting = asyncio.create_task(queue.put("c"))
            await turns()
            gates.end("a")
            await turns(step)
            putting.cancel()
            await asyncio.wait([putting])
            gates.end("b")
            await queue.put("d")
            await turns()
            if "c" in gates.begun:  # it was let in before
                gates.end("c")
                await turns()
            gates.end("d")
        assert queue.stats().succeeded == len(gates.begun)

    async def test_what_ends_though_it_is_cancelled_was_handled(
        self, manual_clock: ManualClock
    ) -> None:
        async def finish(item: str) -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()

        queue = WorkQueue("q", finish, clock=manual_clock)
        queue.put_nowait("a")
        queue.put_nowait("b")
        await turns()
        assert await queue.close(0) == ["b"]
        assert queue.stats().succeeded == 1

    async def test_an_error_of_the_handler_is_told_and_the_next_follows(
        self, gates: Gates, caplog: pytest.LogCaptureFixture
    ) -> None:
        heard: list[Event] = []
        async with WorkQueue("q", gates.call) as queue:
            queue.events.subscribe(heard.append)
            await queue.put("a" * 200)
            await queue.put("b")
            await turns()
            gates.begun["a" * 200].set_exception(OSError("gone"))
            await turns()
            gates.end("b")
        assert isinstance(heard[0], WorkFailed)
        assert len(heard[0].work) == 100
        assert queue.stats().failed == 1
        assert "gone" in caplog.text

    async def test_closing_gives_back_what_was_not_done(
        self, gates: Gates, manual_clock: ManualClock
    ) -> None:
        queue = WorkQueue("q", gates.call, size=2, clock=manual_clock)
        for each, priority in (("a", 0), ("b", 2), ("c", 1)):
            queue.put_nowait(each, priority)
        blocked = asyncio.create_task(queue.put("d"))
        await turns()
        closing = asyncio.create_task(queue.close(1))
        await manual_clock.advance(1)
        assert await closing == ["a", "c", "b"]
        with pytest.raises(WorkClosedError):
            await blocked
        with pytest.raises(WorkClosedError):
            await queue.put("e")
        assert repr(queue) == "WorkQueue('q', 0 under way, 0 wait, closed)"

    async def test_each_item_has_the_context_of_whoever_put_it(self, gates: Gates) -> None:
        async with WorkQueue("q", gates.call) as queue:
            for each in "ab":
                who.set(each)
                await queue.put(each)
            who.set("other")
            for each in "ab":
                await turns()
                gates.end(each)
        assert gates.seen == ["a", "b"]

    @pytest.mark.parametrize(
        ("field", "value"),
        [("limit", True), ("size", 0), ("aging", 0), ("aging", float("nan")), ("grace", -1)],
    )
    async def test_what_can_not_work_is_refused(
        self, gates: Gates, field: str, value: float
    ) -> None:
        make: Callable[..., object] = WorkQueue
        with pytest.raises(ConfigurationError, match=field):
            make("q", gates.call, **{field: value})
        with pytest.raises(ConfigurationError, match="priority"):
            await WorkQueue("q", gates.call).put("a", float("nan"))
