"""Work that is bounded by a timer of any clock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mobius_infra.core import Clock, call_later

R = TypeVar("R")


class Limit:
    """How long work in the current task may take; meanwhile the limit can be brought forward."""

    __slots__ = ("_clock", "_expire", "_seconds", "_stop_timer")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._expire: Callable[[], None] | None = None
        self._stop_timer: Callable[[], object]

    def within(self, seconds: float) -> None:
        """Let it take so many seconds from now, whatever it was given before."""
        self._seconds = seconds
        if self._expire is not None:
            self._stop_timer()
            self._stop_timer = call_later(self._clock, seconds, self._expire)

    async def keep(self, work: Callable[[], Awaitable[R]]) -> R:
        """Do `work` in this task, and cancel it when its time is over.

        A cancellation from elsewhere passes, also when it comes together with the time-out.

        Raises:
            TimeoutError: if it took longer.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: a coroutine is in a task
        before = task.cancelling()  # who cleans up after a cancellation may set a limit too
        expired = False

        def expire() -> None:
            nonlocal expired
            self._expire = None
            expired = True
            task.cancel()

        self._expire = expire
        self._stop_timer = call_later(self._clock, self._seconds, expire)
        try:
            return await work()
        except asyncio.CancelledError:
            if expired and task.cancelling() == before + 1:
                raise TimeoutError(f"it took longer than {self._seconds:g} s") from None
            raise
        finally:
            self._expire = None
            self._stop_timer()
            if expired:
                task.uncancel()


async def within(clock: Clock, seconds: float, work: Callable[[], Awaitable[R]]) -> R:
    """Do `work` in this task, and cancel it after `seconds`: see `Limit`."""
    return await Limit(clock, seconds).keep(work)
