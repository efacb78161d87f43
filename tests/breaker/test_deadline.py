"""The deadline: known to all inside, only ever shortened, and kept."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Callable
from math import inf
from typing import Any

import pytest

from mobius_infra.breaker import (
    CallTimeoutError,
    Deadline,
    DeadlineExceededError,
    DeadlineStats,
    deadline,
    remaining,
    timeout,
)
from mobius_infra.core import ConfigurationError
from mobius_infra.testing import ManualClock

Make = Callable[..., Deadline]


@pytest.fixture
def within(manual_clock: ManualClock) -> Make:
    def make(seconds: float, name: str = "deadline") -> Deadline:
        return deadline(seconds, name=name, clock=manual_clock)

    return make


async def forever() -> None:
    await asyncio.Event().wait()


async def test_without_one_there_is_no_end() -> None:
    assert remaining() == inf


async def test_inside_one_knows_what_is_left(within: Make, manual_clock: ManualClock) -> None:
    async with within(5):
        assert remaining() == 5
        manual_clock.tick(2)
        assert remaining() == 3
        manual_clock.tick(4)
        assert remaining() == 0
    assert remaining() == inf


async def test_it_is_only_ever_shortened(within: Make, manual_clock: ManualClock) -> None:
    async with within(5):
        async with within(9):
            assert remaining() == 5
        async with within(1):
            assert remaining() == 1
        assert remaining() == 5


async def test_deadlines_by_different_clocks_nest(within: Make, manual_clock: ManualClock) -> None:
    other = ManualClock(start=1000.0)
    async with within(5):
        async with deadline(3, clock=other):
            assert remaining() == 3
            manual_clock.tick(4)
            assert remaining() == 3  # on the other clock, nothing has passed
        async with deadline(3, clock=other):
            assert remaining() == 1


async def test_it_is_kept(within: Make, manual_clock: ManualClock) -> None:
    limit = within(2, "answer")
    tasks = [
        asyncio.create_task(limit.run(forever)),
        asyncio.create_task(limit(forever)()),
    ]
    await manual_clock.advance(1.9)
    assert not any(task.done() for task in tasks)
    await manual_clock.advance(0.1)
    for task in tasks:
        with pytest.raises(DeadlineExceededError, match=r"^deadline 'answer' of 2 s passed$"):
            await task
    assert limit.stats() == DeadlineStats(calls=2, exceeded=2)
    assert not limit._entered._stacks
    assert manual_clock.sleepers == 0


async def test_the_error_names_the_deadline_that_passed(
    within: Make, manual_clock: ManualClock
) -> None:
    task = asyncio.create_task(within(2, "outer").run(within(3, "inner").run, forever))
    await manual_clock.advance(2)
    with pytest.raises(DeadlineExceededError) as caught:
        await task
    assert caught.value.fields() == {"name": "outer", "seconds": 2}
    assert isinstance(caught.value, TimeoutError)


async def test_a_cancellation_from_outside_passes(within: Make, manual_clock: ManualClock) -> None:
    limit = within(2)
    task = asyncio.create_task(limit.run(forever))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limit.stats().exceeded == 0


async def test_a_task_started_inside_inherits_it_and_is_told_only(
    within: Make, manual_clock: ManualClock
) -> None:
    seen: list[float] = []

    async def work() -> None:
        await manual_clock.sleep(3)
        seen.append(remaining())

    async with within(2):
        inherits = asyncio.create_task(work())
        of_its_own = asyncio.create_task(work(), context=contextvars.Context())
    await manual_clock.advance(3)
    assert inherits.done()
    assert of_its_own.done()
    assert seen == [0, inf]


async def test_a_time_out_takes_what_the_deadline_leaves(
    within: Make, manual_clock: ManualClock
) -> None:
    bounded = timeout(5, clock=manual_clock)

    async def main() -> None:
        # A task of its own: the deadline's own cancellation does not reach it.
        async with within(2, "outer"):
            task = asyncio.create_task(bounded.run(forever))
        await task

    task = asyncio.create_task(main())
    await manual_clock.advance(2)
    assert task.done()
    with pytest.raises(DeadlineExceededError, match="outer"):
        await task
    assert bounded.stats().expired == 1


async def test_a_deadline_in_a_task_of_its_own_ends_with_the_one_it_inherits(
    within: Make, manual_clock: ManualClock
) -> None:
    async def main() -> None:
        async with within(2, "outer"):
            task = asyncio.create_task(within(9, "inner").run(forever))
        await task

    task = asyncio.create_task(main())
    await manual_clock.advance(2)
    assert task.done()
    with pytest.raises(DeadlineExceededError, match="outer"):
        await task


async def test_a_shorter_time_out_inside_is_its_own(
    within: Make, manual_clock: ManualClock
) -> None:
    task = asyncio.create_task(within(5).run(timeout(2, clock=manual_clock).run, forever))
    await manual_clock.advance(2)
    with pytest.raises(CallTimeoutError):
        await task


async def test_begun_too_late_nothing_that_waits_gets_far(
    within: Make, manual_clock: ManualClock
) -> None:
    async def main() -> None:
        async with within(1):
            manual_clock.tick(2)
            with pytest.raises(DeadlineExceededError):
                await timeout(5, clock=manual_clock).run(forever)

    task = asyncio.create_task(main())
    await manual_clock.advance(0)
    with pytest.raises(DeadlineExceededError):
        await task


async def test_a_block_of_a_generator_may_be_left_by_another_task(
    within: Make, manual_clock: ManualClock
) -> None:
    limit = within(2)

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


def test_it_prints_what_it_is() -> None:
    assert repr(deadline(2.5, name="answer")) == "Deadline('answer', 2.5 s)"


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, None], ids=repr)
def test_bad_seconds_are_refused(seconds: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        deadline(seconds)
    assert caught.value.field == "seconds"


def test_a_name_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="name is ''"):
        deadline(1, name="")
