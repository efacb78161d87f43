"""Caches in real processes around a real Redis."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.cache.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually, patient

ROOT = Path(__file__).parents[2]
BOUND = 2.0  # seconds, the workers' `max_staleness`
SLACK = 1.0  # seconds, beside those for which the worker's event loop stood still


class Worker:
    """A process with a cache."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, *command: object) -> tuple[Any, float, float, float]:
        """Return the answer, when it began and ended, and how long the worker stood still."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        answer, began, ended, stood = json.loads(await self._process.stdout.readline())
        return answer, began, ended, stood

    async def connected(self) -> bool:
        return bool((await self.ask("connected"))[0])


@asynccontextmanager
async def workers(urls: list[str], folder: Path) -> AsyncIterator[list[Worker]]:
    started: list[asyncio.subprocess.Process] = []
    try:
        for url in urls:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.cache.worker", url, str(folder), str(BOUND),
                cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            started.append(process)
        found = [Worker(process) for process in started]
        for worker in found:
            await eventually(worker.connected, timeout=120, what="the first beat")
        yield found
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_after_an_invalidation_no_process_serves_the_old_value_later_than_the_bound(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Also a process whose connection to Redis is cut in silence, at that very moment."""
    namespace = f"namespace={tmp_path.name}"
    (tmp_path / "a").write_text("0")
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(redis_server.port))
        urls = [f"{redis_server.url}?{namespace}"] * 3
        urls.append(f"redis://127.0.0.1:{proxy.port}?{namespace}")
        fleet = await stack.enter_async_context(workers(urls, tmp_path))
        for number, command in enumerate(["invalidate", "invalidate tag"] * 2, start=1):
            cut = number > 2
            assert {(await each.ask("get", "a"))[0] for each in fleet} == {str(number - 1)}
            if cut:
                proxy.hold()
            (tmp_path / "a").write_text(str(number))
            _, _, invalidated, _ = await fleet[0].ask(command, "a")

            async def all_new(number: int = number, invalidated: float = invalidated) -> bool:
                answers = await asyncio.gather(*(each.ask("get", "a") for each in fleet))
                for value, began, _, stood in answers:
                    assert value == str(number) or began < invalidated + BOUND + SLACK + stood
                return all(value == str(number) for value, *_ in answers)

            await eventually(all_new, timeout=120, what="the new value everywhere")
            assert time.monotonic() > invalidated
            proxy.let_through()
            if cut:
                await eventually(fleet[3].connected, timeout=120, what="the connection's return")
                await eventually(all_new, timeout=120, what="the new value everywhere")


async def test_two_processes_and_a_hundred_tasks_each_are_one_load(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("value")
    url = patient(f"{redis_server.url}?namespace={tmp_path.name}")
    async with workers([url] * 2, tmp_path) as fleet:
        answers = await asyncio.gather(*(each.ask("get many times", "a", 100) for each in fleet))
        assert [answer for answer, *_ in answers] == [["value"] * 100] * 2
        assert (tmp_path / "loads").read_text() == "a\n"
