"""Real connections that the server kills, that a proxy cuts, and whose server stands still."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
import pytest
import redis.asyncio as redis_client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from mobius_infra.perf import Pool, PoolConnectError, PoolTimeoutError
from mobius_infra.testing import ManualClock
from tests.cache.proxy import Proxy
from tests.conftest import OwnPostgresServer, OwnRedisServer
from tests.servers.waiting import eventually

T = TypeVar("T")

SIZE = 3
GUARD = 60.0
"""Seconds after which a test gives up: no expected duration."""

Settings = dict[str, Any]
QUICK: Settings = {
    "max_size": SIZE, "max_wait": 5, "connect_timeout": 3, "close_timeout": 2,
    "check_timeout": 2, "check_after": 1, "first_pause": 0.2, "most_pause": 1,
}  # fmt: skip
"""Seconds of the tests' own clock, which stands while servers are given time to answer."""


# Any, below: neither driver's connection has a type worth the name.
@asynccontextmanager
async def postgres(port: int, clock: ManualClock, **settings: Any) -> AsyncIterator[Pool[Any]]:
    async def connect() -> Any:
        return await asyncpg.connect(
            host="127.0.0.1", port=port, user="postgres", database="postgres", timeout=GUARD
        )

    async def check(line: Any) -> None:
        await line.execute("SELECT 1")

    pool: Pool[Any] = Pool(
        "postgres", connect, close=lambda line: line.close(), check=check,
        broken=lambda line: line.is_closed(), terminate=lambda line: line.terminate(),
        discard_on=(OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError),
        clock=clock, **(QUICK | settings),
    )  # fmt: skip
    try:
        yield pool
    finally:
        await while_time_passes(clock, pool.close())


@asynccontextmanager
async def redis(port: int, clock: ManualClock, **settings: Any) -> AsyncIterator[Pool[Any]]:
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
        clock=clock, **(QUICK | settings),
    )  # fmt: skip
    try:
        yield pool
    finally:
        await while_time_passes(clock, pool.close())


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

    async def made() -> bool:
        return not pool.stats().connecting

    await eventually(made, timeout=GUARD, what="the last connection")
    assert pool.stats().idle <= SIZE


async def while_time_passes(clock: ManualClock, work: Awaitable[T]) -> T:
    """Let the pool's time-outs run out, for as long as `work` takes."""
    task = asyncio.ensure_future(work)

    async def done() -> bool:
        await clock.advance(0.05)
        return task.done()

    await eventually(done, timeout=GUARD, what="the pool's time-outs")
    return task.result()


async def healed(ask: Callable[[Pool[Any]], Any], pool: Pool[Any], clock: ManualClock) -> None:
    """Wait until the pool serves again, and see that it does so in full."""

    asking: asyncio.Task[object] | None = None

    async def served() -> bool:
        nonlocal asking
        if not (pool._stock.connecting or pool._stock.checking):  # these have all the time
            await clock.advance(0.05)
        if asking is None or asking.done():
            if asking is not None and not isinstance(asking.result(), Exception):
                return True
            asking = asyncio.create_task(outcome(ask, pool))
        return False

    await eventually(served, timeout=GUARD, what="the pool to heal")
    await all_answer(ask, pool)


async def outcome(ask: Callable[[Pool[Any]], Any], pool: Pool[Any]) -> object:
    try:
        return await ask(pool)
    except Exception as error:
        return error


async def many(ask: Callable[[Pool[Any]], Any], pool: Pool[Any], count: int) -> list[object]:
    return await asyncio.gather(*(outcome(ask, pool) for _ in range(count)))


async def test_postgresql_ends_idle_connections_and_none_of_them_is_lent(
    postgres_url: str, manual_clock: ManualClock
) -> None:
    port = urlsplit(postgres_url).port or 0
    async with postgres(port, manual_clock) as pool:
        await all_answer(ask_postgres, pool)
        mine = [slot.connection for slot in pool._stock.idle]
        other = await asyncpg.connect(postgres_url)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        await other.close()

        async def gone() -> bool:
            return all(line.is_closed() for line in mine)

        await eventually(gone, timeout=GUARD, what="word of the end of the connections")
        await all_answer(ask_postgres, pool)
        assert pool.stats().discarded["broken"] == len(mine)


async def test_redis_ends_idle_connections_and_the_check_finds_it(
    redis_url: str, manual_clock: ManualClock
) -> None:
    """This driver does not notice by itself; the pool asks after idleness."""
    port = urlsplit(redis_url).port or 0
    async with redis(port, manual_clock) as pool:
        await all_answer(ask_redis, pool)
        other = redis_client.Redis(port=port)
        await other.client_kill_filter(_type="normal", skipme=True)
        await other.aclose()
        await manual_clock.advance(1)
        await all_answer(ask_redis, pool)
        assert pool.stats().discarded["failed check"] >= 1


async def test_a_query_that_the_server_kills_costs_its_connection(
    postgres_url: str, manual_clock: ManualClock
) -> None:
    port = urlsplit(postgres_url).port or 0
    async with postgres(port, manual_clock) as pool:
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError)):
            await ask_postgres(pool, "SELECT pg_terminate_backend(pg_backend_pid())")
        await all_answer(ask_postgres, pool)


async def test_a_cancelled_query_leaves_no_answer_for_the_next(
    redis_url: str, manual_clock: ManualClock
) -> None:
    port = urlsplit(redis_url).port or 0
    async with (
        redis(port, manual_clock, max_size=1) as pool,
        redis_client.Redis(port=port) as other,
    ):
        asking = asyncio.create_task(ask_redis(pool, "BLPOP", "nothing", "0"))

        async def blocked() -> bool:
            return bool((await other.info("clients"))["blocked_clients"])

        await eventually(blocked, timeout=GUARD, what="the query to be under way")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await ask_redis(pool) == b"7"
        assert pool.stats().connected == 2


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_behind_a_proxy_that_holds_everything(
    kind: str, request: pytest.FixtureRequest, manual_clock: ManualClock
) -> None:
    port = urlsplit(request.getfixturevalue(f"{kind}_url")).port or 0
    make, ask = (postgres, ask_postgres) if kind == "postgres" else (redis, ask_redis)
    async with Proxy(port) as proxy, make(proxy.port, manual_clock) as pool:
        await all_answer(ask, pool)
        proxy.hold()
        await manual_clock.advance(1)  # from now on the pool checks what it lends
        lost = await while_time_passes(manual_clock, many(ask, pool, 10))
        assert all(isinstance(each, PoolTimeoutError | PoolConnectError) for each in lost)
        assert (pool.stats().in_use, pool.stats().waiting) == (0, 0)
        proxy.let_through()
        await healed(ask, pool, manual_clock)


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_connections_that_are_reset_in_the_middle_of_their_work(
    kind: str, request: pytest.FixtureRequest, manual_clock: ManualClock
) -> None:
    port = urlsplit(request.getfixturevalue(f"{kind}_url")).port or 0
    make, ask = (postgres, ask_postgres) if kind == "postgres" else (redis, ask_redis)
    async with Proxy(port) as proxy, make(proxy.port, manual_clock) as pool:
        await all_answer(ask, pool)
        proxy.hold()  # so that all are at work
        working = asyncio.create_task(many(ask, pool, 10))

        async def at_work() -> bool:
            now = pool.stats()  # one may still be in the making, and is held there
            return now.in_use > 0 and now.in_use + now.connecting == SIZE

        await eventually(at_work, timeout=GUARD, what="work on all connections")
        in_use = pool.stats().in_use
        proxy.reset()
        proxy.let_through()
        lost = [
            each
            for each in await while_time_passes(manual_clock, working)
            if isinstance(each, Exception)
        ]
        assert len(lost) >= in_use
        await healed(ask, pool, manual_clock)


async def test_a_server_that_stands_still_holds_nobody_for_longer_than_it_may(
    own_postgres_server: OwnPostgresServer,
    own_redis_server: OwnRedisServer,
    manual_clock: ManualClock,
) -> None:
    database, store = own_postgres_server(), own_redis_server()
    for server, make, ask in ((database, postgres, ask_postgres), (store, redis, ask_redis)):
        async with make(server.port, manual_clock) as pool:
            await all_answer(ask, pool)
            await manual_clock.advance(1)
            server.pause()
            lost = await while_time_passes(manual_clock, many(ask, pool, 10))
            assert all(isinstance(each, PoolTimeoutError | PoolConnectError) for each in lost)
            server.resume()
            await healed(ask, pool, manual_clock)


async def test_a_server_that_died_is_not_hammered_and_found_again(
    own_redis_server: OwnRedisServer, manual_clock: ManualClock
) -> None:
    server = own_redis_server()
    async with redis(server.port, manual_clock) as pool:
        await all_answer(ask_redis, pool)
        server.kill()
        await manual_clock.advance(1)
        await while_time_passes(manual_clock, many(ask_redis, pool, 20))
        before, began = pool.stats().connect_failures, manual_clock.monotonic()
        for _ in range(50):
            await while_time_passes(manual_clock, outcome(ask_redis, pool))
            await manual_clock.advance(0.1)
        assert pool.state == "unreachable"
        passed = manual_clock.monotonic() - began
        assert 0 < pool.stats().connect_failures - before <= passed / 0.5 + 1
        server.start()
        await healed(ask_redis, pool, manual_clock)
        assert pool.state == "open"
