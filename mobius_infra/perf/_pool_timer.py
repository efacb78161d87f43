"""Work that is bounded by a timer of any clock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mobius_infra.core import Clock, call_later

R = TypeVar("R")


async def within(clock: Clock, seconds: float, work: Callable[[], Awaitable[R]]) -> R:
    """Do `work` in this task, and cancel it after `seconds`.

    For tasks of our own. A cancellation from elsewhere passes, also when it comes together with
    the time-out.

    Raises:
        TimeoutError: if it took longer.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker: a coroutine of ours is in a task
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    cancel_timer = call_later(clock, seconds, expire)
    try:
        return await work()
    except asyncio.CancelledError:
        if expired and task.cancelling() == 1:
            raise TimeoutError(f"it took longer than {seconds:g} s") from None
        raise
    finally:
        cancel_timer()
        if expired:
            task.uncancel()
