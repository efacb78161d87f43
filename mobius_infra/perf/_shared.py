"""One piece of work for all who wait for it.

It runs in a task of its own, so that a caller who is cancelled takes nobody with it. When the last
caller has gone, it is cancelled too. Each caller gets an exception of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar
from inspect import iscoroutine
from typing import Any, Generic, TypeVar

from mobius_infra.core import own_instance
from mobius_infra.perf._work_errors import WorkCancelledError, WorkCycleError

R = TypeVar("R")

# The work that runs in the present context: it tells who would wait for himself.
_current: ContextVar["Shared[Any] | None"] = ContextVar("mobius_infra.perf.shared", default=None)


class Shared(Generic[R]):
    """Work that has begun, or is about to.

    Args:
        name: of the component whose work it is.
        forget: called when nobody may join any more: it has ended, or everybody has gone.
    """

    __slots__ = ("_forget", "_outcome", "_task", "_waiters", "abandoned", "name", "waits_for")

    def __init__(self, name: str, forget: Callable[["Shared[R]"], None]) -> None:
        self.name = name
        self.abandoned = False  # all callers have gone
        self._forget = forget
        self._task: asyncio.Task[R] | None = None
        # Callers get a result or an error as a plain pair: an error set on a future whose task is
        # cancelled at that moment would be reported as never retrieved.
        self._waiters: dict[asyncio.Future[tuple[R, BaseException | None]], None] = {}
        self._outcome: tuple[R, BaseException | None] | None = None
        self.waits_for: Shared[Any] | None = None  # what its own end waits for

    def start(self, work: Awaitable[R], context: Context) -> None:
        """Begin, with the context variables of `context`."""
        context.run(_current.set, self)
        coroutine = work if iscoroutine(work) else _await(work)
        self._task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._task.add_done_callback(self._ended)

    # A callback, since a task that is cancelled before its first step runs no `finally`.
    def _ended(self, task: asyncio.Task[R]) -> None:
        error = WorkCancelledError(self.name) if task.cancelled() else task.exception()
        nothing: Any = None  # Any: stands for the result where there is none
        self._outcome = outcome = (nothing if error is not None else task.result(), error)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(outcome)
                if error is not None:  # the first raises it with the traceback of the work
                    outcome = (nothing, own_instance(error))
        self._waiters.clear()
        self._forget(self)

    async def join(self) -> R:
        """Wait for the end, and return the result.

        Raises:
            WorkCycleError: if it waits, through others, for whoever asks.
            WorkCancelledError: if it was cancelled, and the caller was not.
            Exception: whatever the work raised.
        """
        if self._outcome is not None:  # it ended before we came
            result, error = self._outcome
            if error is not None:
                raise own_instance(error)
            return result
        behalf = self._waited_for_by()
        waiter: asyncio.Future[tuple[R, BaseException | None]]
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            result, error = await waiter
        finally:
            if behalf is not None:
                behalf.waits_for = None
            self._waiters.pop(waiter, None)
            if not self._waiters and self._outcome is None:
                self._abandon()
        if error is not None:
            raise error
        return result

    def _waited_for_by(self) -> "Shared[Any] | None":
        """Return the work whose own task asks, after making sure that this doesn't wait for it."""
        behalf = _current.get()
        # A task that the work has spawned inherits the variable, but the work need not wait for it.
        if behalf is None or behalf._task is not asyncio.current_task():
            return None
        ahead: Shared[Any] | None = self
        while ahead is not None:
            if ahead is behalf:
                if not self._waiters:
                    self._abandon()  # nobody else would come for it
                raise WorkCycleError(self.name)
            ahead = ahead.waits_for
        behalf.waits_for = self
        return behalf

    def _abandon(self) -> None:
        self.abandoned = True
        self._forget(self)
        if self._task is not None:
            self._task.cancel()

    @property
    def under_way(self) -> bool:
        """Whether it has begun and has not ended, though it may have been cancelled."""
        return self._task is not None and not self._task.done()


async def _await(work: Awaitable[R]) -> R:
    return await work
