"""Blocking functions in threads: so many at once, so many in a queue, and none that is forgotten.

A thread can't be stopped. When the caller of one is cancelled it goes on, abandoned: it is counted
until it ends, and another takes its place, up to a cap. Beyond that, abandoned threads keep their
places, so that a dependency that hangs can't fill the process with threads.

The threads are daemons: the interpreter would wait for those of a `ThreadPoolExecutor` at its end.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial, wraps
from inspect import iscoroutinefunction
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from mobius_infra.core import Clock, Events, Stats, SystemClock, counter, gauge, require
from mobius_infra.perf._checks import require_count, require_name, require_seconds
from mobius_infra.perf._drain import Waiters
from mobius_infra.perf._work_errors import WorkClosedError, WorkFullError

P = ParamSpec("P")
R = TypeVar("R")

# Any, here and below: whatever the function returns.
Answer = tuple[Any, BaseException | None]
Job = Callable[[], None]


@dataclass(frozen=True, slots=True)
class ThreadsStats(Stats):
    """The numbers of a group of threads."""

    calls: int = counter("Calls that got a thread")
    rejected: int = counter("Calls for which there was no room")
    given_up: int = counter("Calls whose caller was cancelled while the thread went on")
    limit: int = gauge("Threads that may work at once")
    under_way: int = gauge("Threads at work for a caller")
    abandoned: int = gauge("Threads at work for nobody")
    waiting: int = gauge("Calls that wait for a thread")


class Threads:
    """Runs blocking functions in threads. Made by `run_in_threads`, where it is described."""

    __slots__ = (
        "_abandoned", "_calls", "_clock", "_closed", "_given_up", "_grace", "_jobs", "_late",
        "_limit", "_most_abandoned", "_queue", "_rejected", "_threads", "_turns", "_under_way",
        "_waiters", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        limit: int,
        queue: int,
        most_abandoned: int,
        grace: float,
        clock: Clock,
    ) -> None:
        self.name = name
        self.events = Events()
        self._limit = limit
        self._queue = queue
        self._most_abandoned = most_abandoned
        self._grace = grace
        self._clock = clock
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()  # never holds more than idle threads
        self._threads = 0
        self._under_way = self._abandoned = 0
        self._late: deque[None] = deque()  # ends of abandoned threads whose loop was closed
        self._turns: OrderedDict[asyncio.Future[bool], None] = OrderedDict()
        self._waiters = Waiters(clock)
        self._closed = False
        self._calls = self._rejected = self._given_up = 0

    def __call__(self, func: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]:
        """Make an async function of a blocking one."""
        allowed = "a function that blocks: an async one needs no thread"
        blocks = not iscoroutinefunction(func)
        require(blocks, f"the function decorated by {self!r}", func, allowed)

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self.run(func, *args, **kwargs)

        return wrapper

    async def run(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` in a thread, with the caller's context variables, and return its result.

        Raises:
            WorkFullError: if there is no room to wait.
            WorkClosedError: if it is closed, or closed while we wait.
        """
        if self._closed:
            self._rejected += 1
            raise WorkClosedError(self.name)
        while self._late:
            self._late.pop()
            self._abandoned -= 1
        if not self._free():
            await self._turn()
        else:
            self._under_way += 1
        self._calls += 1
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        context, call = copy_context(), partial(func, *args, **kwargs)
        self._employ(partial(self._work, loop, answer, context, call))
        try:
            result, error = await answer
        except asyncio.CancelledError:
            if answer.cancelled():  # the thread goes on
                self._given_up += 1
                self._under_way -= 1
                self._abandoned += 1
                self._look()
            raise
        if error is not None:
            try:
                raise error
            finally:
                del answer, error  # the error refers to this frame, both to it
        found: R = result
        return found

    def _free(self) -> bool:
        above = max(0, self._abandoned - self._most_abandoned)  # these keep their places
        return self._under_way + above < self._limit

    async def _turn(self) -> None:
        if len(self._turns) >= self._queue:
            self._rejected += 1
            raise WorkFullError(self.name, limit=self._limit, waiting=len(self._turns))
        turn = asyncio.get_running_loop().create_future()
        self._turns[turn] = None
        try:
            given = await turn
        except asyncio.CancelledError:
            self._turns.pop(turn, None)
            if not turn.cancelled() and turn.result():  # it was our turn just now
                self._under_way -= 1
                self._look()
            raise
        if not given:
            self._rejected += 1
            raise WorkClosedError(self.name)

    def _employ(self, job: Job) -> None:
        """Hand a job to an idle thread, or to a new one."""
        if self._threads < self._under_way + self._abandoned:
            number = self._threads = self._threads + 1
            name = f"{self.name}-{number}"
            Thread(target=_serve, args=(self._jobs,), name=name, daemon=True).start()
        self._jobs.put(job)

    def _work(
        self,
        loop: asyncio.AbstractEventLoop,
        answer: asyncio.Future[Answer],
        context: Context,
        call: Callable[[], Any],
    ) -> None:
        """Do a job. This runs in a thread."""
        result: Any = None
        error: BaseException | None = None
        try:
            result = context.run(call)
        except BaseException as raised:  # noqa: BLE001 - the caller raises it
            error = raised
        try:
            loop.call_soon_threadsafe(self._ended, answer, (result, error))
        except RuntimeError:  # the loop is closed; its end had cancelled the caller
            self._late.append(None)
        finally:
            del answer, error  # the error refers to this frame, both to it

    def _ended(self, answer: asyncio.Future[Answer], outcome: Answer) -> None:
        if answer.done():
            self._abandoned -= 1
        else:
            self._under_way -= 1
            answer.set_result(outcome)
        self._look()

    def _look(self) -> None:
        """Give the turn to those who may have it, and dismiss threads that are too many."""
        while self._turns and self._free():
            turn, _ = self._turns.popitem(last=False)
            if not turn.done():
                self._under_way += 1
                turn.set_result(True)
        busy = self._under_way + self._abandoned
        if self._threads > max(busy, 0 if self._closed else self._limit):
            self._threads -= 1
            self._jobs.put(None)
        if not self._under_way:
            self._waiters.wake()

    async def close(self, timeout: float | None = None) -> int:
        """Take no more calls, refuse those that wait, and wait for those that are under way.

        Args:
            timeout: seconds after which we wait no longer; None: as long as it takes.

        Returns:
            How many threads are still at work, abandoned ones included.
        """
        self._closed = True
        while self._turns:
            turn, _ = self._turns.popitem(last=False)
            if not turn.done():
                turn.set_result(False)
        if self._under_way:
            await self._waiters.wait(timeout)
        self._dismiss()
        return self._under_way + self._abandoned

    def _dismiss(self) -> None:
        idle = self._threads - self._under_way - self._abandoned
        self._threads -= idle
        for _ in range(idle):
            self._jobs.put(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(self._grace)

    def __del__(self) -> None:
        for _ in range(self._threads):  # idle ones know only their queue, and would wait for ever
            self._jobs.put(None)

    def stats(self) -> ThreadsStats:
        """Return the numbers as they are now."""
        return ThreadsStats(
            calls=self._calls,
            rejected=self._rejected,
            given_up=self._given_up,
            limit=self._limit,
            under_way=self._under_way,
            abandoned=self._abandoned,
            waiting=len(self._turns),
        )

    def __repr__(self) -> str:
        counts = f"{self._under_way} of {self._limit} under way, {self._abandoned} abandoned"
        return f"Threads({self.name!r}, {counts}{', closed' if self._closed else ''})"


def _serve(jobs: "SimpleQueue[Job | None]") -> None:
    """Do one job after the other, until told that there are no more."""
    while (job := jobs.get()) is not None:
        job()
        del job  # an idle thread keeps nothing alive


def run_in_threads(
    name: str,
    *,
    limit: int = 8,
    queue: int = 100,
    most_abandoned: int = 8,
    grace: float = 30.0,
    clock: Clock | None = None,
) -> Threads:
    """Let blocking functions run in threads of their own.

        pdf = run_in_threads("pdf", limit=4)

        @pdf
        def render(page: Page) -> bytes: ...

        await render(page)
        await pdf.run(os.stat, path)

    The function sees the caller's context variables. A caller who is cancelled while it waits
    leaves the queue; one whose function has begun leaves an abandoned thread behind. `close`, or
    leaving `async with pdf`, waits for what is under way. It belongs to one event loop at a time.

    Args:
        name: for numbers, errors and threads.
        limit: calls that run at once.
        queue: calls that may wait for a thread, first come first served.
        most_abandoned: abandoned threads that don't count against `limit`.
        grace: seconds that leaving the block waits for threads.
        clock: where time comes from.
    """
    require_name(name)
    require_count("limit", limit)
    require_count("queue", queue, least=0)
    require_count("most_abandoned", most_abandoned, least=0)
    require_seconds("grace", grace)
    return Threads(
        name,
        limit=limit,
        queue=queue,
        most_abandoned=most_abandoned,
        grace=grace,
        clock=clock or SystemClock(),
    )
