"""The time-out: as `asyncio.timeout` in all that one can see, and free where nothing waits."""

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from mobius_infra.breaker import CallTimeoutError, Timeout, TimeoutStats, timeout
from mobius_infra.core import ConfigurationError
from mobius_infra.testing import ManualClock
from tests.breaker.virtual import LoopClock, VirtualLoop, run_virtually

Body = Callable[[], Awaitable[object]]
Bounded = Callable[[float, Body], Awaitable[object]]
Scenario = Callable[[Bounded, list[object]], Awaitable[object]]


async def by_asyncio(seconds: float, body: Body) -> object:
    async with asyncio.timeout(seconds):
        return await body()


async def by_block(seconds: float, body: Body) -> object:
    async with timeout(seconds, clock=LoopClock()):
        return await body()


async def by_decorator(seconds: float, body: Body) -> object:
    async def called() -> object:
        return await body()

    return await timeout(seconds, clock=LoopClock())(called)()


async def by_run(seconds: float, body: Body) -> object:
    return await timeout(seconds, clock=LoopClock()).run(body)


async def nap(seconds: float = 10.0) -> str:
    await asyncio.sleep(seconds)
    return "slept"


def cancel_at(seconds: float) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(seconds, task.cancel)


class Scenarios:
    """Each is run by `asyncio.timeout` and by ours, and must do and say the same."""

    async def nothing_waits(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> str:
            return "at once"

        return await bounded(1, body)

    async def in_time(self, bounded: Bounded, log: list[object]) -> object:
        return await bounded(1, lambda: nap(0.5))

    async def too_slow(self, bounded: Bounded, log: list[object]) -> object:
        return await bounded(1, nap)

    async def an_error_at_once(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> None:
            raise KeyError("k")

        return await bounded(1, body)

    async def an_error_in_time(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> None:
            await nap(0.5)
            raise KeyError("k")

        return await bounded(1, body)

    async def a_time_out_of_its_own(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> None:
            await nap(0.5)
            raise TimeoutError("own")

        return await bounded(1, body)

    async def bare_yields(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> str:
            for _ in range(5):
                await asyncio.sleep(0)
            return "yielded"

        return await bounded(1, body)

    async def many_waits(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> None:
            for number in range(5):
                await nap(0.3)
                log.append(number)

        return await bounded(1, body)

    async def cancelled_from_outside(self, bounded: Bounded, log: list[object]) -> object:
        cancel_at(0.5)
        return await bounded(1, nap)

    async def cancelled_at_the_same_moment(self, bounded: Bounded, log: list[object]) -> object:
        cancel_at(1)
        return await bounded(1, nap)

    async def cancelled_at_the_same_moment_but_later(
        self, bounded: Bounded, log: list[object]
    ) -> object:
        async def body() -> None:
            cancel_at(1)
            await nap()

        return await bounded(1, body)

    async def cancelled_twice(self, bounded: Bounded, log: list[object]) -> object:
        cancel_at(0.5)
        cancel_at(0.5)
        return await bounded(1, nap)

    async def cancels_itself_before_it_waits(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> object:
            cancel_at(0)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return await nap()

        return await bounded(1, body)

    async def swallows_a_cancellation_of_its_own_before_it_waits(
        self, bounded: Bounded, log: list[object]
    ) -> object:
        async def body() -> object:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await nap()
            log.append(task.cancelling())
            return await nap()  # cut off, but the first request has not been taken back

        return await bounded(1, body)

    async def raises_cancelled_itself(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> None:
            await nap(0.5)
            raise asyncio.CancelledError

        return await bounded(1, body)

    async def inner_is_shorter(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> object:
            try:
                return await bounded(1, nap)
            except TimeoutError:
                log.append("inner")
                return await nap(0.5)

        return await bounded(2, body)

    async def outer_is_shorter(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> object:
            try:
                return await bounded(2, nap)
            except TimeoutError:
                log.append("inner")
                raise

        return await bounded(1, body)

    async def both_are_as_long(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> object:
            try:
                return await bounded(1, nap)
            except TimeoutError:
                log.append("inner")
                raise

        return await bounded(1, body)

    async def around_it_asyncios(self, bounded: Bounded, log: list[object]) -> object:
        async with asyncio.timeout(1):
            return await bounded(2, nap)

    async def inside_it_asyncios(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> object:
            async with asyncio.timeout(1):
                return await nap()

        return await bounded(2, body)

    async def inside_it_wait_for(self, bounded: Bounded, log: list[object]) -> object:
        return await bounded(1, lambda: asyncio.wait_for(nap(), 2))

    async def a_callee_that_suppresses(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> str:
            with contextlib.suppress(asyncio.CancelledError):
                await nap()
            return "suppressed"

        return await bounded(1, body)

    async def a_callee_that_suppresses_and_goes_on(
        self, bounded: Bounded, log: list[object]
    ) -> object:
        async def body() -> str:
            with contextlib.suppress(asyncio.CancelledError):
                await nap()
            return await nap(3)

        result = await bounded(1, body)
        await nap(1)  # nothing is left behind that would cancel this
        return result

    async def a_callee_that_turns_it_into_another(
        self, bounded: Bounded, log: list[object]
    ) -> object:
        async def body() -> None:
            try:
                await nap()
            except asyncio.CancelledError:
                raise ValueError("lost") from None

        return await bounded(1, body)

    async def a_callee_that_cleans_up(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> None:
            try:
                await nap()
            finally:
                await nap(2)
                log.append("clean")

        return await bounded(1, body)

    async def shielded(self, bounded: Bounded, log: list[object]) -> object:
        async def kept() -> None:
            await nap(2)
            log.append("done")

        inner = asyncio.ensure_future(kept())
        try:
            return await bounded(1, lambda: asyncio.shield(inner))
        finally:
            await inner

    async def a_task_group_inside(self, bounded: Bounded, log: list[object]) -> object:
        async def child() -> None:
            try:
                await nap()
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        async def body() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                group.create_task(child())

        return await bounded(1, body)

    async def a_task_group_whose_child_fails(self, bounded: Bounded, log: list[object]) -> object:
        async def child() -> None:
            await nap(0.5)
            raise KeyError("k")

        async def body() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await nap()

        return await bounded(1, body)

    async def a_task_group_whose_child_fails_at_the_end(
        self, bounded: Bounded, log: list[object]
    ) -> object:
        async def child() -> None:
            try:
                await nap()
            finally:
                raise KeyError("k")

        async def body() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())

        return await bounded(1, body)

    async def inside_a_task_group_that_fails(self, bounded: Bounded, log: list[object]) -> object:
        async def child() -> None:
            await nap(0.5)
            raise KeyError("k")

        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            return await bounded(1, nap)

    async def gathered(self, bounded: Bounded, log: list[object]) -> object:
        return await bounded(1, lambda: asyncio.gather(nap(0.5), nap(2)))

    async def many_at_once(self, bounded: Bounded, log: list[object]) -> object:
        calls = (bounded(1, lambda at=at: nap(at)) for at in (0.5, 3, 0.7, 2))  # type: ignore[misc]
        return [repr(type(each)) for each in await asyncio.gather(*calls, return_exceptions=True)][
            ::2
        ]

    async def the_same_task(self, bounded: Bounded, log: list[object]) -> object:
        async def body() -> bool:
            before = asyncio.current_task()
            await nap(0.1)
            return before is asyncio.current_task() is outside

        outside = asyncio.current_task()
        return await bounded(1, body)

    async def in_a_task_being_cancelled(self, bounded: Bounded, log: list[object]) -> object:
        cancel_at(0.5)
        try:
            await nap()
        finally:
            try:
                await bounded(1, nap)
            except TimeoutError:
                log.append("cut off while cleaning up")
        return "not reached"

    async def one_after_the_other(self, bounded: Bounded, log: list[object]) -> object:
        for seconds in (0.5, 2, 0.5, 2):
            try:
                log.append(await bounded(1, lambda: nap(seconds)))  # noqa: B023 - called at once
            except TimeoutError:
                log.append("too slow")
        return "through"


SCENARIOS = [name for name in vars(Scenarios) if not name.startswith("_")]


async def watch(name: str, bounded: Bounded) -> tuple[object, ...]:
    """Return all that one can see of a scenario: how and when it ends, and what it did."""
    log: list[object] = []
    scenario: Scenario = getattr(Scenarios(), name)
    loop = asyncio.get_running_loop()
    ended: list[object] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            ended.append(await scenario(bounded, log))
        except BaseException as error:
            ended.append(describe(error))
            raise
        finally:
            ended.append(task.cancelling())

    task = loop.create_task(main())
    await asyncio.wait([task])
    error = None if task.cancelled() else task.exception()
    others = len(asyncio.all_tasks()) - 1
    return task.cancelled(), error is None, ended, log, round(loop.time(), 3), others


def describe(error: BaseException) -> object:
    if isinstance(error, BaseExceptionGroup):
        return [describe(each) for each in error.exceptions]
    plain = TimeoutError if isinstance(error, CallTimeoutError) else type(error)
    cause = error.__cause__ and type(error.__cause__)
    context = error.__context__ and type(error.__context__)
    # 3.13 puts a TimeoutError into the context of an error that hides its own cancellation.
    return plain, cause, context if plain is TimeoutError else None


EAGER = [False, True] if sys.version_info >= (3, 12) else [False]


@pytest.mark.parametrize("eager", EAGER, ids=lambda eager: "eager" if eager else "lazy")
@pytest.mark.parametrize("bounded", [by_block, by_decorator, by_run])
@pytest.mark.parametrize("name", SCENARIOS)
def test_it_does_as_asyncio_does(name: str, bounded: Bounded, eager: bool) -> None:
    expected = run_virtually(watch(name, by_asyncio), eager=eager)
    assert run_virtually(watch(name, bounded), eager=eager) == expected


def test_the_error_names_what_took_too_long(manual_clock: ManualClock) -> None:
    error = CallTimeoutError("prices", 2.5)
    assert str(error) == "'prices' took longer than 2.5 s"
    assert error.fields() == {"name": "prices", "seconds": 2.5}
    assert isinstance(error, TimeoutError)


async def test_time_is_measured_by_the_clock_that_it_was_given(manual_clock: ManualClock) -> None:
    bounded = timeout(2, name="prices", clock=manual_clock)
    task = asyncio.create_task(bounded.run(asyncio.Event().wait))
    await manual_clock.advance(1.9)
    assert not task.done()
    await manual_clock.advance(0.1)
    with pytest.raises(CallTimeoutError, match="'prices' took longer than 2 s"):
        await task
    assert bounded.stats() == TimeoutStats(calls=1, expired=1)


async def test_a_block_is_measured_too(manual_clock: ManualClock) -> None:
    bounded = timeout(2, clock=manual_clock)

    async def main() -> None:
        async with bounded:
            await asyncio.Event().wait()

    task = asyncio.create_task(main())
    await manual_clock.advance(2)
    with pytest.raises(CallTimeoutError):
        await task
    assert bounded.stats() == TimeoutStats(calls=1, expired=1)
    assert not bounded._entered._stacks


async def test_time_before_the_first_wait_counts(manual_clock: ManualClock) -> None:
    async def compute_then_wait() -> None:
        manual_clock.tick(1.5)  # blocks the loop for so long
        await asyncio.Event().wait()

    task = asyncio.create_task(timeout(2, clock=manual_clock)(compute_then_wait)())
    await asyncio.sleep(0)
    await manual_clock.advance(0.5)
    assert task.done()
    with pytest.raises(CallTimeoutError):
        await task


async def test_no_timer_is_armed_for_what_does_not_wait(
    manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed: list[float] = []
    loop = asyncio.get_running_loop()
    call_at = loop.call_at

    def counted(when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        armed.append(when)
        return call_at(when, *args, **kwargs)

    monkeypatch.setattr(loop, "call_at", counted)

    async def at_once() -> int:
        return 1

    async def later() -> int:
        await asyncio.sleep(0)
        return 2

    assert await timeout(1)(at_once)() == 1
    assert await timeout(1).run(at_once) == 1
    assert armed == []
    assert await timeout(1)(later)() == 2
    assert len(armed) == 1
    assert await timeout(1, clock=manual_clock)(at_once)() == 1
    assert manual_clock.sleepers == 0


async def test_the_timer_is_gone_when_the_call_has_ended(manual_clock: ManualClock) -> None:
    async def later() -> None:
        await asyncio.sleep(0)

    await timeout(1, clock=manual_clock)(later)()
    await asyncio.sleep(0)
    assert manual_clock.sleepers == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_is_not_a_coroutine_is_awaited_all_the_same() -> None:
    async def answer() -> int:
        return 5

    def start() -> Awaitable[int]:
        return asyncio.ensure_future(answer())

    assert await timeout(1).run(start) == 5


async def test_outside_of_a_task_it_says_so() -> None:
    async def main() -> None:
        async with timeout(1):
            raise AssertionError("not reached")

    coroutine = main()
    caught: list[BaseException] = []

    def step() -> None:
        try:
            coroutine.send(None)
        except RuntimeError as error:
            caught.append(error)

    asyncio.get_running_loop().call_soon(step)
    await asyncio.sleep(0)
    assert "only inside an asyncio task" in str(caught[0])


async def test_a_closed_call_is_closed_inside() -> None:
    closed: list[bool] = []

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def step() -> None:
        coroutine = timeout(1)(body)()
        coroutine.send(None)
        coroutine.close()

    await step()
    assert closed == [True]


async def test_an_error_inside_gets_no_context_that_it_has_not() -> None:
    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.get_loop().call_soon(task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        task.uncancel()
        raise KeyError("k")

    with pytest.raises(KeyError) as caught:
        await timeout(1)(body)()
    assert caught.value.__context__ is None


class Held:
    """Something a frame may keep alive."""


@pytest.mark.parametrize("bounded", [by_block, by_decorator])
async def test_an_expired_call_leaves_no_cycle(bounded: Bounded) -> None:
    refs: list[weakref.ref[Held]] = []

    async def body() -> None:
        held = Held()
        refs.append(weakref.ref(held))
        await asyncio.Event().wait()

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(TimeoutError):
            await bounded(0.001, body)
        await asyncio.sleep(0)
        assert refs[0]() is None
    finally:
        gc.enable()


async def test_one_object_serves_nested_blocks_and_many_tasks(manual_clock: ManualClock) -> None:
    shared = timeout(2, clock=manual_clock)

    async def nested(seconds: float) -> str:
        async with shared, shared:
            await manual_clock.sleep(seconds)
        return "in time"

    tasks = [asyncio.create_task(nested(seconds)) for seconds in (1, 3, 1.5)]
    await manual_clock.advance(3)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(each) for each in results] == [
        "in time",
        "'timeout' took longer than 2 s",
        "in time",
    ]
    assert not shared._entered._stacks


async def test_a_block_of_a_generator_may_be_left_by_another_task(
    manual_clock: ManualClock,
) -> None:
    limit = timeout(2, clock=manual_clock)

    async def items() -> AsyncGenerator[int, None]:
        async with limit:
            yield 1

    given = items()

    async def first() -> int:
        return await anext(given)

    assert await asyncio.create_task(first()) == 1
    await given.aclose()
    await manual_clock.advance(5)
    assert manual_clock.sleepers == 0
    assert not limit._entered._stacks


def test_the_virtual_loop_is_one() -> None:
    async def hour() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_virtually(hour()) == 3600
    assert issubclass(VirtualLoop, asyncio.SelectorEventLoop)


def test_it_prints_what_it_is() -> None:
    assert repr(timeout(2.5, name="prices")) == "Timeout('prices', 2.5 s)"
    assert isinstance(timeout(1), Timeout)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, None, "1"], ids=repr)
def test_bad_seconds_are_refused(seconds: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        timeout(seconds)
    assert caught.value.field == "seconds"


def test_a_name_is_needed_and_an_async_function() -> None:
    with pytest.raises(ConfigurationError, match="name is ''"):
        timeout(1, name="")
    with pytest.raises(ConfigurationError, match="async function"):
        timeout(1)(len)  # type: ignore[arg-type]
