"""Tasks that nobody waits for: limited, never lost, and brought to an end."""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from mobius_infra.core import Clock, Events, Stats, SystemClock, counter, gauge, require
from mobius_infra.perf._checks import require_count, require_name, require_seconds
from mobius_infra.perf._drain import Waiters, tell_failure
from mobius_infra.perf._work_errors import WorkClosedError, WorkFullError

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BackgroundStats(Stats):
    """The numbers of background tasks."""

    succeeded: int = counter("Tasks that returned")
    failed: int = counter("Tasks that raised")
    cancelled: int = counter("Tasks that were cancelled")
    rejected: int = counter("Tasks for which there was no room")
    under_way: int = gauge("Tasks that have begun")
    waiting: int = gauge("Tasks that wait for their turn")


class Background:
    """Tasks that nobody need wait for.

        async with Background("mail", limit=20) as mail:
            mail.create_task(send(letter))

    Unlike those of an `asyncio.TaskGroup`, whose `create_task` this one resembles, they don't fall
    together: one that fails is logged and told to `events` as `WorkFailed`, and the others go on.
    Leaving the block takes no more, lets them come to their end for `grace` seconds, cancels what
    is left then and waits for it. It belongs to one event loop.

    Args:
        name: for numbers, events and errors.
        limit: tasks under way at once.
        queue: tasks that may wait for their turn, first come first served.
        grace: seconds that leaving the block lets them go on.
        clock: where time comes from.
    """

    __slots__ = (
        "_cancelled", "_clock", "_closed", "_failed", "_grace", "_limit", "_queue", "_rejected",
        "_running", "_succeeded", "_tasks", "_turns", "_waiters", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        limit: int = 100,
        queue: int = 1_000,
        grace: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        require_name(name)
        require_count("limit", limit)
        require_count("queue", queue, least=0)
        require_seconds("grace", grace)
        self.name = name
        self.events = Events()
        self._limit = limit
        self._queue = queue
        self._grace = grace
        self._clock: Clock = clock or SystemClock()
        # The event loop itself keeps only weak references.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._running = 0
        self._turns: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._waiters = Waiters(self._clock)
        self._closed = False
        self._succeeded = self._failed = self._cancelled = self._rejected = 0

    def create_task(
        self,
        # Any: the send and yield types, which no caller of a coroutine sees.
        coroutine: Coroutine[Any, Any, R],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[R]:
        """Run a coroutine in a task, which may be awaited and cancelled like any other.

        Args:
            coroutine: what is to be run; it is closed if it is rejected.
            name: of the task.
            context: its context variables; a copy of the present ones by default.

        Raises:
            WorkFullError: if there is no room to wait.
            WorkClosedError: if it is closed or being closed.
        """
        require(iscoroutine(coroutine), "coroutine", coroutine, "a coroutine: call the function")
        waiting = len(self._tasks) - self._limit
        if self._closed or waiting >= self._queue:
            coroutine.close()
            self._rejected += 1
            if self._closed:
                raise WorkClosedError(self.name)
            raise WorkFullError(self.name, limit=self._limit, waiting=waiting)
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._run(coroutine), name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, coroutine))
        return task

    async def _run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        if self._running < self._limit:
            self._running += 1
        else:
            await self._turn()
        try:
            return await coroutine
        finally:
            self._release()

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._turns[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._turns.pop(turn, None)
            else:  # the slot was handed to us just now
                self._release()
            raise

    def _release(self) -> None:
        """Pass the slot on to whose turn it is."""
        while self._turns:
            turn, _ = self._turns.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1

    def _ended(self, coroutine: Coroutine[Any, Any, Any], task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if getcoroutinestate(coroutine) == CORO_CREATED:  # cancelled before its turn came
            coroutine.close()
        if task.cancelled():
            self._cancelled += 1
        elif (error := task.exception()) is not None:
            self._failed += 1
            tell_failure(self.events, self._clock, self.name, task.get_name(), error)
        else:
            self._succeeded += 1
        if not self._tasks:
            self._waiters.wake()

    async def drain(self, timeout: float | None = None) -> bool:
        """Wait until there is no task; False if there still is after `timeout` seconds."""
        return not self._tasks or await self._waiters.wait(timeout)

    async def close(self, timeout: float | None = None) -> int:
        """Take no more tasks, wait for those there are, and cancel what is left.

        Args:
            timeout: seconds until they are cancelled; None: they are waited for. Cancelled while
                it waits, it cancels them at once.

        Returns:
            How many had to be cancelled. They have ended by then.
        """
        self._closed = True
        try:
            await self.drain(timeout)
        finally:
            left = set(self._tasks)
            for task in left:
                task.cancel()
        if left:
            await asyncio.wait(left)
        return len(left)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(self._grace)

    def stats(self) -> BackgroundStats:
        """Return the numbers as they are now."""
        return BackgroundStats(
            succeeded=self._succeeded,
            failed=self._failed,
            cancelled=self._cancelled,
            rejected=self._rejected,
            under_way=self._running,
            waiting=len(self._tasks) - self._running,
        )

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"Background({self.name!r}, {len(self._tasks)} tasks, limit={self._limit}{state})"
