"""A cache whose Redis is killed, stopped, emptied or full: callers notice nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.core import open_backend
from tests.cache.proxy import Proxy
from tests.conftest import OwnRedisServer
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually, patient

KEYS = 20
TASKS = 10


class Service:
    """A cached function under load, and how often its origin was asked."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.loads = 0

        @cache.cached(key="{number}", tags=["all"])
        async def value(number: int) -> str:
            self.loads += 1
            await asyncio.sleep(0)
            return f"{number}" * 100

        self.value = value

    async def round(self) -> None:
        """Ask for every key, many tasks at once; each answer must be right."""
        answers = await asyncio.gather(
            *(self.value(number) for number in range(KEYS) for _ in range(TASKS))
        )
        assert answers == [f"{number}" * 100 for number in range(KEYS) for _ in range(TASKS)]


@asynccontextmanager
async def service(port: int, *, memory: bool = False, hangs: bool = True) -> AsyncIterator[Service]:
    url = f"redis://127.0.0.1:{port}"
    url = f"{url}?timeout=0.3&connect_timeout=0.3" if hangs else patient(url)
    async with open_backend(url) as backend:
        tiers: list[MemoryTier | BackendTier] = [MemoryTier()] if memory else []
        tiers.append(BackendTier(backend))
        async with Cache("c", tiers=tiers, ttl=1000, backplane=backend, lease=5.0) as cache:
            yield Service(cache)


async def healed(running: Service) -> bool:
    """Say whether the lower tier serves again: a round asks the origin nothing."""
    before = running.loads
    await running.round()
    return running.loads == before


def kill(server: RedisServer) -> None:
    server.kill()


def pause(server: RedisServer) -> None:
    server.pause()


def resume(server: RedisServer) -> None:
    server.resume()


def start(server: RedisServer) -> None:
    server.start()


@pytest.mark.parametrize(("end", "begin"), [(kill, start), (pause, resume)])
async def test_while_redis_is_away_callers_get_answers_and_after_it_everything_heals(
    end: Callable[[RedisServer], None],
    begin: Callable[[RedisServer], None],
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server()
    async with service(server.port) as running:
        await running.round()
        assert running.loads == KEYS
        end(server)
        for number in range(5):
            await running.round()
            assert running.loads <= KEYS * (2 + number)  # one load a key and round: no stampede
        await running.value.invalidate(7)
        begin(server)

        async def all_healed() -> bool:
            return await healed(running)

        await eventually(all_healed, timeout=60, what="the tier's return")
        assert running.cache.stats().tier_errors[next(iter(running.cache.stats().tier_errors))] > 0


async def test_when_redis_is_emptied_everything_is_loaded_once_more(
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server()
    async with service(server.port, hangs=False) as running:
        await running.round()
        server.flush()
        await running.round()
        assert running.loads == 2 * KEYS
        await running.round()
        assert running.loads == 2 * KEYS


async def test_when_redis_is_full_callers_get_answers(own_redis_server: OwnRedisServer) -> None:
    server = own_redis_server()
    server.call("CONFIG", "SET", "maxmemory", "1mb")
    server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    async with service(server.port, memory=True, hangs=False) as running:
        for _ in range(3):
            await running.round()
        assert running.loads == KEYS
        await running.value.invalidate(1)
        await running.round()
        assert running.loads == KEYS + 1
        server.call("CONFIG", "SET", "maxmemory", "0")

        async def written() -> bool:
            await running.value.refresh(2)
            return any(b":value:" in key for key in server.call("KEYS", "*"))  # type: ignore[union-attr,operator]

        await eventually(written, timeout=60, what="the first write")


async def test_a_connection_that_hangs_delays_callers_by_the_time_out_once(
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server()
    async with Proxy(server.port) as proxy, service(proxy.port) as running:
        await running.round()
        proxy.hold()
        for _ in range(3):
            await running.round()
        proxy.let_through()

        async def all_healed() -> bool:
            return await healed(running)

        await eventually(all_healed, timeout=60, what="the connection's return")
