"""One connection for all tasks: what they ask for in the same turn goes out as one pipeline.

Replies come in the order of the commands, so each belongs to the oldest that has none yet. Nothing
waits for the replies of the batch before: the next is sent while they are on their way. A caller
who is cancelled leaves its place in the line, and the reply that comes for it is dropped.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from mobius_infra.core._backend import BackendLost, BackendRestored
from mobius_infra.core._clock import Clock
from mobius_infra.core._errors import BackendError, BackendTimeoutError, BackendUnavailableError
from mobius_infra.core._events import Events
from mobius_infra.core.backends._redis_client import (
    NOT_ENOUGH,
    Connect,
    Connection,
    ReadOnlyError,
    RedisError,
    new_parser,
    pack_command,
    streams_of,
)

log = logging.getLogger("mobius_infra")

Word = str | bytes | int
Reply = Any  # bytes, int, None, or a list of these: what Redis answers

_PAUSE_FIRST, _PAUSE_MAX = 0.05, 2.0  # seconds between attempts to connect, doubled and jittered
_CHUNK = 256 * 1024  # bytes read at a time
_BACKLOG = 100_000  # commands that may wait for a reply at once

Pending = tuple["asyncio.Future[Reply]", float]


class Link:
    """A connection that comes and goes, and the line of those who wait for replies.

    It is made when first needed, and again when needed after it was lost; in between, for a pause
    that grows, whoever asks is refused at once instead of being kept waiting for a dead server.

    Args:
        name: of the backend, for errors and events.
        connect: opens a connection.
        timeout: seconds from sending a command to its reply.
        connect_timeout: seconds for connecting.
        clock: measures pauses.
        events: where the loss and the return are told.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        *,
        timeout: float,
        connect_timeout: float,
        clock: Clock,
        events: Events,
    ) -> None:
        self._name = name
        self._connect = connect
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._clock = clock
        self._events = events
        self._outbox: list[tuple[bytes, asyncio.Future[Reply]]] = []
        self._pending: deque[Pending] = deque()
        self._wake = asyncio.Event()  # there is something to send
        self._write: Callable[[bytes], None] | None = None  # while connected
        self._life: asyncio.Task[None] | None = None
        self._pause = 0.0
        self._retry_at = 0.0
        self._lost_at: float | None = None
        self._reason = ""
        self._closed = False

    def put(self, operation: str, words: Sequence[Word]) -> "asyncio.Future[Reply]":
        """Send a command with what else is asked for in this turn of the event loop.

        Returns:
            A future of the reply, or of the error as a plain value: see `opened`.

        Raises:
            BackendUnavailableError: if there is no connection and it is too early for another
                attempt, or too much is waiting already.
        """
        if self._closed:
            raise BackendUnavailableError(self._name, operation, "it has been closed")
        if self._life is None:
            if self._clock.monotonic() < self._retry_at:
                raise BackendUnavailableError(self._name, operation, self._reason)
            self._life = asyncio.create_task(self._live(), name=f"connection to {self._name}")
        if len(self._pending) + len(self._outbox) >= _BACKLOG:
            reason = f"{_BACKLOG} commands are waiting for it"
            raise BackendUnavailableError(self._name, operation, reason)
        packed = pack_command(tuple(words))  # here, where only who asks for nonsense is told so
        loop = asyncio.get_running_loop()
        reply = loop.create_future()
        if self._write is not None and not self._pending:
            # Nothing is on its way: who asks alone need not wait for the end of the turn.
            self._pending.append((reply, loop.time()))
            self._write(packed)
            return reply
        self._outbox.append((packed, reply))
        self._wake.set()
        return reply

    async def ask(self, operation: str, *words: Word) -> Reply:
        """Send a command and return its reply.

        Raises:
            BackendUnavailableError: if the server is not there, or was lost meanwhile.
            BackendTimeoutError: if it did not answer in time.
            ResponseError: if it refused the command.
        """
        return self.opened(operation, await self.put(operation, words))

    def opened(self, operation: str, reply: Reply) -> Reply:
        """Return a reply, or raise it if it is an error.

        Errors travel as values: one set on the future of a caller who has just been cancelled
        would be reported as never retrieved.
        """
        if isinstance(reply, _Lost):
            raise reply.kind(self._name, operation, reply.reason)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def close(self) -> None:
        """Disconnect; whoever still waits is told."""
        self._closed = True
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)

    async def _live(self) -> None:
        """Connect, serve until the connection is lost, and tell all who wait."""
        why = _Lost(BackendUnavailableError, "it has been closed")
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._connect()
            try:
                self._connected()
                why = await self._serve(connection)
            finally:
                await connection.disconnect(nowait=True)
        except (RedisError, OSError) as error:  # a TimeoutError is an OSError
            why = _Lost(BackendUnavailableError, str(error) or "no connection in time")
        except Exception as error:  # a mistake, ours or the driver's: nobody may wait for ever
            why = _Lost(BackendUnavailableError, repr(error))
            log.exception("the connection to %s broke", self._name)
        finally:
            self._life = None
            self._lost(why)

    async def _serve(self, connection: Connection) -> "_Lost":
        """Send and receive until one of the two fails; return why."""
        reader, writer = streams_of(connection)
        self._write = writer.write
        parts = [
            asyncio.create_task(part)
            for part in (self._send(writer), self._receive(reader), self._watch())
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            error = next(iter(done)).exception()
        finally:
            self._write = None
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        if isinstance(error, BackendTimeoutError):
            return _Lost(BackendTimeoutError, error.reason)
        if isinstance(error, RedisError | OSError | EOFError):
            return _Lost(BackendUnavailableError, str(error) or type(error).__name__)
        assert error is not None  # noqa: S101 - none of the three ever returns
        raise error

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._outbox = self._outbox, []
            commands: list[bytes] = []
            sent_at = now()
            for packed, reply in batch:
                if not reply.done():  # cancelled before it was sent
                    commands.append(packed)
                    self._pending.append((reply, sent_at))
            if commands:
                writer.write(b"".join(commands))
                await writer.drain()

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        pending, parser = self._pending, new_parser()
        while True:
            data = await reader.read(_CHUNK)
            if not data:
                raise EOFError("the server closed the connection")
            parser.feed(data)
            while (reply := parser.gets(False)) is not NOT_ENOUGH:
                if isinstance(reply, ReadOnlyError):
                    raise reply  # a replica since a failover: this is the wrong server
                future, _ = pending.popleft()
                if not future.done():
                    future.set_result(reply)

    async def _watch(self) -> None:
        """End the connection when the oldest command has waited too long: one timer for all."""
        now = asyncio.get_running_loop().time
        while True:
            age = now() - self._pending[0][1] if self._pending else 0.0
            if age >= self._timeout:
                reason = f"no answer within {self._timeout:g} s"
                raise BackendTimeoutError(self._name, "wait", reason)
            await asyncio.sleep(max(self._timeout - age, 0.001))

    def _connected(self) -> None:
        self._pause = self._retry_at = 0.0
        if self._lost_at is not None:
            down_for, self._lost_at = self._clock.monotonic() - self._lost_at, None
            at = self._clock.time()
            self._events.emit(BackendRestored(source=self._name, at=at, down_for=down_for))

    def _lost(self, why: "_Lost") -> None:
        now = self._clock.monotonic()
        self._reason = why.reason
        self._pause = min(max(2 * self._pause, _PAUSE_FIRST), _PAUSE_MAX)
        self._retry_at = now + self._pause * (0.5 + 0.5 * random.random())  # noqa: S311
        waiting = [reply for reply, _ in self._pending] + [reply for _, reply in self._outbox]
        self._pending.clear()
        self._outbox.clear()
        for reply in waiting:
            if not reply.done():
                reply.set_result(why)
        if self._lost_at is None and not self._closed:
            self._lost_at = now
            at = self._clock.time()
            self._events.emit(BackendLost(source=self._name, at=at, reason=why.reason))


class _Lost:
    """Why there will be no reply."""

    __slots__ = ("kind", "reason")

    def __init__(self, kind: type[BackendError], reason: str) -> None:
        self.kind = kind
        self.reason = reason
