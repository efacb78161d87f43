"""Coalesced, batched and debounced calls: one piece of work, and who may leave it when."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import assert_type

import pytest

from mobius_infra.core import ConfigurationError, samples
from mobius_infra.perf import (
    BatchKeyError,
    WorkCancelledError,
    WorkCycleError,
    batched,
    coalesced,
    debounced,
    gather_bounded,
)
from mobius_infra.testing import ManualClock

pytestmark = pytest.mark.usefixtures("nothing_is_left")

who: ContextVar[str] = ContextVar("who", default="nobody")


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Work:
    """A function whose calls end when they are told to."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Future[object]] = []
        self.asked: list[object] = []
        self.cancelled = 0
        self.seen: list[str] = []

    async def __call__(self, item: object = None) -> object:
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        self.asked.append(item)
        self.seen.append(who.get())
        try:
            return await gate
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@pytest.fixture
def work() -> Work:
    return Work()


def coalesced_one(work: Work, clock: ManualClock) -> Callable[[], Awaitable[object]]:
    @coalesced("c")
    async def call() -> object:
        return await work()

    return call


def batched_one(work: Work, clock: ManualClock) -> Callable[[], Awaitable[object]]:
    @batched("b")
    async def call(keys: Sequence[int]) -> Mapping[int, object]:
        return {1: await work()}

    return lambda: call(1)


def debounced_one(work: Work, clock: ManualClock) -> Callable[[], Awaitable[object]]:
    @debounced("d", 1, clock=clock)
    async def call() -> object:
        return await work()

    return call


MAKERS = [coalesced_one, batched_one, debounced_one]


@pytest.fixture(params=MAKERS, ids=["coalesced", "batched", "debounced"])
def call(
    request: pytest.FixtureRequest, work: Work, manual_clock: ManualClock
) -> Callable[[], Awaitable[object]]:
    made: Callable[[], Awaitable[object]] = request.param(work, manual_clock)
    return made


Call = Callable[[], Awaitable[object]]


async def start(call: Call, clock: ManualClock, number: int = 3) -> list[asyncio.Future[object]]:
    tasks: list[asyncio.Future[object]] = []
    tasks += [asyncio.ensure_future(call()) for _ in range(number)]
    await turns()
    await clock.advance(1)
    return tasks


class TestAll:
    async def test_callers_share_one_result(
        self, call: Call, work: Work, manual_clock: ManualClock
    ) -> None:
        tasks = await start(call, manual_clock)
        work.gates[0].set_result("it")
        assert await asyncio.gather(*tasks) == ["it"] * 3
        assert len(work.asked) == 1

    async def test_each_caller_gets_an_error_of_its_own_that_shows_where_it_came_from(
        self, call: Call, work: Work, manual_clock: ManualClock
    ) -> None:
        tasks = await start(call, manual_clock)
        error = OSError(5, "broken")
        work.gates[0].set_exception(error)
        raised = await asyncio.gather(*tasks, return_exceptions=True)
        assert raised[0] is error
        assert [(type(each), str(each)) for each in raised] == [(OSError, "[Errno 5] broken")] * 3
        assert len(set(map(id, raised))) == 3

    async def test_one_who_is_cancelled_takes_nobody_with_it(
        self, call: Call, work: Work, manual_clock: ManualClock
    ) -> None:
        tasks = await start(call, manual_clock)
        tasks[0].cancel()
        tasks[2].cancel()
        await turns()
        assert not work.cancelled
        work.gates[0].set_result("it")
        assert await tasks[1] == "it"
        assert tasks[0].cancelled()
        assert tasks[2].cancelled()

    async def test_when_all_have_gone_the_work_is_cancelled_and_that_is_not_kept(
        self, call: Call, work: Work, manual_clock: ManualClock
    ) -> None:
        for task in await start(call, manual_clock):
            task.cancel()
        # Asked for anew before the cancelled work has had a turn to end.
        await asyncio.sleep(0)
        again = asyncio.ensure_future(call())
        await turns()
        await manual_clock.advance(1)
        assert work.cancelled == 1
        assert len(work.gates) == 2
        work.gates[1].set_result("new")
        assert await again == "new"

    async def test_work_that_is_cancelled_from_inside_is_an_error_for_its_callers(
        self, call: Call, work: Work, manual_clock: ManualClock
    ) -> None:
        tasks = await start(call, manual_clock)
        work.gates[0].cancel()
        for task in tasks:
            with pytest.raises(WorkCancelledError, match="not its callers"):
                await task
        again = (await start(call, manual_clock, 1))[0]
        work.gates[1].set_result("new")
        assert await again == "new"

    async def test_context_variables_are_kept(
        self, call: Call, work: Work, manual_clock: ManualClock
    ) -> None:
        who.set("me")
        tasks = await start(call, manual_clock, 1)
        work.gates[0].set_result(None)
        await tasks[0]
        assert work.seen == ["me"]

    async def test_an_error_that_comes_as_the_last_caller_goes_is_not_reported(
        self, call: Call, work: Work, manual_clock: ManualClock
    ) -> None:
        for order in (False, True):
            tasks = await start(call, manual_clock, 2)
            gate = work.gates.pop()
            for task in tasks if order else []:
                task.cancel()
            gate.set_exception(OSError())
            for task in [] if order else tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            del gate, task, tasks
            gc.collect()

    @pytest.mark.parametrize("step", range(8))
    async def test_cancelled_at_any_step_nothing_is_left(
        self, call: Call, work: Work, manual_clock: ManualClock, step: int
    ) -> None:
        task = asyncio.ensure_future(call())
        await turns(step)
        manual_clock.tick(1)
        await turns(1)
        task.cancel()
        await asyncio.wait([task])
        again = (await start(call, manual_clock, 1))[0]
        work.gates[-1].set_result("new")
        assert await again == "new"

    async def test_the_end_of_the_loop_ends_it_all(self, work: Work) -> None:
        for make in MAKERS:

            async def main(make: Callable[[Work, ManualClock], Call] = make) -> None:
                call = make(work, ManualClock(auto_jump=True))
                task = asyncio.ensure_future(call())
                await turns()
                assert not task.done()

            await asyncio.to_thread(asyncio.run, main())


class TestCoalesced:
    async def test_arguments_are_told_apart_by_type_too(self, work: Work) -> None:
        shared = coalesced("c")(work.__call__)
        tasks = [asyncio.ensure_future(shared(each)) for each in (1, True, 1.0, "1", 1)]
        await turns()
        for gate in work.gates:
            gate.set_result(None)
        await asyncio.gather(*tasks)
        assert work.asked == [1, True, 1.0, "1"]

    async def test_named_arguments_are_told_apart_by_type_too(self, work: Work) -> None:
        call = coalesced("c")(work)
        tasks = [asyncio.ensure_future(call(item=each)) for each in (1, True, 1.0, 1)]
        await turns()
        assert list(map(type, work.asked)) == [int, bool, float]
        for gate in work.gates:
            gate.set_result(None)
        await asyncio.gather(*tasks)

    async def test_a_call_of_a_loop_that_was_stopped_midway_is_not_shared_by_another(self) -> None:
        @coalesced("c")
        async def call() -> asyncio.AbstractEventLoop:
            await asyncio.sleep(0)
            return asyncio.get_running_loop()

        def run() -> bool:
            first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
            left = first.create_task(call())
            first.call_soon(first.call_soon, first.stop)
            first.run_forever()
            found = second.run_until_complete(asyncio.wait_for(call(), 30))
            first.run_until_complete(left)
            first.close()
            second.close()
            return found is second

        assert await asyncio.to_thread(run)

    async def test_a_key_names_what_is_the_same(self) -> None:
        runs = 0

        @coalesced("c", key="{user}")
        async def call(user: str, number: int) -> int:
            nonlocal runs
            runs += 1
            await turns()
            return number

        assert [*await asyncio.gather(call("a", 1), call("a", 2), call("b", 3))] == [1, 1, 3]
        assert runs == 2
        assert_type(await call("a", number=7), int)

    async def test_work_that_waits_for_itself_is_told_so(self) -> None:
        @coalesced("first")
        async def first() -> None:
            await asyncio.sleep(0)
            await second()

        @coalesced("second")
        async def second() -> None:
            await asyncio.sleep(0)
            await first()

        results = await asyncio.gather(first(), second(), return_exceptions=True)
        assert all(isinstance(each, WorkCycleError) for each in results)

    async def test_work_that_waits_no_longer_may_be_waited_for(self) -> None:
        may_ask, gave_up, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

        @coalesced("a")
        async def a() -> str:
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await b()
            gave_up.set()
            await may_end.wait()
            return "a"

        @coalesced("b")
        async def b() -> str:
            await may_ask.wait()
            return await a()

        asking = asyncio.ensure_future(b())
        await turns()
        first = asyncio.ensure_future(a())
        await gave_up.wait()
        may_ask.set()
        await turns()
        may_end.set()
        assert (await first, await asking) == ("a", "a")

    async def test_a_task_that_the_work_has_left_behind_may_wait_for_it(self) -> None:
        behind: list[asyncio.Task[None]] = []

        @coalesced("c")
        async def call(depth: int = 0) -> None:
            if not behind:
                behind.append(asyncio.create_task(call()))
            await turns()

        await call()
        await behind[0]

    async def test_numbers_and_repr(self, work: Work) -> None:
        shared = coalesced("rates")
        call = shared(work.__call__)
        tasks = [asyncio.ensure_future(call()) for _ in range(3)]
        await turns()
        assert repr(shared) == "Coalesced('rates', under_way=1)"
        for task in tasks:
            task.cancel()
        await turns()
        numbers = {each.name: each.value for each in samples(shared.stats())}
        assert numbers == {"started": 1, "joined": 2, "abandoned": 1, "under_way": 0}


class TestBatched:
    async def test_keys_are_collected_to_a_size_and_asked_for_once(self) -> None:
        batches: list[list[int]] = []
        by = batched("squares", max_size=3)

        @by
        async def square(keys: Sequence[int]) -> Mapping[int, int]:
            batches.append(list(keys))
            return {key: key * key for key in keys}

        results = await asyncio.gather(*(square(each) for each in (1, 2, 1, 3, 4, 4)))
        assert_type(results, list[int])
        assert results == [1, 4, 1, 9, 16, 16]
        assert batches == [[1, 2, 3], [4]]
        numbers = {each.name: each.value for each in samples(by.stats())}
        assert numbers == {"calls": 6, "batches": 2, "keys": 4}
        assert repr(by) == "Batched('squares', max_size=3, max_wait=0)"

    async def test_a_batch_waits_as_long_as_it_may(self, manual_clock: ManualClock) -> None:
        batches: list[list[int]] = []

        @batched("b", max_wait=0.5, clock=manual_clock)
        async def same(keys: Sequence[int]) -> Mapping[int, int]:
            batches.append(list(keys))
            return {key: key for key in keys}

        one = asyncio.ensure_future(same(1))
        await manual_clock.advance(0.4)
        two = asyncio.ensure_future(same(2))
        await manual_clock.advance(0.09)
        assert not batches
        await manual_clock.advance(0.01)
        assert (await one, await two) == (1, 2)
        assert batches == [[1, 2]]

    async def test_who_leaves_a_batch_that_has_begun_leaves_the_next_one_alone(self) -> None:
        batches: list[list[int]] = []
        gates: list[asyncio.Future[None]] = []

        @batched("b", max_size=2, max_wait=60)
        async def few(keys: Sequence[int]) -> Mapping[int, int]:
            batches.append(list(keys))
            gates.append(asyncio.get_running_loop().create_future())
            await gates[-1]
            return {key: key for key in keys}

        begun = [asyncio.ensure_future(few(each)) for each in (1, 2)]
        await turns()
        collected = asyncio.ensure_future(few(3))
        await turns()
        gates[0].set_result(None)
        assert [await each for each in begun] == [1, 2]
        joined = asyncio.ensure_future(few(4))
        await turns()
        assert batches == [[1, 2], [3, 4]]
        gates[1].set_result(None)
        assert (await collected, await joined) == (3, 4)

    async def test_what_can_be_no_key_opens_no_batch(self) -> None:
        by = batched("b")

        @by
        async def same(keys: Sequence[object]) -> Mapping[object, object]:
            return {key: key for key in keys}

        with pytest.raises(TypeError, match="unhashable"):
            await same([])
        await turns()
        assert (by.stats().calls, by.stats().batches) == (0, 0)

    async def test_errors_come_by_key(self) -> None:
        broken = OSError("three")

        @batched("b")
        async def some(keys: Sequence[int]) -> Mapping[int, str | Exception]:
            found: dict[int, str | Exception] = {1: "one", 3: broken}
            return found

        one, two, three, again = await gather_bounded(
            map(some, (1, 2, 3, 3)), limit=4, return_exceptions=True
        )
        assert one == "one"
        assert isinstance(two, BatchKeyError)
        assert two.fields() == {"name": "b", "key": 2}
        assert str(three) == str(again) == "three"
        assert three is not again

    async def test_who_leaves_before_the_batch_begins_takes_his_key_with_him(
        self, manual_clock: ManualClock
    ) -> None:
        batches: list[list[int]] = []

        @batched("b", max_wait=1, clock=manual_clock)
        async def same(keys: Sequence[int]) -> Mapping[int, int]:
            batches.append(list(keys))
            return {key: key for key in keys}

        tasks = [asyncio.ensure_future(same(each)) for each in (1, 2, 2)]
        await turns()
        tasks[0].cancel()
        tasks[1].cancel()
        await manual_clock.advance(1)
        assert await tasks[2] == 2
        assert batches == [[2]]
        gone = asyncio.ensure_future(same(5))
        await turns()
        gone.cancel()
        await manual_clock.advance(2)
        assert len(batches) == 1

    async def test_a_later_call_is_not_given_what_was_asked_before_it(self) -> None:
        version = 1

        @batched("b")
        async def read(keys: Sequence[str]) -> Mapping[str, int]:
            now = version
            await turns()
            return dict.fromkeys(keys, now)

        before = asyncio.ensure_future(read("x"))
        await turns(4)
        version = 2
        assert await read("x") == 2
        assert await before == 1

    async def test_methods_batch_for_their_own_object(self) -> None:
        class Shop:
            def __init__(self, factor: int) -> None:
                self.factor = factor
                self.batches = 0

            @batched("prices")
            async def price(self, keys: Sequence[int]) -> Mapping[int, int]:
                self.batches += 1
                return {key: key * self.factor for key in keys}

            @batched("static")
            @staticmethod
            async def same(keys: Sequence[int]) -> Mapping[int, int]:
                return {key: key for key in keys}

        one, ten = Shop(1), Shop(10)
        prices = await asyncio.gather(one.price(1), ten.price(1), one.price(2), ten.price(2))
        assert [*prices] == [1, 10, 2, 20]
        assert (one.batches, ten.batches) == (1, 1)
        assert await Shop.same(3) == 3

    async def test_what_can_not_work_is_refused(self) -> None:
        for name, value in (("max_size", 0), ("max_wait", float("nan")), ("max_wait", -1)):
            with pytest.raises(ConfigurationError, match=name):
                batched("b", **{name: value})  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="name"):
            batched(lambda: None)  # type: ignore[arg-type]

        @batched("b")
        async def wrong(keys: Sequence[int]) -> Mapping[int, int]:
            return [1]  # type: ignore[return-value]

        with pytest.raises(ConfigurationError, match="mapping"):
            await wrong(1)
        with pytest.raises(TypeError, match="unhashable"):
            await wrong([])  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="keys"):

            @batched("b")  # type: ignore[arg-type]
            async def three(one: int, two: int, three: int) -> Mapping[int, int]:
                return {}


class TestDebounced:
    async def test_the_last_call_of_a_burst_is_made_for_all(
        self, manual_clock: ManualClock
    ) -> None:
        runs: list[str] = []

        @debounced("save", 1, clock=manual_clock)
        async def save(text: str) -> str:
            runs.append(text)
            return text.upper()

        one = asyncio.ensure_future(save("a"))
        await manual_clock.advance(0.9)
        two = asyncio.ensure_future(save("b"))
        await manual_clock.advance(0.9)
        assert not runs
        await manual_clock.advance(0.1)
        assert (await one, await two) == ("B", "B")
        assert runs == ["b"]

    async def test_calls_that_never_cease_are_made_after_a_while(
        self, manual_clock: ManualClock
    ) -> None:
        runs: list[float] = []

        @debounced("d", 1, max_wait=2.5, clock=manual_clock)
        async def call() -> None:
            runs.append(manual_clock.monotonic())

        tasks = []
        for _ in range(10):
            tasks.append(asyncio.ensure_future(call()))
            await manual_clock.advance(0.5)
        await manual_clock.advance(5)
        await asyncio.gather(*tasks)
        assert runs == [2.5, 5.0]

    @pytest.mark.parametrize(("trailing", "expected"), [(False, ["a"]), (True, ["a", "c"])])
    async def test_a_leading_run_is_made_at_once(
        self, manual_clock: ManualClock, trailing: bool, expected: list[str]
    ) -> None:
        runs: list[str] = []
        by = debounced("d", 1, leading=True, trailing=trailing, clock=manual_clock)

        @by
        async def call(text: str) -> str:
            runs.append(text)
            return text

        tasks = []
        for each in "abc":
            tasks.append(asyncio.ensure_future(call(each)))
            await manual_clock.advance(0.1)
        assert runs == ["a"]
        await manual_clock.advance(1)
        assert [await each for each in tasks] == [expected[0], expected[-1], expected[-1]]
        assert runs == expected
        numbers = {each.name: each.value for each in samples(by.stats())}
        assert numbers == {"calls": 3, "runs": len(expected)}
        last = asyncio.ensure_future(call("z"))
        await manual_clock.advance(5)
        assert await last == "z"

    async def test_a_burst_that_was_led_goes_on_though_its_later_callers_have_gone(
        self, manual_clock: ManualClock
    ) -> None:
        runs: list[tuple[str, float]] = []

        @debounced("d", 1, leading=True, clock=manual_clock)
        async def call(text: str) -> str:
            runs.append((text, manual_clock.monotonic()))
            return text

        assert await call("a") == "a"
        gone = asyncio.ensure_future(call("b"))
        await manual_clock.advance(0.5)
        gone.cancel()
        await turns()
        last = asyncio.ensure_future(call("c"))
        await manual_clock.advance(1)
        assert await last == "c"
        assert runs == [("a", 0), ("c", 1.5)]

    async def test_a_leading_run_that_was_given_up_is_not_joined(
        self, manual_clock: ManualClock
    ) -> None:
        gate = asyncio.get_running_loop().create_future()

        @debounced("d", 1, leading=True, trailing=False, clock=manual_clock)
        async def call(text: str) -> str:
            if text == "a":
                await gate
            return text

        gone = asyncio.ensure_future(call("a"))
        await turns()
        gone.cancel()
        await turns()
        assert await call("b") == "b"
        await manual_clock.advance(1)

    async def test_a_run_that_was_given_up_ends_before_the_next_begins(
        self, manual_clock: ManualClock
    ) -> None:
        told: list[str] = []

        @debounced("d", 1, clock=manual_clock)
        async def call(text: str) -> None:
            told.append(f"{text} begins")
            try:
                if text == "a":
                    await asyncio.get_running_loop().create_future()
            finally:
                await manual_clock.sleep(5)  # it cleans up
                told.append(f"{text} ends")

        gone = asyncio.ensure_future(call("a"))
        await manual_clock.advance(1)
        gone.cancel()
        await turns()
        last = asyncio.ensure_future(call("b"))
        await manual_clock.advance(2)
        assert told == ["a begins"]
        await manual_clock.advance(9)
        await last
        assert told == ["a begins", "a ends", "b begins", "b ends"]

    async def test_runs_never_overlap_even_if_one_between_them_is_given_up(
        self, manual_clock: ManualClock, work: Work
    ) -> None:
        call = debounced("d", 1, clock=manual_clock)(work.__call__)
        tasks = []
        for each in range(3):
            tasks.append(asyncio.ensure_future(call(each)))
            await manual_clock.advance(1)
        tasks[1].cancel()
        await manual_clock.advance(1)
        assert work.asked == [0]
        work.gates[0].set_result("first")
        await turns()
        assert work.asked == [0, 2]
        work.gates[1].set_result("last")
        assert (await tasks[0], await tasks[2]) == ("first", "last")

    async def test_a_run_that_calls_itself_is_told_so(self, manual_clock: ManualClock) -> None:
        @debounced("d", 1, clock=manual_clock)
        async def call() -> None:
            await call()

        task = asyncio.ensure_future(call())
        await manual_clock.advance(3)
        with pytest.raises(WorkCycleError):
            await task
        await manual_clock.advance(5)

    async def test_keys_and_objects_have_bursts_of_their_own(
        self, manual_clock: ManualClock
    ) -> None:
        class Document:
            saved = 0

            @debounced("d", 1, clock=manual_clock)
            async def save(self) -> None:
                self.saved += 1

        @debounced("d", 1, key="user", clock=manual_clock)
        async def greet(user: str, text: str) -> str:
            return text

        documents = [Document(), Document()]
        tasks = [asyncio.ensure_future(each.save()) for each in documents * 2]
        texts = [
            asyncio.ensure_future(greet(user, text))
            for user, text in (("a", "1"), ("a", "2"), ("b", "3"))
        ]
        await manual_clock.advance(1)
        await asyncio.gather(*tasks)
        assert [each.saved for each in documents] == [1, 1]
        assert await asyncio.gather(*texts) == ["2", "2", "3"]

    async def test_what_can_not_work_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="wait"):
            debounced("d", 0)
        with pytest.raises(ConfigurationError, match="max_wait"):
            debounced("d", 2, max_wait=1)
        with pytest.raises(ConfigurationError, match="trailing"):
            debounced("d", 2, trailing=False)
        assert repr(debounced("d", 2, leading=True)) == "Debounced('d', wait=2, leading+trailing)"
