"""Waiting by the component's own clock."""

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import TypeVar

from mobius_infra.core import Clock

T = TypeVar("T")


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """Return what `work` returns, if it does so in time; else cancel it.

    Raises:
        TimeoutError: if it took longer. It is not waited for any more, even if it resists.
        RuntimeError: if it was cancelled by another.
    """
    running = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({running, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if running.cancelled():  # by itself; we were not asked to stop
            raise RuntimeError("it was cancelled")
        if running.done():
            return running.result()
        raise TimeoutError(f"no answer within {seconds:g} s")
    finally:
        for task in (running, alarm):
            task.cancel()
        running.add_done_callback(_look_away)


def _look_away(task: "asyncio.Future[T]") -> None:
    if not task.cancelled():
        task.exception()  # an error that came too late is nobody's


async def rest(clock: Clock, woken: asyncio.Event, seconds: float | None) -> None:
    """Wait until `woken` is set, or for some seconds; then unset it."""
    waits: list[Coroutine[object, object, object]] = [woken.wait()]
    if seconds is not None:
        waits.append(clock.sleep(seconds))
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    woken.clear()


async def end_all(tasks: list["asyncio.Task[None]"]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
