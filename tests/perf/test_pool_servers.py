"""Real connections that the server kills, that a proxy cuts, and whose server stands still."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
import pytest
import redis.asyncio as redis_client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from mobius_infra.perf import Pool, PoolConnectError, PoolTimeoutError
from tests.cache.proxy import Proxy
from tests.conftest import OwnPostgresServer, OwnRedisServer
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually

SIZE = 3
Settings = dict[str, Any]
QUICK: Settings = {
    "max_wait": 0.5, "connect_timeout": 0.3, "close_timeout": 0.2, "check_timeout": 0.2,
}  # fmt: skip
"""For servers that stand still; where they do not, a busy machine is given all the time."""
PATIENT: Settings = {
    "max_size": SIZE, "max_wait": 60, "connect_timeout": 60, "close_timeout": 60,
    "check_timeout": 60, "first_pause": 0.02, "most_pause": 0.1,
}  # fmt: skip


# Any, below: neither driver's connection has a type worth the name.
@asynccontextmanager
async def postgres(port: int, **settings: Any) -> AsyncIterator[Pool[Any]]:
    async def connect() -> Any:
        return await asyncpg.connect(
            host="127.0.0.1", port=port, user="postgres", database="postgres", timeout=60.0
        )

    async def check(line: Any) -> None:
        await line.execute("SELECT 1")

    pool: Pool[Any] = Pool(
        "postgres", connect, close=lambda line: line.close(), check=check,
        broken=lambda line: line.is_closed(), terminate=lambda line: line.terminate(),
        discard_on=(OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError),
        **(PATIENT | settings),
    )  # fmt: skip
    async with pool:
        yield pool


@asynccontextmanager
async def redis(port: int, **settings: Any) -> AsyncIterator[Pool[Any]]:
    async def connect() -> Any:
        line = redis_client.Connection(host="127.0.0.1", port=port, retry=Retry(NoBackoff(), 0))
        await line.connect()  # type: ignore[no-untyped-call]
        return line

    async def check(line: Any) -> None:
        await line.send_command("PING")
        await line.read_response()

    pool: Pool[Any] = Pool(
        "redis", connect, close=lambda line: line.disconnect(), check=check,
        broken=lambda line: not line.is_connected,
        discard_on=(OSError, redis_client.ConnectionError, redis_client.TimeoutError),
        **(PATIENT | settings),
    )  # fmt: skip
    async with pool:
        yield pool


async def ask_postgres(pool: Pool[Any], sql: str = "SELECT 7") -> Any:
    async with pool.connection() as line:
        return await line.fetchval(sql)


async def ask_redis(pool: Pool[Any], *command: str) -> Any:
    async with pool.connection() as line:
        await line.send_command(*(command or ("ECHO", "7")))
        return await line.read_response()


async def all_answer(ask: Callable[[Pool[Any]], Any], pool: Pool[Any]) -> None:
    answers = await asyncio.gather(*(ask(pool) for _ in range(20)))
    assert set(answers) <= {7, b"7"}
    assert pool.stats().in_use == 0
    assert pool.stats().idle <= SIZE


async def healed(ask: Callable[[Pool[Any]], Any], pool: Pool[Any]) -> None:
    """Wait until the pool serves, and does so in full."""

    async def serves() -> bool:
        try:
            await all_answer(ask, pool)
        except Exception:
            return False
        return True

    await eventually(serves, timeout=60, what="an answer for all")


async def test_postgresql_ends_idle_connections_and_none_of_them_is_lent(
    postgres_url: str,
) -> None:
    port = urlsplit(postgres_url).port or 0
    async with postgres(port) as pool:
        await all_answer(ask_postgres, pool)
        mine = pool._stock.connected
        other = await asyncpg.connect(postgres_url)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        await other.close()
        lines = [each.connection for each in pool._stock.idle]

        async def heard() -> bool:
            return all(line.is_closed() for line in lines)

        await eventually(heard, timeout=60, what="the connections' end")
        await all_answer(ask_postgres, pool)
        assert pool.stats().discarded["broken"] >= mine  # one may have been refilled meanwhile


async def test_redis_ends_idle_connections_and_the_check_finds_it(redis_url: str) -> None:
    """This driver does not notice by itself; the pool asks after idleness."""
    port = urlsplit(redis_url).port or 0
    async with redis(port, check_after=0.05) as pool:
        await all_answer(ask_redis, pool)
        other = redis_client.Redis(port=port)
        await other.client_kill_filter(_type="normal", skipme=True)
        await other.aclose()
        await asyncio.sleep(0.06)
        await all_answer(ask_redis, pool)
        assert pool.stats().discarded["failed check"] >= 1


async def test_a_query_that_the_server_kills_costs_its_connection(postgres_url: str) -> None:
    port = urlsplit(postgres_url).port or 0
    async with postgres(port) as pool:
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError)):
            await ask_postgres(pool, "SELECT pg_terminate_backend(pg_backend_pid())")
        await all_answer(ask_postgres, pool)


async def test_a_cancelled_query_leaves_no_answer_for_the_next(
    redis_server: RedisServer, redis_url: str
) -> None:
    port = urlsplit(redis_url).port or 0
    async with redis(port, max_size=1) as pool:
        asking = asyncio.create_task(ask_redis(pool, "BLPOP", "nothing", "0"))

        async def waits() -> bool:
            return bool(redis_server.info()["blocked_clients"] == "1")

        await eventually(waits, timeout=60, what="the query to reach the server")
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        assert await ask_redis(pool) == b"7"
        assert pool.stats().connected == 2


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_behind_a_proxy_that_holds_everything(
    kind: str, request: pytest.FixtureRequest
) -> None:
    port = urlsplit(request.getfixturevalue(f"{kind}_url")).port or 0
    make, ask = (postgres, ask_postgres) if kind == "postgres" else (redis, ask_redis)
    async with Proxy(port) as proxy, make(proxy.port, check_after=0.01, **QUICK) as pool:
        await healed(ask, pool)
        proxy.hold()
        await asyncio.sleep(0.02)
        lost = await asyncio.gather(*(bounded(ask, pool) for _ in range(10)))
        assert all(isinstance(each, Exception) for each in lost)

        async def nobody_is_held() -> bool:
            return (pool.stats().in_use, pool.stats().waiting) == (0, 0)

        await eventually(nobody_is_held, timeout=60, what="the last to be let go")
        proxy.let_through()
        await healed(ask, pool)


async def bounded(ask: Callable[[Pool[Any]], Any], pool: Pool[Any]) -> object:
    try:
        async with asyncio.timeout(30):
            return await ask(pool)
    except Exception as error:
        return error


async def test_a_server_that_stands_still_holds_nobody_for_longer_than_it_may(
    own_postgres_server: OwnPostgresServer, own_redis_server: OwnRedisServer
) -> None:
    database, store = own_postgres_server(), own_redis_server()
    for server, make, ask in ((database, postgres, ask_postgres), (store, redis, ask_redis)):
        async with make(server.port, check_after=0.01, **QUICK) as pool:
            await healed(ask, pool)
            await asyncio.sleep(0.02)
            server.pause()
            lost = await asyncio.gather(*(bounded(ask, pool) for _ in range(10)))
            assert all(isinstance(each, Exception) for each in lost)
            assert any(isinstance(e, PoolTimeoutError | PoolConnectError) for e in lost)
            server.resume()
            await healed(ask, pool)


async def test_a_server_that_died_is_not_hammered_and_found_again(
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server()
    async with redis(server.port, first_pause=0.05, most_pause=0.2, **QUICK) as pool:
        await healed(ask_redis, pool)
        server.kill()
        await asyncio.gather(*(bounded(ask_redis, pool) for _ in range(20)))
        before, began = pool.stats().connect_failures, time.monotonic()
        for _ in range(50):
            await bounded(ask_redis, pool)
            await asyncio.sleep(0.01)
        assert pool.state == "unreachable"
        # A pause may be half of the longest; the first two may be shorter.
        pauses = (time.monotonic() - began) / 0.1
        assert pool.stats().connect_failures - before <= 4 + pauses
        server.start()
        await healed(ask_redis, pool)
        assert pool.state == "open"
