"""Bound a piece of a task in time by cancelling the task, and take that cancellation back.

A request to cancel is counted by the task (`cancelling`, `uncancel`). Only if none came beside our
own is the `CancelledError` ours to turn into a time-out; otherwise somebody else wants the task to
end, and it must. These are the rules of `asyncio.timeout`.
"""

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

from mobius_infra.core import Clock, call_later

R = TypeVar("R")


class Scope:
    """One piece of one task.

    Args:
        task: the task that runs it.
        cancelling: `task.cancelling()` when it began.
    """

    __slots__ = ("_cancel_timer", "_cancelling", "_expired", "_task")

    def __init__(self, task: asyncio.Task[Any], cancelling: int) -> None:
        self._task = task
        self._cancelling = cancelling
        self._expired = False
        self._cancel_timer: Callable[[], object] = _nothing

    def arm(self, clock: Clock, seconds: float) -> None:
        """Cancel the task after `seconds`, unless the piece has ended by then."""
        self._cancel_timer = call_later(clock, seconds, self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def leave(self, error: BaseException | None) -> bool:
        """End the piece; say whether `error` is our own cancellation."""
        self._cancel_timer()
        if not self._expired:
            return False
        nobody_else = self._task.uncancel() <= self._cancelling
        return nobody_else and isinstance(error, asyncio.CancelledError)


def _nothing() -> None:
    """Stand for the timer that was never armed."""


def present_task() -> asyncio.Task[Any]:
    """Return the running task.

    Raises:
        RuntimeError: outside of one: there would be nothing to cancel.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a time-out works only inside an asyncio task")
    return task


# Any, below: what an awaitable yields to the event loop is between the two of them.
def as_coroutine(awaitable: Awaitable[R]) -> Coroutine[Any, Any, R]:
    """Return what can be driven by hand; only a wrapped foreign awaitable is not one already."""
    return awaitable if type(awaitable) is types.CoroutineType else _await(awaitable)


async def _await(awaitable: Awaitable[R]) -> R:
    return await awaitable


@types.coroutine
def resume(coroutine: Coroutine[Any, Any, R], waits_for: object) -> Generator[Any, Any, R]:
    """Go on with a coroutine whose first step was driven by hand and yielded `waits_for`."""
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - it is raised where the coroutine waits
            thrown = error
        else:
            # A coroutine that waits can't be awaited, but it can be delegated to.
            result: R = yield from coroutine
            return result
        # Outside of the handler, or what the coroutine raises would get a context that it has not.
        try:
            waits_for = coroutine.throw(thrown)
        except StopIteration as done:
            result = done.value
            return result
        finally:
            del thrown  # its traceback refers to this frame
