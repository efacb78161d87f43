"""A time-out by the clock that one is given, which nothing under it can hold up."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from mobius_infra.core import Clock

T = TypeVar("T")


class Late(Exception):  # noqa: N818 - not an error of what is awaited
    """There was no answer in time."""


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """Return what comes of `work`, if it does within `seconds`; cancel it if not.

    Unlike under `asyncio.timeout`, its end is not waited for: a database may let an operation that
    has begun run on, whoever cancels it.

    Raises:
        Late: if it does not.
    """
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Late(f"no answer within {seconds:g} s")
    finally:
        timer.cancel()
        task.add_done_callback(_let_fail)
        task.cancel()


def _let_fail(task: "asyncio.Future[T]") -> None:
    """Take an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
