"""The one way to wait for what another process does: ask again until a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.005
"""Seconds between two looks: short beside a server's start, long beside a look."""


def wait_until(condition: Callable[[], T], *, timeout: float, what: str) -> T:
    """Call `condition` until it returns something true, and return that.

    Args:
        condition: What to ask; it runs at least once, and must not block for long.
        timeout: Seconds after which to give up. It bounds a failure, it is no expected duration.
        what: What is waited for, as it reads in "gave up waiting for …".

    Raises:
        TimeoutError: `condition` was still false at the deadline.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise _gave_up(what, timeout)
        time.sleep(PAUSE)
    return value


async def eventually(condition: Callable[[], Awaitable[T]], *, timeout: float, what: str) -> T:
    """Await `condition()` until it gives something true, as `wait_until` does in a coroutine.

    Raises:
        TimeoutError: `condition` was still false at the deadline, or did not end before it.
    """
    try:
        async with asyncio.timeout(timeout) as deadline:
            while not (value := await condition()):
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        if deadline.expired():
            raise _gave_up(what, timeout) from None
        raise  # the condition's own time-out is an error of the test
    return value


def patient(url: str) -> str:
    """Return a backend's URL with time-outs that bound a failure and not a busy machine.

    For whatever is no test of time-outs: the default, one second, is what a user wants.
    """
    return f"{url}{'&' if '?' in url else '?'}timeout=60&connect_timeout=60"


def _gave_up(what: str, timeout: float) -> TimeoutError:
    return TimeoutError(f"gave up waiting for {what} after {timeout:g} s")
