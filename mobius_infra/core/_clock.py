"""The one place where time comes from."""

import asyncio
import time
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
