"""One question to a backend, bounded by the clock that one is given; nothing can hold it up."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from mobius_infra.core import BackendError, BackendTimeoutError, Clock

T = TypeVar("T")

log = logging.getLogger("mobius_infra")


async def within(clock: Clock, seconds: float, backend: str, what: str, work: Awaitable[T]) -> T:
    """Return what comes of `work`, if it does within `seconds`; cancel it if not.

    Unlike under `asyncio.timeout`, its end is not waited for: a database may let an operation that
    has begun run on, whoever cancels it.

    Raises:
        BackendError: if it fails, in whatever way: a backend that does not keep to its contract may
            fail no call, and end no background task. `BackendTimeoutError` if it is late.
    """
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if task.cancelled():  # by the backend itself: nobody wants its caller to end
            raise BackendError(backend, what, "it was cancelled")
        if task.done():
            return task.result()
    except BackendError:
        raise
    except Exception as error:
        log.exception("%s of backend %s failed", what, backend)
        raise BackendError(backend, what, repr(error)) from error
    finally:
        timer.cancel()
        task.add_done_callback(_let_fail)
        task.cancel()
    raise BackendTimeoutError(backend, what, f"no answer within {seconds:g} s")


def _let_fail(task: "asyncio.Future[T]") -> None:
    """Take an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
