"""A queue of work by priority, in which nothing waits for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from types import TracebackType
from typing import Generic, Self, TypeVar

from mobius_infra.core import Clock, Events, Stats, SystemClock, counter, gauge, require
from mobius_infra.perf._checks import is_number, require_count, require_name, require_seconds
from mobius_infra.perf._drain import Waiters, log, tell_failure
from mobius_infra.perf._work_errors import WorkClosedError, WorkFullError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkQueueStats(Stats):
    """The numbers of a work queue."""

    succeeded: int = counter("Items that were handled")
    failed: int = counter("Items whose handler raised")
    cancelled: int = counter("Items whose handler was cancelled")
    rejected: int = counter("Items for which there was no room")
    under_way: int = gauge("Items that are being handled")
    waiting: int = gauge("Items in the queue")
    blocked: int = gauge("Callers that wait for room")


def rank_of(priority: float, now: float, aging: float | None) -> float:
    """Return where an item stands; the lowest is served first.

    Waiting for `aging` seconds is worth one step of priority. At any later time `t` an item's
    effective priority is `priority - (t - now) / aging`. Between two items `t` falls out, so that
    their order never changes while they wait, and this number can be computed once.
    """
    return priority if aging is None else priority * aging + now


class _Entry(Generic[T]):
    """An item that waits, and whoever waits for room for it."""

    __slots__ = ("context", "item", "order", "rank", "room")

    def __init__(self, item: T, rank: float, order: int) -> None:
        self.item = item
        self.rank = rank
        self.order = order
        self.context: Context = copy_context()
        self.room: asyncio.Future[bool] | None = None  # False: it was closed

    def __lt__(self, other: "_Entry[T]") -> bool:
        return (self.rank, self.order) < (other.rank, other.order)


class WorkQueue(Generic[T]):
    """Hands items to an async handler, the most urgent first.

        async with WorkQueue("exports", export, limit=4, aging=60) as exports:
            await exports.put(report, priority=1)

    An error of the handler is logged and told to `events` as `WorkFailed`; the next item follows.
    Each item is handled in a task of its own, with the context variables of whoever put it.
    Leaving the block takes no more and handles what there is. It belongs to one event loop.

    Args:
        name: for numbers, events and errors.
        handler: an async function of one item.
        limit: items that are handled at once.
        size: items that may wait.
        aging: seconds of waiting that are worth one step of priority, so that what is not urgent is
            done some day; None: what is more urgent always comes first.
        grace: seconds that leaving the block goes on handling; None: until all is handled.
        clock: where time comes from.
    """

    __slots__ = (
        "_aging", "_blocked", "_cancelled", "_clock", "_closed", "_failed", "_grace", "_handler",
        "_limit", "_order", "_rejected", "_size", "_succeeded", "_tasks", "_waiters", "_waiting",
        "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        handler: Callable[[T], Awaitable[object]],
        *,
        limit: int = 1,
        size: int = 1_000,
        aging: float | None = 60.0,
        grace: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        require_name(name)
        require(callable(handler), "handler", handler, "an async function of one item")
        require_count("limit", limit)
        require_count("size", size)
        if aging is not None:
            require_seconds("aging", aging)
            require(aging > 0, "aging", aging, "positive, or None")
        if grace is not None:
            require_seconds("grace", grace)
        self.name = name
        self.events = Events()
        self._handler = handler
        self._limit = limit
        self._size = size
        self._aging = aging
        self._clock: Clock = clock or SystemClock()
        self._grace = grace
        self._order = count()  # of equals, first come, first served
        self._waiting: list[_Entry[T]] = []  # a heap, as is the next
        self._blocked: list[_Entry[T]] = []
        self._tasks: dict[asyncio.Task[None], T] = {}
        self._waiters = Waiters(self._clock)
        self._closed = False
        self._succeeded = self._failed = self._cancelled = self._rejected = 0

    def put_nowait(self, item: T, priority: float = 0) -> None:
        """Put an item in, if there is room.

        Args:
            item: what the handler takes.
            priority: the lower, the sooner, as with `nice`.

        Raises:
            WorkFullError: if there is none.
            WorkClosedError: if it is closed or being closed.
        """
        entry = self._entry(item, priority)
        if len(self._waiting) >= self._size:
            self._rejected += 1
            raise WorkFullError(self.name, limit=self._limit, waiting=len(self._waiting))
        heappush(self._waiting, entry)
        self._pump()

    async def put(self, item: T, priority: float = 0) -> None:
        """Put an item in; wait for room, and let in first what is more urgent.

        If it is cancelled, the item is not in the queue, unless it is being handled already.

        Raises:
            WorkClosedError: if it is closed, or closed while we wait.
        """
        entry = self._entry(item, priority)
        if len(self._waiting) < self._size:
            heappush(self._waiting, entry)
            self._pump()
            return
        entry.room = asyncio.get_running_loop().create_future()
        heappush(self._blocked, entry)
        try:
            let_in = await entry.room
        except asyncio.CancelledError:
            if not _remove(self._blocked, entry) and _remove(self._waiting, entry):
                self._pump()
            raise
        if not let_in:
            raise WorkClosedError(self.name)

    def _entry(self, item: T, priority: float) -> _Entry[T]:
        require(is_number(priority), "priority", priority, "a number")
        if self._closed:
            self._rejected += 1
            raise WorkClosedError(self.name)
        rank = rank_of(priority, self._clock.monotonic(), self._aging)
        return _Entry(item, rank, next(self._order))

    def _pump(self) -> None:
        """Begin what may begin, and let in who has waited for room."""
        self._let_in()
        while self._waiting and len(self._tasks) < self._limit:
            self._begin(heappop(self._waiting))
            self._let_in()
        if not self._tasks:  # then nothing waits either
            self._waiters.wake()

    def _let_in(self) -> None:
        while self._blocked and len(self._waiting) < self._size:
            entry = heappop(self._blocked)
            if entry.room is not None and not entry.room.done():  # or it is just being cancelled
                heappush(self._waiting, entry)
                entry.room.set_result(True)

    def _begin(self, entry: _Entry[T]) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._handle(entry.item), context=entry.context)
        self._tasks[task] = entry.item
        task.add_done_callback(self._ended)

    async def _handle(self, item: T) -> None:
        await self._handler(item)

    def _ended(self, task: asyncio.Task[None]) -> None:
        item = self._tasks.pop(task)
        if task.cancelled():
            self._cancelled += 1
        elif (error := task.exception()) is not None:
            self._failed += 1
            tell_failure(self.events, self._clock, self.name, repr(item), error)
        else:
            self._succeeded += 1
        self._pump()

    async def drain(self, timeout: float | None = None) -> bool:
        """Wait until all is handled; False if that takes longer than `timeout` seconds."""
        idle = not self._waiting and not self._tasks
        return idle or await self._waiters.wait(timeout)

    async def close(self, timeout: float | None = None) -> list[T]:
        """Take no more, handle what there is, and cancel what is left.

        Args:
            timeout: seconds until it is cancelled; None: it is waited for. Cancelled while it
                waits, it cancels at once.

        Returns:
            The items that were not handled to their end, most urgent first. Callers that waited
            for room get a `WorkClosedError`: theirs are not among them.
        """
        self._closed = True
        blocked, self._blocked = self._blocked, []
        for entry in blocked:
            if entry.room is not None and not entry.room.done():
                entry.room.set_result(False)
        try:
            await self.drain(timeout)
        except asyncio.CancelledError:
            self._give_up()
            raise
        left, begun = self._give_up()
        if begun:
            await asyncio.wait(begun)
        return [item for task, item in begun.items() if task.cancelled()] + left

    def _give_up(self) -> tuple[list[T], dict[asyncio.Task[None], T]]:
        """Return what waits, which is forgotten, and what is under way, which is cancelled."""
        left = [entry.item for entry in sorted(self._waiting)]
        self._waiting.clear()
        begun = dict(self._tasks)
        for task in begun:
            task.cancel()
        if number := len(left) + len(begun):
            log.warning("%r is closed before %d items were handled", self.name, number)
        return left, begun

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(self._grace)

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._waiting)

    def stats(self) -> WorkQueueStats:
        """Return the numbers as they are now."""
        return WorkQueueStats(
            succeeded=self._succeeded,
            failed=self._failed,
            cancelled=self._cancelled,
            rejected=self._rejected,
            under_way=len(self._tasks),
            waiting=len(self._waiting),
            blocked=len(self._blocked),
        )

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        counts = f"{len(self._tasks)} under way, {len(self._waiting)} wait"
        return f"WorkQueue({self.name!r}, {counts}{state})"


def _remove(heap: list[_Entry[T]], entry: _Entry[T]) -> bool:
    if entry not in heap:
        return False
    heap.remove(entry)
    heapify(heap)
    return True
