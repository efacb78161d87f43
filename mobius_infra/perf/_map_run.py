"""The work behind `map_bounded` and `gather_bounded`: a window that moves along a source.

One task, the feeder, takes items from the source and begins a call for each; every call runs in a
task of its own, with context variables of its own. The feeder waits, before it takes another item,
while there are `limit` calls under way or no room for another result. So what is held at once is
at most `limit + ahead` calls and results, however long the source.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from inspect import isawaitable
from typing import Generic, TypeVar

from mobius_infra.core import require

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger("mobius_infra")


class MapRun(Generic[T, R]):
    """One run over one source.

    Args:
        begin: makes the awaitable for an item.
        source: where items come from.
        limit: calls under way at once.
        ahead: results that may wait to be taken, on top of that.
        ordered: give results in the order of the source; otherwise as they come.
    """

    __slots__ = (
        "_ahead", "_begin", "_calls", "_failure", "_feeder", "_held", "_limit", "_loop", "_ordered",
        "_over", "_results", "_room", "_source", "_wake",
    )  # fmt: skip

    def __init__(
        self,
        begin: Callable[[T], Awaitable[R]],
        source: Iterable[T] | AsyncIterable[T],
        *,
        limit: int,
        ahead: int,
        ordered: bool,
    ) -> None:
        self._begin = begin
        self._source = source
        self._limit = limit
        self._ahead = ahead
        self._ordered = ordered
        self._calls: set[asyncio.Task[R]] = set()  # under way
        # Ended and not taken; in order, all that were begun and not taken: then the first counts.
        self._results: deque[asyncio.Task[R]] = deque()
        self._held = 0  # begun and not taken
        self._failure: BaseException | None = None
        self._over = False  # it failed, or nobody takes results any more
        self._room: asyncio.Future[None] | None = None  # what the feeder waits for
        self._wake: asyncio.Future[None] | None = None  # what whoever takes results waits for

    async def results(self) -> AsyncGenerator[R, None]:
        """Run, and give the results.

        Raises:
            BaseException: the first error of a call, of `begin` or of the source.
        """
        self._loop = asyncio.get_running_loop()
        results = self._results
        self._feeder = self._loop.create_task(self._feed())
        self._feeder.add_done_callback(self._fed)
        try:
            while True:
                while self._failure is None and results and results[0].done():
                    self._held -= 1
                    self._look_for_room()
                    yield results.popleft().result()
                if self._failure is not None:
                    raise self._failure
                if self._feeder.done() and not self._held:
                    return
                self._wake = self._loop.create_future()
                await self._wake
        finally:
            self._failure = None  # its traceback refers to this frame
            self._cancel()
            # Cancelled once more, we don't insist: the calls are told, and end by themselves.
            await asyncio.wait({self._feeder, *self._calls})

    async def _feed(self) -> None:
        source = self._source
        if isinstance(source, AsyncIterable):
            async for item in source:
                self._start(item)
                if self._full():
                    await self._until_room()
        else:
            for item in source:
                self._start(item)
                if self._full():
                    await self._until_room()

    def _start(self, item: T) -> None:
        made = self._begin(item)
        coroutine = made if asyncio.iscoroutine(made) else _await(made)
        call = self._loop.create_task(coroutine)
        self._calls.add(call)
        self._held += 1
        if self._ordered:
            self._results.append(call)
        call.add_done_callback(self._ended)

    def _full(self) -> bool:
        return len(self._calls) >= self._limit or self._held >= self._limit + self._ahead

    async def _until_room(self) -> None:
        while self._full():
            self._room = self._loop.create_future()
            await self._room

    def _look_for_room(self) -> None:
        if self._room is not None and not self._full():
            _set(self._room)
            self._room = None

    def _look_for_results(self) -> None:
        if self._wake is not None:
            _set(self._wake)
            self._wake = None

    def _ended(self, call: asyncio.Task[R]) -> None:
        self._calls.discard(call)
        if call.cancelled():
            self._fail(asyncio.CancelledError())
        elif (error := call.exception()) is not None:
            self._fail(error)
        else:
            if not self._ordered:
                self._results.append(call)
            self._look_for_room()
            if self._results[0].done():
                self._look_for_results()

    def _fed(self, feeder: asyncio.Task[None]) -> None:
        if feeder.cancelled():
            self._fail(asyncio.CancelledError())
        elif (error := feeder.exception()) is not None:
            self._fail(error)
        self._look_for_results()

    def _fail(self, error: BaseException) -> None:
        if not self._over:
            self._failure = error
            self._cancel()
            self._look_for_results()
        elif not isinstance(error, asyncio.CancelledError):
            log.error("a call failed while a bounded run was ending", exc_info=error)

    def _cancel(self) -> None:
        self._over = True
        self._feeder.cancel()
        for call in self._calls:
            call.cancel()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():  # whoever waited may have been cancelled
        future.set_result(None)


async def _await(made: Awaitable[R]) -> R:
    allowed = "awaitable: give an async function, and run what blocks in threads"
    require(isawaitable(made), "what the function returned", made, allowed)
    return await made
