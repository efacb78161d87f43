"""The backend in a SQL database: SQLite by default, PostgreSQL by URL."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, Self, TypeVar

from mobius_infra.core._backend import (
    BackendLost,
    BackendRestored,
    Gap,
    Message,
    Subscription,
    check_key,
    check_ttl,
)
from mobius_infra.core._clock import Clock
from mobius_infra.core._errors import BackendError, BackendTimeoutError, BackendUnavailableError
from mobius_infra.core._events import Events
from mobius_infra.core._script import Scalar, Script
from mobius_infra.core.backends._sql_engine import (
    AsyncConnection,
    SQLAlchemyError,
    Store,
    is_locked,
    is_lost,
)
from mobius_infra.core.backends._sqlite_direct import Direct
from mobius_infra.core.backends._url import BackendUrl

P = ParamSpec("P")
Result = TypeVar("Result", bound=tuple[Scalar, ...])
T = TypeVar("T")

Work = Callable[[AsyncConnection], Awaitable[T]]

_EVERY = 64  # writes from one sweep to the next
_RETENTION = 60.0  # seconds that messages are kept: a reader away for longer is told of a gap
_POLL = 0.05  # seconds between two looks for messages


class SQLBackend:
    """Keeps everything in two tables, which it creates by itself.

    Expired rows are invisible at once, and deleted in small batches by later writes. Messages are
    rows too, looked for every 50 ms.

    An operation that has begun runs to its end, also when its caller is cancelled: no transaction
    is left half way and no connection is lost.

    Args:
        url: of the scheme `sqlite` or `postgresql`.
        clock: the time for SQLite, which has none of its own; pauses.
    """

    def __init__(self, url: BackendUrl, *, clock: Clock) -> None:
        self.name = url.display
        self.events = Events()
        self._url = url
        self._clock = clock
        self._store: Store | None = None
        self._opening = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()  # Any: results of many operations
        self._writes = 0
        self._lost_at: float | None = None
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        return (await self.get_many([key]))[0]

    async def get_with_ttl(self, key: str) -> tuple[bytes, float | None] | None:
        rows = await self._read("get_with_ttl", [self._key(key)])
        return (rows[0][1] or b"", rows[0][2]) if rows else None

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        named = [self._key(key) for key in keys]
        if not named:
            return []
        found = {row[0]: row[1] or b"" for row in await self._read("get", named)}
        return [found.get(key) for key in named]

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        await self.set_many({key: value}, ttl)

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> None:
        check_ttl(ttl)
        # In one order, so that two writers of the same keys never wait for each other.
        named = sorted((self._key(key), value) for key, value in items.items())
        if (self._writes + 1) % _EVERY:  # else it is time to sweep
            done = await self._directly(
                "set", lambda direct: direct.write(named, ttl, self._clock.time())
            )
            if done is not None:
                self._writes += 1
                return
        await self._write(
            "set", lambda store, conn: store.write(conn, named, ttl, self._clock.time()), again=True
        )

    async def delete(self, *keys: str) -> int:
        named = [self._key(key) for key in keys]
        return await self._write(
            "delete", lambda store, conn: store.delete(conn, named, self._clock.time())
        )

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, ttl: float | None = None
    ) -> bool:
        check_ttl(ttl)
        named = self._key(key)
        return await self._write(
            "compare_and_set",
            lambda store, conn: store.swap(conn, named, expected, value, ttl, self._clock.time()),
        )

    async def run(
        self, script: Script[P, Result], key: str, *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        named = self._key(key)

        async def step(store: Store, conn: AsyncConnection) -> Result:
            await store.lock(conn, named)
            now = await store.now(conn, self._clock.time())
            before = await store.state(conn, named, now)
            state = None if before is None else json.loads(before)
            after, result, ttl = script.step(state, now, *args, **kwargs)
            if after is not None:
                await store.keep(conn, named, json.dumps(after), ttl, now)
            elif before is not None:
                await store.delete(conn, [named], now)
            return result

        return await self._write(f"run {script.name}", step)

    async def now(self) -> float:
        return await self._do(
            "now", lambda store, conn: store.now(conn, self._clock.time()), write=False, again=True
        )

    async def publish(self, channel: str, data: bytes) -> None:
        named = self._key(channel)
        await self._write(
            "publish", lambda store, conn: store.send(conn, named, data, self._clock.time())
        )

    @asynccontextmanager
    async def subscribe(self, *channels: str) -> AsyncIterator[Subscription]:
        named = {self._key(channel): channel for channel in channels}
        last = await self._do(
            "subscribe", lambda store, conn: store.last_message(conn), write=False, again=True
        )
        follow = self._follow(named, last)
        try:
            yield follow
        finally:
            await follow.aclose()

    async def _follow(self, named: dict[bytes, str], last: int) -> Any:
        """Yield what comes after the message `last`. Any: an async generator, typed by its user."""
        channels, lost, heard_at = list(named), "", self._clock.monotonic()
        while not self._closed:
            after = last
            try:
                rows = await self._do(
                    "subscribe",
                    lambda store, conn: store.messages(conn, channels, after),  # noqa: B023
                    write=False,
                    again=True,
                )
            except BackendError as error:
                if self._closed:
                    return
                lost = lost or str(error)
                await self._clock.sleep(20 * _POLL)
                continue
            now = self._clock.monotonic()
            if not lost and now - heard_at >= _RETENTION:
                lost = f"not read for {now - heard_at:.0f} s"
            heard_at = now
            if lost:
                yield Gap(lost)
                lost = ""
            for number, channel, data in rows:
                last = number
                yield Message(named[channel], data)
            if not rows:
                await self._clock.sleep(_POLL)

    async def ping(self) -> None:
        await self.now()

    async def close(self) -> None:
        self._closed = True
        if self._running:
            await asyncio.wait(self._running)
        if self._store is not None:
            await self._store.close()
            self._store = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"SQLBackend({self.name!r})"

    def _key(self, key: str) -> bytes:
        check_key(key)
        return f"{self._url.namespace}:{key}".encode()

    # Any: the rows' columns are of several types.
    async def _read(self, operation: str, keys: list[bytes]) -> list[tuple[Any, ...]]:
        rows = await self._directly(operation, lambda direct: direct.read(keys, self._clock.time()))
        if rows is not None:
            return rows
        return await self._do(
            operation,
            lambda store, conn: store.read(conn, keys, self._clock.time()),
            write=False,
            again=True,
        )

    async def _directly(self, operation: str, work: Callable[[Direct], Awaitable[T]]) -> T | None:
        """Do one thing by single statements; None if it is to be done the long way.

        Raises:
            BackendError: of the kind that tells what went wrong.
        """
        if self._closed:
            raise BackendUnavailableError(self.name, operation, "it has been closed")
        direct = None if self._store is None else self._store.direct
        if direct is None:
            return None
        try:
            async with asyncio.timeout(self._patience):
                result = await work(direct)
        except TimeoutError as error:
            raise self._too_late(operation) from error
        except Exception as error:
            if is_locked(error):
                raise self._failed(BackendTimeoutError, operation, str(error)) from error
            return None  # another connection may do better, or knows what is wrong
        self._worked()
        return result

    async def _write(
        self,
        operation: str,
        work: Callable[[Store, AsyncConnection], Awaitable[T]],
        *,
        again: bool = False,
    ) -> T:
        self._writes += 1
        sweep = self._writes % _EVERY == 0

        async def and_sweep(store: Store, conn: AsyncConnection) -> T:
            result = await work(store, conn)
            if sweep:
                await store.sweep(conn, self._clock.time(), _RETENTION)
            return result

        return await self._do(operation, and_sweep, write=True, again=again)

    async def _do(
        self,
        operation: str,
        work: Callable[[Store, AsyncConnection], Awaitable[T]],
        *,
        write: bool,
        again: bool,
    ) -> T:
        """Do one thing in one transaction; `again` if it may be done twice after a lost connection.

        Raises:
            BackendError: of the kind that tells what went wrong.
        """
        if self._closed:
            raise BackendUnavailableError(self.name, operation, "it has been closed")
        task = asyncio.ensure_future(self._attempt(work, write=write, again=again))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=self._patience)
        if not done:
            task.add_done_callback(_retrieve)
            raise self._too_late(operation)
        try:
            result = task.result()
        except (SQLAlchemyError, OSError) as error:
            reason = str(getattr(error, "orig", None) or error) or type(error).__name__
            if is_locked(error) or isinstance(error, TimeoutError):
                raise self._failed(BackendTimeoutError, operation, reason) from error
            if is_lost(error):
                raise self._failed(BackendUnavailableError, operation, reason) from error
            raise BackendError(self.name, operation, reason) from error
        self._worked()
        return result

    @property
    def _patience(self) -> float:
        return self._url.timeout + self._url.connect_timeout

    async def _attempt(
        self,
        work: Callable[[Store, AsyncConnection], Awaitable[T]],
        *,
        write: bool,
        again: bool,
    ) -> T:
        store = await self._opened()
        engine = store.writer if write else store.reader
        try:
            async with engine.begin() as conn:
                return await work(store, conn)
        except (SQLAlchemyError, OSError) as error:
            # A server that was started anew has left dead connections in the pool; all are
            # replaced after the first has been found.
            if not again or not is_lost(error) or is_locked(error):
                raise
        async with engine.begin() as conn:
            return await work(store, conn)

    async def _opened(self) -> Store:
        if self._store is None:
            async with self._opening:
                if self._store is None:
                    store = Store(self._url)
                    try:
                        async with store.writer.begin() as conn:
                            await store.create(conn)
                        await store.open_direct()
                    except BaseException:
                        await store.close()
                        raise
                    self._store = store
        return self._store

    def _too_late(self, operation: str) -> BackendUnavailableError:
        reason = f"no answer in {self._patience:g} s"
        return self._failed(BackendTimeoutError, operation, reason)

    def _failed(
        self, kind: type[BackendUnavailableError], operation: str, reason: str
    ) -> BackendUnavailableError:
        error = kind(self.name, operation, reason)
        if self._lost_at is None:
            self._lost_at = self._clock.monotonic()
            self.events.emit(BackendLost(source=self.name, at=self._clock.time(), reason=reason))
        return error

    def _worked(self) -> None:
        if self._lost_at is not None:
            down_for, self._lost_at = self._clock.monotonic() - self._lost_at, None
            at = self._clock.time()
            self.events.emit(BackendRestored(source=self.name, at=at, down_for=down_for))


def _retrieve(task: "asyncio.Task[Any]") -> None:
    """Hear what an operation that nobody waits for any more had to say."""
    if not task.cancelled():
        task.exception()
