"""The cache's lower tiers: a hit in Redis and in SQLite, beside what is under them."""

import asyncio
import itertools
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.cache import BackendTier, Cache
from mobius_infra.core import Codec, open_backend
from tests.servers.redis import RedisServer

CALLS = 1_000
# One after the other: tasks that ask for the same key at the same time would be one read.
COINS = [f"coin{number}" for number in range(50)]
KEYS = itertools.cycle(COINS)
VALUE = {"coin": "btc", "usd": 67_000.5, "at": 1_700_000_000.0}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


Job = Callable[[], Awaitable[object]]


def run(
    benchmark: Any, loop: asyncio.AbstractEventLoop, job: Job, tasks: int, calls: int = CALLS
) -> None:
    async def worker(count: int) -> None:
        for _ in range(count):
            await job()

    async def all_of_them() -> None:
        await asyncio.gather(*(worker(calls // tasks) for _ in range(tasks)))

    benchmark.extra_info["calls"] = calls
    benchmark.pedantic(lambda: loop.run_until_complete(all_of_them()), rounds=15, warmup_rounds=2)


async def load(key: str) -> dict[str, Any]:
    return VALUE


class _Redis:
    """What the groups below share."""

    tasks: int

    @pytest.mark.parametrize("decoding", [False, True], ids=["plain", "and_decode"])
    def test_backend_get(
        self,
        server: RedisServer,
        benchmark: Any,
        loop: asyncio.AbstractEventLoop,
        decoding: bool,
    ) -> None:
        """The same keys and values as the cache has below, without any mark."""
        backend, codec = open_backend(server.url), Codec(dict[str, Any])
        names = [f"cache:c:1:value:{__name__}.load:s{len(coin)}:{coin}" for coin in COINS]
        value = codec.encode(VALUE)
        loop.run_until_complete(backend.set_many(dict.fromkeys(names, value)))
        cycle = itertools.cycle(names)

        async def get_and_decode() -> object:
            data = await backend.get(next(cycle))
            return codec.decode(data or b"")

        get = get_and_decode if decoding else lambda: backend.get(next(cycle))
        run(benchmark, loop, get, self.tasks)
        loop.run_until_complete(backend.delete(*names))
        loop.run_until_complete(backend.close())

    def test_mobius_infra(
        self, server: RedisServer, benchmark: Any, loop: asyncio.AbstractEventLoop
    ) -> None:
        backend = open_backend(server.url)
        cache = Cache("c", tiers=[BackendTier(backend)], ttl=600)
        cached = cache.cached()(load)
        run(benchmark, loop, lambda: cached(next(KEYS)), self.tasks)
        assert cache.stats().loads <= 50
        loop.run_until_complete(backend.close())

    def test_cashews(
        self, server: RedisServer, benchmark: Any, loop: asyncio.AbstractEventLoop
    ) -> None:
        import cashews

        cache = cashews.Cache()
        cache.setup(server.url)
        cached: Any = cache(ttl=600)(load)
        run(benchmark, loop, lambda: cached(next(KEYS)), self.tasks)
        with warnings.catch_warnings():  # it closes redis-py's client by a name of before
            warnings.simplefilter("ignore")
            loop.run_until_complete(cache.close())


@pytest.mark.benchmark(group="cache: hit in Redis, 1 task")
class TestRedisAlone(_Redis):
    tasks = 1


@pytest.mark.benchmark(group="cache: hit in Redis, 50 tasks")
class TestRedisTogether(_Redis):
    tasks = 50


class _SQLite:
    @pytest.fixture
    def path(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, "cache.db")


@pytest.mark.benchmark(group="cache: hit in SQLite")
class TestSQLiteHit(_SQLite):
    def test_aiosqlite(self, path: Path, benchmark: Any, loop: asyncio.AbstractEventLoop) -> None:
        import aiosqlite

        async def opened() -> aiosqlite.Connection:
            db = await aiosqlite.connect(path)
            await db.execute("PRAGMA journal_mode=WAL")
            await db.execute("CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB)")
            await db.execute("INSERT INTO kv VALUES (?, ?)", (b"k", b"x" * 120))
            await db.commit()
            return db

        db = loop.run_until_complete(opened())

        async def get() -> object:
            async with db.execute("SELECT value FROM kv WHERE key = ?", (b"k",)) as cursor:
                return await cursor.fetchone()

        run(benchmark, loop, get, 1, calls=100)
        loop.run_until_complete(db.close())

    def test_mobius_infra(
        self, path: Path, benchmark: Any, loop: asyncio.AbstractEventLoop
    ) -> None:
        backend = open_backend(f"sqlite:///{path}")
        cache = Cache("c", tiers=[BackendTier(backend)], ttl=600)
        cached = cache.cached()(load)
        run(benchmark, loop, lambda: cached("btc"), 1, calls=100)
        loop.run_until_complete(backend.close())


@pytest.mark.benchmark(group="cache: write to SQLite")
class TestSQLiteWrite(_SQLite):
    def test_aiosqlite(self, path: Path, benchmark: Any, loop: asyncio.AbstractEventLoop) -> None:
        import aiosqlite

        async def opened() -> aiosqlite.Connection:
            db = await aiosqlite.connect(path)
            await db.execute("PRAGMA journal_mode=WAL")
            await db.execute("PRAGMA synchronous=NORMAL")
            await db.execute("CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB)")
            return db

        db = loop.run_until_complete(opened())

        async def put() -> None:
            await db.execute("INSERT OR REPLACE INTO kv VALUES (?, ?)", (b"k", b"x" * 120))
            await db.commit()

        run(benchmark, loop, put, 1, calls=100)
        loop.run_until_complete(db.close())

    def test_backend_set(self, path: Path, benchmark: Any, loop: asyncio.AbstractEventLoop) -> None:
        backend = open_backend(f"sqlite:///{path}")
        run(benchmark, loop, lambda: backend.set("k", b"x" * 120, 600), 1, calls=100)
        loop.run_until_complete(backend.close())
