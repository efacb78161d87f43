"""Borrowing from a pool, beside the peers' pools and a bare semaphore.

psycopg_pool is measured without a server, on connections that only look like some; asyncpg's pool
needs the real one, which answers a reset query each time.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from benchmarks.conftest import Measure
from mobius_infra.perf import Pool
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with PostgresServer() as server:
        yield server.url


async def nothing() -> object:
    return object()


@pytest.mark.benchmark(group="pool: a connection is free")
class TestFree:
    def test_asyncio_semaphore(self, measure: Measure) -> None:
        semaphore = asyncio.Semaphore(10)

        async def borrow() -> None:
            await semaphore.acquire()
            semaphore.release()

        measure(borrow)

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(borrowing(Pool("p", nothing)))

    def test_mobius_infra_looks_whether_it_is_broken(self, measure: Measure) -> None:
        measure(borrowing(Pool("p", nothing, broken=lambda connection: False)))

    def test_mobius_infra_notes_one_stack_in_a_hundred(self, measure: Measure) -> None:
        measure(borrowing(Pool("p", nothing, leak_after=60.0, trace_every=100)))

    def test_mobius_infra_block(self, measure: Measure) -> None:
        pool = Pool("p", nothing)

        async def borrow() -> None:
            async with pool.connection():
                pass

        measure(borrow)

    def test_psycopg_pool(
        self, measure: Measure, loop: asyncio.AbstractEventLoop, postgres_url: str
    ) -> None:
        psycopg_pool = pytest.importorskip("psycopg_pool")
        pool = psycopg_pool.AsyncConnectionPool(postgres_url, min_size=1, max_size=10, open=False)
        loop.run_until_complete(pool.open(wait=True))

        async def borrow() -> None:
            await pool.putconn(await pool.getconn())

        measure(borrow)
        loop.run_until_complete(pool.close())

    def test_asyncpg(
        self, measure: Measure, loop: asyncio.AbstractEventLoop, postgres_url: str
    ) -> None:
        pool = loop.run_until_complete(asyncpgs_own(postgres_url, 1))

        async def borrow() -> None:
            await pool.release(await pool.acquire())

        measure(borrow)
        loop.run_until_complete(pool.close())


async def asyncpgs_own(url: str, size: int) -> Any:
    # In a coroutine: it takes the running event loop.
    return await asyncpg.create_pool(url, min_size=size, max_size=10)


def borrowing(pool: Pool[Any]) -> Callable[[], Any]:
    async def borrow() -> None:
        pool.release(await pool.acquire())

    return borrow


WAITERS, CONNECTIONS, EACH = 1_000, 10, 5


@pytest.mark.benchmark(group="pool: 1,000 borrowers of 10 real connections")
class TestContended:
    """Each borrows five times and asks the server something."""

    def test_asyncpg(
        self, contend: "Contend", loop: asyncio.AbstractEventLoop, postgres_url: str
    ) -> None:
        pool = loop.run_until_complete(asyncpgs_own(postgres_url, CONNECTIONS))
        contend(pool.acquire)
        loop.run_until_complete(pool.close())

    def test_mobius_infra_with_asyncpgs_reset(
        self, contend: "Contend", loop: asyncio.AbstractEventLoop, postgres_url: str
    ) -> None:
        """The same work: asyncpg's pool resets a connection each time it is given back."""
        pool = asyncpg_pool(loop, postgres_url)
        contend(Resetting(pool).connection)
        loop.run_until_complete(pool.close())

    def test_mobius_infra(
        self, contend: "Contend", loop: asyncio.AbstractEventLoop, postgres_url: str
    ) -> None:
        pool = asyncpg_pool(loop, postgres_url)
        contend(pool.connection)
        loop.run_until_complete(pool.close())


class Resetting:
    """Asks the server to reset a connection before it is given back."""

    def __init__(self, pool: Pool[Any]) -> None:
        self.pool = pool

    def connection(self) -> "Resetting.Block":
        return self.Block(self.pool)

    class Block:
        def __init__(self, pool: Pool[Any]) -> None:
            self.pool = pool

        async def __aenter__(self) -> Any:
            self.line = await self.pool.acquire()
            return self.line

        async def __aexit__(self, *error: object) -> None:
            await self.line.reset()
            self.pool.release(self.line)


def asyncpg_pool(loop: asyncio.AbstractEventLoop, url: str) -> Pool[Any]:
    async def connect() -> Any:
        return await asyncpg.connect(url)

    return Pool(
        "pg", connect, close=lambda line: line.close(), broken=lambda line: line.is_closed(),
        min_size=CONNECTIONS, max_size=CONNECTIONS, queue=WAITERS, max_wait=60.0,
    )  # fmt: skip


Contend = Callable[[Callable[[], Any]], None]


@pytest.fixture
def contend(
    benchmark: Any, loop: asyncio.AbstractEventLoop, record_figure: Callable[[str, str], None]
) -> Contend:
    """Give a function that lets many borrow by `async with`, and prints how long they waited."""
    waits: list[float] = []

    def run(borrow: Callable[[], Any]) -> None:
        async def one() -> None:
            for _ in range(EACH):
                began = time.perf_counter()
                async with borrow() as line:
                    waits.append(time.perf_counter() - began)
                    await line.execute("SELECT 1")

        async def many() -> None:
            await asyncio.gather(*(one() for _ in range(WAITERS)))

        benchmark.extra_info["calls"] = WAITERS * EACH
        loop.run_until_complete(many())
        waits.clear()
        benchmark.pedantic(lambda: loop.run_until_complete(many()), rounds=3)
        record_figure("longest wait by the median one", f"{max(waits) / median(waits):.2f}")

    return run
