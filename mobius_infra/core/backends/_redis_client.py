"""What we take from redis-py: connections, and the words for what can go wrong.

The one module that imports it. Its clients, pools and retries are not used: `_redis_link` sends
what concurrent tasks ask for together, and decides itself when to connect again.
"""

from collections.abc import Awaitable, Callable

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
]

Connect = Callable[[], Awaitable[Connection]]


def connect_to(url: BackendUrl, host: str, port: int | None, database: int = 0) -> Connect:
    """Return a function that opens an authenticated connection to one server."""
    kind = SSLConnection if url.scheme == "rediss" else Connection

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
