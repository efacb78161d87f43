"""What we take from redis-py: connections, and the words for what can go wrong.

The one module that imports it. It connects, authenticates and speaks TLS; its clients, pools and
retries are not used: `_redis_link` reads and writes the streams itself, sends together what
concurrent tasks ask for, and decides when to connect again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import hiredis
from redis._parsers import BaseParser
from redis.asyncio import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from mobius_infra.core.backends._url import BackendUrl

__all__ = [
    "NOT_ENOUGH",
    "AskError",
    "Connect",
    "Connection",
    "MovedError",
    "NoScriptError",
    "ReadOnlyError",
    "RedisError",
    "ResponseError",
    "connect_to",
    "connect_to_master",
    "key_slot",
    "new_parser",
    "pack_command",
    "streams_of",
]

Connect = Callable[[], Awaitable[Connection]]

NOT_ENOUGH = object()
"""What a parser gives when there is no whole reply yet."""

pack_command: Callable[[tuple[str | bytes | int, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its stub knows tuples of one only
"""Write a command: in C, for an eighth of what redis-py's own packing takes."""


def streams_of(connection: Connection) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return what is under a connection.

    redis-py reads one reply at a time, with a time-out and several awaits around each: more than
    half of the cost of a pipeline.
    """
    reader, writer = connection._reader, connection._writer
    if reader is None or writer is None:
        raise RedisError("the connection was closed")
    return reader, writer


def new_parser() -> hiredis.Reader:
    """Return a parser of replies; an error is given as a value, of redis-py's classes."""
    return hiredis.Reader(
        protocolError=RedisError, replyError=BaseParser.parse_error, notEnoughData=NOT_ENOUGH
    )


def connect_to(url: BackendUrl, host: str, port: int | None, database: int = 0) -> Connect:
    """Return a function that opens an authenticated connection to one server."""
    secure = url.scheme == "rediss"
    kind = partial(SSLConnection, ssl_ca_certs=url.ca_file) if secure else Connection

    async def connect() -> Connection:
        connection = kind(
            host=host,
            port=port or 6379,
            db=database,
            username=url.username,
            password=url.password,
            protocol=2,
            socket_connect_timeout=url.connect_timeout,
            retry=Retry(NoBackoff(), 0),
        )
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    return connect


def connect_to_master(url: BackendUrl, name: str, database: int) -> Connect:
    """Return a function that asks the sentinels for the master, and connects to it.

    They are asked anew for each connection: that is how a failover is followed.
    """

    async def connect() -> Connection:
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            [(host, port or 26379) for host, port in url.hosts],
            socket_timeout=url.connect_timeout,
            socket_connect_timeout=url.connect_timeout,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            host, port = await sentinel.discover_master(name)
        finally:
            for client in sentinel.sentinels:
                await client.aclose()
        connection = await connect_to(url, host, port, database)()
        # A sentinel may not have heard yet that the server is a replica now.
        await connection.send_command("ROLE")
        role = await connection.read_response()
        if role[0] not in (b"master", "master"):
            await connection.disconnect(nowait=True)
            raise RedisError(f"{host}:{port} is not the master {name!r} any more")
        return connection

    return connect
