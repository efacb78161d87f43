"""Several attempts at one call: the first that succeeds wins, and none is left behind."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar

from mobius_infra.breaker._ending import must_end
from mobius_infra.breaker._scope import present_task, resume
from mobius_infra.core import Clock, call_later

R = TypeVar("R")


class Race(Generic[R]):
    """The attempts of one call, from when the first has something to wait for.

    The first goes on in the caller's task, where it would run without a race: what it reads from
    the task and the context is as ever, and a call that needs no second attempt needs no task. If
    another wins, the caller's task is cancelled to end the first, by the rules of `asyncio.timeout`
    (see `Scope`): a cancellation that came from outside as well is not taken back.

    Args:
        attempt: begins another attempt.
        may_begin: asked before each; if not, there is no further one.
        delay: seconds between the beginnings of two attempts.
        most: further attempts.
        context: in which each of them begins, in a copy of its own.
        clock: measures the delay.
        name: of the hedge, for notes.
    """

    __slots__ = (
        "_attempt", "_cancelling", "_clock", "_context", "_decided", "_delay", "_disarm",
        "_first_runs", "_interrupted", "_may_begin", "_most", "_name", "_notes", "_others",
        "_running", "_task", "_winner",
    )  # fmt: skip

    def __init__(
        self,
        attempt: Callable[[], Coroutine[Any, Any, R]],
        may_begin: Callable[[], bool],
        *,
        delay: float,
        most: int,
        context: Context,
        clock: Clock,
        name: str,
    ) -> None:
        self._attempt = attempt
        self._may_begin = may_begin
        self._delay = delay
        self._most = most
        self._context = context
        self._clock = clock
        self._name = name
        self._task = present_task()
        self._cancelling = self._task.cancelling()
        self._others: list[asyncio.Task[R]] = []
        self._running = 0  # of the others
        self._first_runs = True
        self._interrupted = False
        self._winner: asyncio.Task[R] | None = None
        self._decided: asyncio.Future[None] | None = None
        self._notes: list[str] = []
        self._arm()

    @property
    def won_by_another(self) -> bool:
        """Whether an attempt after the first was the first to succeed."""
        return self._winner is not None

    # Any: what a coroutine yields to the event loop.
    async def run(self, first: Coroutine[Any, Any, R], waits_for: Any) -> R:
        """Go on with the first attempt, and return what the winner returns.

        Raises:
            BaseException: what the first raised, if no attempt succeeds; the errors of the others
                are its notes. Cancellation from outside, once all attempts have ended.
        """
        try:
            result = await self._run_first(first, waits_for)
        except GeneratorExit:  # thrown away: nothing can be awaited any more
            self._cancel_others()
            raise
        except BaseException:
            await self._end_others()
            raise
        await self._end_others()
        return result

    async def _run_first(self, first: Coroutine[Any, Any, R], waits_for: Any) -> R:
        try:
            result = await resume(first, waits_for)
        except BaseException as error:
            if self._end_first(error):
                return await self._rest(error)
            raise
        self._end_first(None)
        return result if self._winner is None else self._winner.result()

    def _end_first(self, error: BaseException | None) -> bool:
        """Note that the first has ended; say whether another attempt may still answer."""
        self._first_runs = False
        if self._interrupted:
            self._task.uncancel()
        if must_end(error, self._cancelling):
            return False  # somebody else wants the task to end
        if isinstance(error, asyncio.CancelledError):
            return self._interrupted
        return isinstance(error, Exception) and (self._interrupted or self._running > 0)

    async def _rest(self, error: BaseException) -> R:
        """Return the first success of the others; raise `error` if there is none."""
        if self._winner is None:
            self._decided = asyncio.get_running_loop().create_future()
            await self._decided
        if self._winner is not None:
            return self._winner.result()
        for note in self._notes:
            with suppress(Exception):  # an error that can't be changed is raised as it is
                error.add_note(note)
        raise error

    def _arm(self) -> None:
        self._disarm = call_later(
            self._clock, self._delay, partial(self._context.run, self._begin_another)
        )

    def _begin_another(self) -> None:
        if not self._may_begin():
            return
        # In a copy of the context, as every task.
        task = asyncio.get_running_loop().create_task(self._attempt())
        self._others.append(task)
        self._running += 1
        task.add_done_callback(self._ended)
        if len(self._others) < self._most:
            self._arm()

    def _ended(self, task: "asyncio.Task[R]") -> None:
        self._running -= 1
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            number = self._others.index(task) + 2
            how = "was cancelled" if error is None else f"failed too: {error!r}"
            self._notes.append(f"hedge {self._name!r}: attempt {number} {how}")
        elif self._winner is None:
            self._winner = task
            self._disarm()
            if self._first_runs:
                self._interrupted = True
                self._task.cancel()
        decided = self._decided
        if decided is not None and not decided.done() and (self._winner or not self._running):
            decided.set_result(None)

    def _cancel_others(self) -> None:
        self._disarm()
        for task in self._others:
            task.cancel()

    async def _end_others(self) -> None:
        """Cancel what still runs, and wait for it, whatever happens meanwhile."""
        self._cancel_others()
        cancelled: asyncio.CancelledError | None = None
        while running := [task for task in self._others if not task.done()]:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError as error:
                cancelled = error
        try:
            if cancelled is not None:
                raise cancelled
        finally:
            del cancelled  # its traceback refers to this frame
