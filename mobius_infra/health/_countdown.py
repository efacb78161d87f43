"""Waiting for a time-out, and knowing how long the event loop stood still meanwhile."""

import asyncio
from collections.abc import Callable

from mobius_infra.core import Clock, SystemClock

SLICES = 4
"""Parts that a time-out is waited for in: being late for one tells that the loop stood still."""


class Countdown:
    """Calls `wake` after a time-out, unless it is stopped.

    Args:
        clock: measures it. Any but the system's is waited for by a task of its own.
        timeout: in seconds.
        wake: called once.
    """

    __slots__ = ("_clock", "_due", "_handle", "_lag", "_slice", "_started", "_timeout", "_wake")

    def __init__(self, clock: Clock, timeout: float, wake: Callable[[], object]) -> None:
        self._clock = clock
        self._timeout = timeout
        self._wake = wake
        self._slice = 0
        self._lag = 0.0
        self._started = self._due = clock.monotonic()
        self._handle: asyncio.TimerHandle | asyncio.Task[None] | None = None
        wait = self._next(self._started)
        if isinstance(clock, SystemClock):
            self._handle = asyncio.get_running_loop().call_later(wait, self._arrive)
        else:
            self._handle = asyncio.ensure_future(self._sleep(wait))

    def lag(self, now: float) -> float:
        """Return the seconds by which the waits were too long, the present one included."""
        return self._lag + max(now - self._due, 0.0)

    def stop(self) -> None:
        """Never call `wake`."""
        if self._handle is not None:
            self._handle.cancel()

    def _next(self, now: float) -> float:
        """Begin the next slice that is not over yet; return its seconds, 0 if there is none."""
        self._lag = self.lag(now)
        while self._slice < SLICES:
            self._slice += 1
            self._due = self._started + self._timeout * self._slice / SLICES
            if self._due > now:
                return self._due - now
        self._due = float("inf")
        return 0.0

    def _arrive(self) -> None:
        wait = self._next(self._clock.monotonic())
        if wait:
            self._handle = asyncio.get_running_loop().call_later(wait, self._arrive)
        else:
            self._wake()

    async def _sleep(self, wait: float) -> None:
        while wait:
            await self._clock.sleep(wait)
            wait = self._next(self._clock.monotonic())
        self._wake()
