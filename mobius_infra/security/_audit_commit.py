"""Group commit: what waits while a group is written is the next group."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from typing import Any, NamedTuple

from mobius_infra.core import Clock, own_instance
from mobius_infra.security._audit_errors import AuditError, AuditWriteError
from mobius_infra.security._audit_store import Store, Written

_MOST = 4_096
"""Records of one group, so that the first of it does not wait for a flood."""


class _Waiting(NamedTuple):
    body: bytes
    done: "asyncio.Future[int] | None"  # None: nobody waits


class Commits:
    """Records that wait, and the one thread that writes them.

    Args:
        name: of the audit log, for errors.
        store: writes.
        clock: where time comes from.
        told: called after each group with how many there were, and what became of them.
    """

    __slots__ = (
        "_busy", "_checkpoints", "_clock", "_here", "_idle", "_loop", "_name", "_queue", "_started",
        "_store", "_thread", "_told",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        store: Store,
        clock: Clock,
        told: Callable[[int, Written | AuditError], None],
    ) -> None:
        self._name, self._store, self._clock, self._told = name, store, clock, told
        self._queue: list[_Waiting] = []
        self._checkpoints: list[asyncio.Future[Written]] = []
        self._busy = self._started = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = asyncio.get_running_loop()
        self._here = get_ident()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"audit-{name}")

    def __len__(self) -> int:
        return len(self._queue)

    async def open(self) -> None:
        """Open the trail."""
        await self._loop.run_in_executor(self._thread, self._store.open, self._clock.time())

    def put(self, body: bytes) -> None:
        """Have a record written that nobody waits for; another thread may call it too."""
        self._queue.append(_Waiting(body, None))
        if get_ident() == self._here:
            self._kick()
        else:
            self._loop.call_soon_threadsafe(self._kick)

    def append(self, body: bytes) -> "asyncio.Future[int]":
        """Have a record written; the result is its place."""
        done: asyncio.Future[int] = self._loop.create_future()
        self._queue.append(_Waiting(body, done))
        if not self._busy and not self._started:
            self._kick()
        return done

    def checkpoint(self) -> "asyncio.Future[Written]":
        """Have a checkpoint made after what waits."""
        done: asyncio.Future[Written] = self._loop.create_future()
        self._checkpoints.append(done)
        self._kick()
        return done

    async def flush(self) -> None:
        """Return when everything was tried."""
        await self._idle.wait()

    async def close(self) -> None:
        """Close the trail, after the group that is being written."""
        closing = self._thread.submit(self._store.close)
        self._thread.shutdown(wait=False)
        await asyncio.wrap_future(closing)

    def _kick(self) -> None:
        self._idle.clear()
        if not self._busy and not self._started:
            self._started = True
            # At the end of this turn, so that what other tasks append in it is in the group.
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._started = False
        group = self._queue[:_MOST]
        del self._queue[: len(group)]  # in place: another thread may append meanwhile
        checkpoints: list[asyncio.Future[Written]] = []
        if not self._queue:
            checkpoints, self._checkpoints = self._checkpoints, []
        if not group and not checkpoints:
            self._idle.set()
            return
        self._busy = True
        bodies = [each.body for each in group]
        at, signed = self._clock.time(), bool(checkpoints)
        # Shielded from nothing: no task awaits it, so no cancellation reaches it.
        running = self._loop.run_in_executor(self._thread, self._append, bodies, at, signed)
        running.add_done_callback(lambda ended: self._done(group, checkpoints, ended))

    def _append(self, bodies: list[bytes], at: float, signed: bool) -> Written:
        return self._store.append(bodies, at, checkpoint=signed)

    def _done(
        self,
        group: list[_Waiting],
        checkpoints: "list[asyncio.Future[Written]]",
        ended: "asyncio.Future[Written]",
    ) -> None:
        self._busy = False
        error = None if ended.cancelled() else ended.exception()
        if ended.cancelled() or error is not None:
            if not isinstance(error, AuditError):
                error = AuditWriteError(self._name, _reason(error))
            self._fail(group, checkpoints, error)
        else:
            written = ended.result()
            for place, each in enumerate(group, written.first):
                if each.done is not None and not each.done.done():
                    each.done.set_result(place)
            for waiter in checkpoints:
                if not waiter.done():
                    waiter.set_result(written)
            self._told(len(group), written)
        self._kick()

    def _fail(
        self,
        group: list[_Waiting],
        checkpoints: "list[asyncio.Future[Written]]",
        error: AuditError,
    ) -> None:
        waiters: list[asyncio.Future[Any]] = [*checkpoints]
        waiters += [each.done for each in group if each.done is not None]
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(own_instance(error))
        self._told(len(group), error)


def _reason(error: BaseException | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
