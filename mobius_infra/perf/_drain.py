"""What background work has in common: who waits for its end, and how its errors are told."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from mobius_infra.core import Clock, Event, Events, call_later

log = logging.getLogger("mobius_infra")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFailed(Event):
    """Work that nobody need wait for raised an error. It is logged too.

    Attributes:
        work: the task's name, or the `repr` of the item, shortened.
        error: what it raised.
    """

    work: str
    error: BaseException


def tell_failure(events: Events, clock: Clock, name: str, work: str, error: BaseException) -> None:
    """Log an error and tell the listeners of it."""
    work = work if len(work) <= 100 else work[:99] + "…"
    log.error("%r: %s failed", name, work, exc_info=error)
    events.emit(WorkFailed(source=name, at=clock.time(), work=work, error=error))


class Waiters:
    """Those who wait until a component is idle."""

    __slots__ = ("_clock", "_futures")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._futures: set[asyncio.Future[bool]] = set()

    def wake(self) -> None:
        """Say that it is idle."""
        for future in self._futures:
            _set(future, True)

    async def wait(self, timeout: float | None) -> bool:
        """Wait until it is idle; False if it takes longer than `timeout` seconds."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        stop_timer: Callable[[], object] | None = None
        if timeout is not None:
            stop_timer = call_later(self._clock, timeout, lambda: _set(future, False))
        try:
            return await future
        finally:
            self._futures.discard(future)
            if stop_timer is not None:
                stop_timer()


def _set(future: asyncio.Future[bool], idle: bool) -> None:
    if not future.done():
        future.set_result(idle)
