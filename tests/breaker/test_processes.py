"""Fleets of real processes around a real Redis, under mixed failures and kill -9."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Self

import pytest

from mobius_infra.breaker import Fleet, FleetView
from mobius_infra.core import open_backend
from tests.conftest import OwnRedisServer
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds; bounds a failure, and is no expected duration

LEASE = 4.0
"""Seconds that a probe may take before another process may probe."""


@dataclass(eq=False)
class Request:
    """One request, from when the dependency took it to when its caller said that it ended."""

    pid: int
    began: float
    at_once: int  # requests under way then, this one included
    ended: float | None = None
    verdict: str = ""


class Dependency:
    """A server that all processes ask, which answers, fails in many ways, or holds."""

    def __init__(self) -> None:
        self.verdicts = cycle(["ok"])
        self.requests: list[Request] = []
        self.release = asyncio.Event()
        self.port = 0
        self._counted_from = 0

    def behave(self, *verdicts: str) -> None:
        self.verdicts = cycle(verdicts)

    def count_from_now(self) -> None:
        """Leave out of `at_once` what is under way, and forget what was before."""
        self._counted_from = len(self.requests)

    @property
    def counted(self) -> list[Request]:
        return self.requests[self._counted_from :]

    @property
    def under_way(self) -> list[Request]:
        return [request for request in self.counted if request.ended is None]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            pid = int(await reader.readline() or 0)
            if not pid:
                return
            verdict = next(self.verdicts)
            request = Request(pid, time.monotonic(), len(self.under_way) + 1, verdict=verdict)
            self.requests.append(request)
            try:
                if verdict == "drop":
                    return
                writer.write(f"{verdict}\n".encode())
                if verdict == "hold":
                    await asyncio.wait(
                        [
                            asyncio.ensure_future(self.release.wait()),
                            asyncio.ensure_future(reader.readline()),
                        ],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    writer.write(b"ok\n")
                else:
                    await reader.readline()
            finally:
                request.ended = time.monotonic()
            writer.write(b"seen\n")
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()


class Worker:
    """A process that calls the dependency without end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def told(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"tell\n")
        told: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return told


class Workers(list[Worker]):
    """The processes, and what is asked of all of them."""

    async def told(self) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(worker.told() for worker in self)))

    async def all_closed(self) -> None:
        async def are() -> bool:
            return all(each["state"] == "closed" for each in await self.told())

        await eventually(are, timeout=PATIENCE, what="all closed")

    async def all_open(self) -> None:
        """Wait until each is open, and what it called before has ended."""
        for worker in self:

            async def is_open(worker: Worker = worker) -> bool:
                told = await worker.told()
                return told["state"] in {"open", "half_open"} and told["under_way"] == 0

            await eventually(is_open, timeout=PATIENCE, what="open, with nothing under way")

    async def all_have(self, fleet: str) -> None:
        async def have() -> bool:
            return all(each["fleet"] == fleet for each in await self.told())

        await eventually(have, timeout=PATIENCE, what=f"all {fleet}")

    async def all_answered_again(self) -> None:
        before = [each["ended"].get("answered", 0) for each in await self.told()]

        async def have() -> bool:
            now = [each["ended"].get("answered", 0) for each in await self.told()]
            return all(one > two for one, two in zip(now, before, strict=True))

        await eventually(have, timeout=PATIENCE, what="an answer for all")

    async def only_expected_ends(self) -> bool:
        return all(
            set(each["ended"]) <= {"answered", "failed", "rejected"} for each in await self.told()
        )


@asynccontextmanager
async def workers(
    url: str, dependency: Dependency, count: int, tasks: int, *, lease: float = LEASE
) -> AsyncIterator[Workers]:
    found = Workers()
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.breaker.worker", url, str(dependency.port),
                str(tasks), str(lease), cwd=ROOT,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            found.append(Worker(process))
        await found.all_have("connected")
        yield found
    finally:
        for worker in found:
            if worker.process.returncode is None:
                worker.process.kill()
            await worker.process.wait()


@pytest.fixture
async def dependency() -> AsyncIterator[Dependency]:
    async with Dependency() as made:
        yield made


@asynccontextmanager
async def watcher_of(server: RedisServer) -> AsyncIterator[Fleet]:
    async with (
        open_backend(f"{server.url}?timeout=60&connect_timeout=60") as redis,
        Fleet(redis, timeout=60.0) as fleet,
    ):
        yield fleet


async def fleet_is(fleet: Fleet, phase: str) -> FleetView:
    async def found() -> FleetView | None:
        view = await fleet.look("dependency")
        return view if view.phase == phase else None

    view = await eventually(found, timeout=PATIENCE, what=f"a fleet that is {phase}")
    assert view is not None
    return view


async def test_eight_processes_open_by_quorum_probe_one_at_a_time_and_close_together(
    redis_server: RedisServer, dependency: Dependency
) -> None:
    redis_server.flush()
    async with (
        # A process that a busy machine stops for longer than its lease would rightly lose it.
        workers(redis_server.url, dependency, 8, 13, lease=60.0) as fleet,
        watcher_of(redis_server) as watching,
    ):
        await fleet.all_answered_again()
        assert redis_server.call("DBSIZE") == 0  # 104 tasks that are well write nothing
        dependency.behave("error", "hang", "drop", "error")
        view = await fleet_is(watching, "open")
        assert view.votes >= 3
        await fleet.all_open()
        dependency.count_from_now()

        async def several_probes() -> bool:
            return len(dependency.counted) >= 5

        await eventually(several_probes, timeout=PATIENCE, what="five probes")
        dependency.behave("ok")
        await fleet.all_closed()
        await fleet.all_answered_again()
        # It took three successes to close it: up to the third, one at a time.
        ok = [at for at, request in enumerate(dependency.counted) if request.verdict == "ok"]
        probes = dependency.counted[: ok[2] + 1]
        assert [request.at_once for request in probes] == [1] * len(probes)
        assert [each["lost"] for each in await fleet.told()] == [0] * 8
        assert (await watching.look("dependency")).phase == "closed"
        assert await fleet.only_expected_ends()


async def test_the_probe_of_a_process_that_is_killed_goes_to_another_when_its_lease_ends(
    redis_server: RedisServer, dependency: Dependency
) -> None:
    redis_server.flush()
    async with (
        workers(redis_server.url, dependency, 3, 10) as fleet,
        watcher_of(redis_server) as watching,
    ):
        dependency.behave("error")
        await fleet_is(watching, "open")
        await fleet.all_open()
        dependency.count_from_now()
        dependency.behave("hold")

        async def holding() -> Request | None:
            held = [request for request in dependency.under_way if request.verdict == "hold"]
            return held[0] if held else None

        probe = await eventually(holding, timeout=PATIENCE, what="a probe that is held")
        assert probe is not None
        before = await watching.look("dependency")
        assert before.probing > 0
        # One at a time: the lease began when the probe before had ended, or later.
        earliest = max(each.ended or 0 for each in dependency.requests if each is not probe)
        (prober,) = [worker for worker in fleet if worker.process.pid == probe.pid]
        prober.process.kill()
        fleet.remove(prober)
        dependency.behave("ok")
        await fleet.all_closed()
        after = [request for request in dependency.counted if request.began > probe.began]
        assert after[0].began - earliest > LEASE - 0.1  # two clocks, ours and Redis's
        assert [request.at_once for request in after[:3]] == [1] * 3
        assert await fleet.only_expected_ends()


async def test_without_redis_every_process_works_alone_and_with_it_together_again(
    own_redis_server: OwnRedisServer, dependency: Dependency
) -> None:
    server = own_redis_server()
    async with workers(server.url, dependency, 3, 10) as fleet:
        await fleet.all_answered_again()
        server.kill()
        await fleet.all_answered_again()  # and nobody has noticed
        dependency.behave("error", "hang", "drop")
        await fleet.all_open()
        await fleet.all_have("degraded")
        dependency.behave("ok")
        await fleet.all_closed()
        await fleet.all_answered_again()
        server.start()
        await fleet.all_have("connected")
        async with watcher_of(server) as watching:
            assert (await watching.look("dependency")).phase == "closed"
            dependency.behave("error", "hang", "drop")
            await fleet_is(watching, "open")
            await fleet.all_open()
            dependency.behave("ok")
            await fleet_is(watching, "closed")
            await fleet.all_closed()
        assert await fleet.only_expected_ends()
