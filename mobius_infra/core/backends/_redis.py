"""The backend in Redis or Valkey: one server, Sentinel, or Cluster."""

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha1
from importlib.resources import files
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from mobius_infra.core._backend import Gap, Message, Subscription, check_key, check_ttl
from mobius_infra.core._clock import Clock
from mobius_infra.core._config import require
from mobius_infra.core._errors import BackendError, BackendUnavailableError
from mobius_infra.core._events import Events
from mobius_infra.core._msgpack import packer, unpack
from mobius_infra.core._script import Scalar, Script
from mobius_infra.core.backends._queue import MessageQueue
from mobius_infra.core.backends._redis_client import (
    Connect,
    Connection,
    NoScriptError,
    RedisError,
    ResponseError,
    connect_to,
    connect_to_master,
)
from mobius_infra.core.backends._redis_cluster import Cluster
from mobius_infra.core.backends._redis_link import Link, Reply, Word
from mobius_infra.core.backends._url import BackendUrl

P = ParamSpec("P")
Result = TypeVar("Result", bound=tuple[Scalar, ...])

_SWAP = """
if redis.call('GET', KEYS[1]) ~= (ARGV[1] == '1' and ARGV[2]) then return 0 end
if ARGV[3] == '0' then
    redis.call('DEL', KEYS[1])
elseif ARGV[5] == '' then
    redis.call('SET', KEYS[1], ARGV[4])
else
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
end
return 1
"""
_RESUBSCRIBE = 0.2  # seconds between attempts to subscribe again


class Wire(Protocol):
    """Where commands go: to one server, or to the one of many that has the key."""

    @property
    def one_server(self) -> bool: ...
    def ask(self, operation: str, key: str, *words: Word) -> Coroutine[Any, Any, Reply]: ...
    async def ask_all(
        self, operation: str, commands: Sequence[tuple[str, Sequence[Word]]]
    ) -> list[Reply]: ...
    def connect_to(self, key: str) -> Connect: ...
    async def close(self) -> None: ...


class _Single:
    """One server: every key is there."""

    one_server = True

    def __init__(self, link: Link, connect: Connect) -> None:
        self._link = link
        self._connect = connect

    def ask(self, operation: str, key: str, *words: Word) -> Coroutine[Any, Any, Reply]:
        return self._link.ask(operation, *words)

    async def ask_all(
        self, operation: str, commands: Sequence[tuple[str, Sequence[Word]]]
    ) -> list[Reply]:
        link = self._link
        replies = [link.put(operation, words) for _, words in commands]
        return [link.opened(operation, await reply) for reply in replies]

    def connect_to(self, key: str) -> Connect:
        return self._connect

    async def close(self) -> None:
        await self._link.close()


class RedisBackend:
    """Keeps everything in Redis, and sends what concurrent tasks ask for as one pipeline.

    After a lost connection everything goes on by itself; while there is none, operations fail at
    once. `get_with_ttl` reads value and life one after the other in one pipeline: a value that
    expires in between is none.

    Args:
        url: of one of the schemes `redis`, `rediss`, `redis+cluster`, `redis+sentinel`.
        clock: measures pauses; the time itself is the server's.
    """

    def __init__(self, url: BackendUrl, *, clock: Clock) -> None:
        self.name = url.display
        self.events = Events()
        self._prefix = f"{url.namespace}:"
        self._clock = clock
        self._timeout = url.connect_timeout
        self._pack = packer()
        self._twins: dict[str, tuple[Script[Any, Any], str, str]] = {}
        self._prelude = files(__package__).joinpath("script.lua")
        self._queues: dict[MessageQueue, asyncio.Task[None]] = {}
        self._closed = False
        self._wire = self._wire_of(url)

    def _wire_of(self, url: BackendUrl) -> Wire:
        def link(connect: Connect) -> Link:
            return Link(
                self.name,
                connect,
                timeout=url.timeout,
                connect_timeout=url.connect_timeout,
                clock=self._clock,
                events=self.events,
            )

        if url.scheme == "redis+cluster":
            return Cluster(url, link)
        if url.scheme == "redis+sentinel":
            master, _, database = url.path.partition("/")
            require(bool(master), "url", url.display, "redis+sentinel://hosts/master-name")
            connect = connect_to_master(url, master, _database(database))
        else:
            host, port = url.hosts[0]
            connect = connect_to(url, host, port, _database(url.path))
        return _Single(link(connect), connect)

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self._ask("get", self._key(key), "GET")
        return value

    async def get_with_ttl(self, key: str) -> tuple[bytes, float | None] | None:
        named = self._key(key)
        commands = [(named, ("GET", named)), (named, ("PTTL", named))]
        value, left = await self._ask_all("get_with_ttl", commands)
        if value is None or left == -2:  # none, or expired in between
            return None
        return value, None if left == -1 else left / 1000

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        named = [self._key(key) for key in keys]
        if self._wire.one_server and named:
            values: list[bytes | None] = await self._ask("get_many", "", "MGET", *named)
            return values
        return await self._ask_all("get_many", [(key, ("GET", key)) for key in named])

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        check_ttl(ttl)
        await self._ask("set", self._key(key), "SET", value, *_expiry(ttl))

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> None:
        check_ttl(ttl)
        named = [(self._key(key), value) for key, value in items.items()]
        expiry = _expiry(ttl)
        await self._ask_all(
            "set_many", [(key, ("SET", key, value, *expiry)) for key, value in named]
        )

    async def delete(self, *keys: str) -> int:
        named = [self._key(key) for key in keys]
        return sum(await self._ask_all("delete", [(key, ("UNLINK", key)) for key in named]))

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, ttl: float | None = None
    ) -> bool:
        check_ttl(ttl)
        _, _, *milliseconds = ("", *_expiry(ttl)) if ttl is not None else ("", "", "")
        reply = await self._evaluate(
            "compare_and_set",
            self._key(key),
            _SWAP,
            _SWAP_DIGEST,
            int(expected is not None),
            expected or b"",
            int(value is not None),
            value or b"",
            *milliseconds,
        )
        return bool(reply)

    async def run(
        self, script: Script[P, Result], key: str, *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        source, digest = self._twin(script)
        named = self._key(key)
        reply = await self._evaluate(f"run {script.name}", named, source, digest, self._pack(args))
        # The twin's contract: the same scalars as the step returns, which `Result` is bound to; of
        # a float that is whole an int comes back, equal to it.
        result: Any = tuple(unpack(reply))
        return result  # type: ignore[no-any-return]

    async def now(self) -> float:
        seconds, micros = await self._ask("now", "", "TIME")
        return int(seconds) + int(micros) / 1_000_000

    async def publish(self, channel: str, data: bytes) -> None:
        # By way of the server that subscribers are connected to: between the servers of a cluster
        # messages travel on their own time, and one from before could come after.
        named = self._key(channel)
        try:
            await self._wire.ask("publish", self._prefix, "PUBLISH", named, data)
        except ResponseError as error:
            raise BackendError(self.name, "publish", str(error)) from error

    @asynccontextmanager
    async def subscribe(self, *channels: str) -> AsyncIterator[Subscription]:
        if self._closed:
            raise BackendUnavailableError(self.name, "subscribe", "it has been closed")
        named = {self._key(channel).encode(): channel for channel in channels}
        connection = await self._subscribed(list(named))
        queue = MessageQueue()
        task = asyncio.create_task(self._hear(connection, named, queue))
        self._queues[queue] = task
        try:
            yield queue
        finally:
            del self._queues[queue]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def ping(self) -> None:
        await self._ask("ping", "", "PING")

    async def close(self) -> None:
        self._closed = True
        for queue, task in list(self._queues.items()):
            task.cancel()
            queue.end()
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"RedisBackend({self.name!r})"

    def _key(self, key: str) -> str:
        check_key(key)
        return self._prefix + key

    async def _ask(self, operation: str, key: str, command: str, *words: Word) -> Reply:
        try:
            named = (key, *words) if key else words
            return await self._wire.ask(operation, key, command, *named)
        except ResponseError as error:
            raise BackendError(self.name, operation, str(error)) from error

    async def _ask_all(
        self, operation: str, commands: Sequence[tuple[str, Sequence[Word]]]
    ) -> list[Reply]:
        try:
            return await self._wire.ask_all(operation, commands)
        except ResponseError as error:
            raise BackendError(self.name, operation, str(error)) from error

    async def _evaluate(
        self, operation: str, key: str, source: str, digest: str, *words: Word
    ) -> Reply:
        try:
            return await self._wire.ask(operation, key, "EVALSHA", digest, 1, key, *words)
        except NoScriptError:  # new to the server, or forgotten by it: a restart, SCRIPT FLUSH
            return await self._ask_source(operation, key, source, *words)
        except ResponseError as error:
            raise BackendError(self.name, operation, str(error)) from error

    async def _ask_source(self, operation: str, key: str, source: str, *words: Word) -> Reply:
        try:
            return await self._wire.ask(operation, key, "EVAL", source, 1, key, *words)
        except ResponseError as error:
            raise BackendError(self.name, operation, str(error)) from error

    def _twin(self, script: Script[Any, Any]) -> tuple[str, str]:
        """Return the twin's whole source and its digest, made once a script."""
        known = self._twins.get(script.name)
        if known is None or known[0] is not script:
            prelude = self._prelude.read_text(encoding="utf-8")
            whole = f"local step = (function()\n{script.source()}\nend)()\n{prelude}"
            known = self._twins[script.name] = (script, whole, _digest(whole))
        return known[1], known[2]

    async def _subscribed(self, channels: list[bytes]) -> Connection:
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._wire.connect_to(self._prefix)()
                await connection.send_command("SUBSCRIBE", *channels)
                for _ in channels:
                    await connection.read_response(disable_decoding=True)
        except (RedisError, OSError) as error:
            reason = str(error) or "no answer in time"
            raise BackendUnavailableError(self.name, "subscribe", reason) from error
        return connection

    async def _hear(
        self, connection: Connection, named: Mapping[bytes, str], queue: MessageQueue
    ) -> None:
        """Put what is published into the queue; after a lost connection, subscribe again."""
        while True:
            try:
                while True:
                    reply = await connection.read_response(disable_decoding=True)
                    if reply[0] == b"message":
                        queue.put(Message(named[reply[1]], reply[2]))
            except (RedisError, OSError) as error:
                reason = str(error)
            finally:
                await connection.disconnect(nowait=True)
            while True:
                await self._clock.sleep(_RESUBSCRIBE)
                try:
                    connection = await self._subscribed(list(named))
                    break
                except BackendUnavailableError:
                    continue
            queue.put(Gap(f"the connection was lost: {reason}"))


def _digest(source: str) -> str:
    """Return the name that a server knows a script by."""
    return sha1(source.encode(), usedforsecurity=False).hexdigest()


_SWAP_DIGEST = _digest(_SWAP)


def _database(text: str) -> int:
    require(text.isdigit() or not text, "url", text, "ending in the number of a database")
    return int(text or 0)


def _expiry(ttl: float | None) -> tuple[Word, ...]:
    return () if ttl is None else ("PX", max(1, math.ceil(ttl * 1000)))
