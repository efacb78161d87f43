"""Do something later, by whatever clock there is."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from mobius_infra.core import Clock, SystemClock


class Timer(Protocol):
    """Something that will happen unless it is cancelled."""

    def cancel(self) -> object:
        """Make it not happen."""
        ...


def after(clock: Clock, seconds: float, callback: Callable[[], object]) -> Timer:
    """Call `callback` on the running loop after `seconds` of `clock`."""
    loop = asyncio.get_running_loop()
    if type(clock) is SystemClock:
        return loop.call_later(seconds, callback)  # ten times cheaper than a task
    return loop.create_task(_later(clock, seconds, callback))


async def _later(clock: Clock, seconds: float, callback: Callable[[], object]) -> None:
    await clock.sleep(seconds)
    callback()
