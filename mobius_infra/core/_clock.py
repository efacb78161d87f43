"""The one place where time comes from."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Tell the time and wait. Components take one and never ask anyone else.

    Durations are differences of `monotonic()`; `time()` is for what people and other machines
    read. `mobius_infra.testing.ManualClock` is the one to test with.
    """

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        ...

    def time(self) -> float:
        """Return seconds since the epoch, as this machine believes them."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; at the next turn of the event loop if that is not positive."""
        ...


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    # Bound straight to the C functions: a Python frame between would cost more than the call.
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(max(seconds, 0.0))

    def __repr__(self) -> str:
        return "SystemClock()"


def call_later(clock: Clock, seconds: float, call: Callable[[], None]) -> Callable[[], object]:
    """Call `call` after `seconds` of `clock`; return a function that prevents it.

    The machine's time is the event loop's own timer. Another clock can only be slept on, which
    takes a task.
    """
    if isinstance(clock, SystemClock):
        return asyncio.get_running_loop().call_later(seconds, call).cancel

    at = clock.monotonic() + seconds  # not from when the task comes to run

    async def wait() -> None:
        await clock.sleep(at - clock.monotonic())
        call()

    return asyncio.ensure_future(wait()).cancel
