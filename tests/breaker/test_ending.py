"""What goes on after a failure, and what ends since the task is to end; task groups among it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from mobius_infra.breaker import Backoff, RetryBudget, fallback, hedge, retry
from mobius_infra.breaker._ending import must_end
from mobius_infra.testing import ManualClock


class UpstreamError(Exception):
    pass


class Group:
    """A call whose work is done by a task group, which fails."""

    def __init__(self, clock: ManualClock, *, waits_in: str = "end", wraps: bool = False) -> None:
        self.clock = clock
        self.calls = 0
        self.waits_in = waits_in
        self.wraps = wraps

    async def fails(self) -> None:
        try:
            await self.clock.sleep(1)
        finally:
            raise UpstreamError

    async def lingers(self) -> None:
        try:
            await self.clock.sleep(5)
        finally:
            await self.clock.sleep(1)

    async def ask(self) -> str:
        self.calls += 1
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.fails())
                group.create_task(self.lingers())
                if self.waits_in == "block":
                    await self.clock.sleep(5)
        except ExceptionGroup:
            if self.wraps:
                raise UpstreamError("wrapped")  # noqa: B904 - as users do
            raise
        return "answer"


async def run(clock: ManualClock, ask: Callable[[], Awaitable[str]], cancel_at: float = 0) -> str:
    async def calling() -> str:
        try:
            return await ask()
        except (UpstreamError, ExceptionGroup):
            task = asyncio.current_task()
            assert task is not None
            return f"failed, cancelling {task.cancelling()}"

    task = asyncio.create_task(calling())
    await clock.advance(cancel_at)
    if cancel_at:
        task.cancel()
    await clock.advance(60)
    return await task


@pytest.mark.parametrize("waits_in", ["end", "block"])
@pytest.mark.parametrize("wraps", [False, True])
async def test_a_task_group_that_failed_is_tried_again(
    waits_in: str, wraps: bool, manual_clock: ManualClock
) -> None:
    group = Group(manual_clock, waits_in=waits_in, wraps=wraps)
    again = retry(on=UpstreamError, wait=Backoff(1.0, 1.0), clock=manual_clock)(group.ask)
    assert await run(manual_clock, again) == "failed, cancelling 0"
    assert group.calls == 3


@pytest.mark.parametrize("wraps", [False, True])
async def test_a_task_group_that_failed_is_answered(wraps: bool, manual_clock: ManualClock) -> None:
    group = Group(manual_clock, wraps=wraps)
    answered = fallback(value="other", on=UpstreamError)(group.ask)
    assert await run(manual_clock, answered) == "other"
    nested = fallback(value="other", on=UpstreamError)(
        retry(on=UpstreamError, attempts=2, wait=Backoff(1.0, 1.0), clock=manual_clock)(group.ask)
    )
    assert await run(manual_clock, nested) == "other"
    assert group.calls == 1 + 2


async def test_a_task_group_that_failed_first_leaves_the_race_to_the_others(
    manual_clock: ManualClock,
) -> None:
    group = Group(manual_clock)

    async def ask() -> str:
        if group.calls == 0:
            return await group.ask()
        await manual_clock.sleep(3)
        return "second"

    late = hedge(after=0.5, budget=RetryBudget(9), clock=manual_clock)(ask)
    assert await run(manual_clock, late) == "second"


@pytest.mark.parametrize("waits_in", ["end", "block"])
@pytest.mark.parametrize("cancel_at", [0.5, 1.5], ids=["before it failed", "while it ends"])
async def test_a_cancellation_that_a_task_group_made_an_error_of_is_not_taken_back(
    waits_in: str, cancel_at: float, manual_clock: ManualClock
) -> None:
    group = Group(manual_clock, waits_in=waits_in)
    again = retry(on=UpstreamError, clock=manual_clock)(group.ask)
    answered = fallback(value="other", on=UpstreamError)(again)
    with suppress(asyncio.CancelledError):  # by Python 3.13 the group asks for it again
        assert (await run(manual_clock, answered, cancel_at)).startswith("failed")
    assert group.calls == 1


async def test_outside_of_a_failure_only_the_task_is_asked() -> None:
    assert not must_end()
    error, other = UpstreamError(), UpstreamError()
    error.__context__, other.__context__ = other, error  # a chain that bites its tail
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    assert must_end(error)
    assert not must_end(error, cancelling=1)
    task.uncancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
