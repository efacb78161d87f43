"""Gets over one Redis server on loopback: alone, and by fifty tasks at once.

The first of each group is plain `redis.asyncio`: what is above 1.00 x is slower than it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis.asyncio

from mobius_infra.core import open_backend
from tests.servers.redis import RedisServer

GETS = 1_000
Get = Callable[[], Awaitable[object]]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RedisServer() as server:
        server.call("SET", "mobius:k", "v" * 100)
        yield server.url


def measure(benchmark: Any, loop: asyncio.AbstractEventLoop, get: Get, tasks: int) -> None:
    async def worker() -> None:
        for _ in range(GETS // tasks):
            await get()

    async def all_of_them() -> None:
        await asyncio.gather(*(worker() for _ in range(tasks)))

    benchmark.extra_info["calls"] = GETS
    benchmark.pedantic(lambda: loop.run_until_complete(all_of_them()), rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("tasks", [pytest.param(1, id="1_task"), pytest.param(50, id="50_tasks")])
class TestGet:
    @pytest.fixture(autouse=True)
    def group(self, benchmark: Any, tasks: int) -> None:
        benchmark.group = f"redis: get, {tasks} task{'s' * (tasks > 1)}"

    def test_redis_asyncio(
        self, benchmark: Any, loop: asyncio.AbstractEventLoop, url: str, tasks: int
    ) -> None:
        client = redis.asyncio.Redis.from_url(url)
        measure(benchmark, loop, lambda: client.get("mobius:k"), tasks)
        loop.run_until_complete(client.aclose())

    def test_mobius_infra(
        self, benchmark: Any, loop: asyncio.AbstractEventLoop, url: str, tasks: int
    ) -> None:
        backend = open_backend(url)
        measure(benchmark, loop, lambda: backend.get("k"), tasks)
        loop.run_until_complete(backend.close())


@pytest.mark.benchmark(group="redis: get, 50 tasks")
def test_pipeline_of_50_by_hand(benchmark: Any, loop: asyncio.AbstractEventLoop, url: str) -> None:
    client = redis.asyncio.Redis.from_url(url)

    async def batches() -> None:
        for _ in range(GETS // 50):
            pipeline = client.pipeline(transaction=False)
            for _ in range(50):
                pipeline.get("mobius:k")  # type: ignore[unused-awaitable]  # queued, not sent
            await pipeline.execute()

    benchmark.extra_info["calls"] = GETS
    benchmark.pedantic(lambda: loop.run_until_complete(batches()), rounds=15, warmup_rounds=2)
    loop.run_until_complete(client.aclose())
