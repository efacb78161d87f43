"""A process that calls a dependency under a breaker of a fleet, in many tasks, without end.

It answers each line on its standard input with its numbers.

python -m tests.breaker.worker URL PORT TASKS LEASE, the last in seconds
"""

import asyncio
import json
import os
import sys
from collections import Counter

from mobius_infra.breaker import Backoff, CircuitBreaker, CircuitOpenError, Fleet
from mobius_infra.core import open_backend

PAUSE = 0.1  # seconds between the calls of a task


class DependencyError(Exception):
    """The dependency failed."""


async def ask_dependency(port: int) -> None:
    """Make one request; the dependency knows that it has ended before its caller does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{os.getpid()}\n".encode())
        verdict = await reader.readline()
        if verdict == b"hold\n":
            verdict = await reader.readline()
        if verdict == b"hang\n":
            await asyncio.sleep(0.2)
        if verdict != b"ok\n":
            raise DependencyError(verdict)
    except ConnectionError as error:
        raise DependencyError from error
    finally:
        try:
            writer.write(b"ended\n")
            await reader.readline()
        except ConnectionError:
            pass
        writer.close()


async def main(url: str, port: str, tasks: str, lease: str) -> None:
    ended: Counter[str] = Counter()
    under_way = 0
    async with (
        open_backend(f"{url}?timeout=60&connect_timeout=60") as backend,
        # Patient: on a busy machine, a process that gave up would rightly probe by itself.
        Fleet(backend, quorum=3, poll=0.2, timeout=60.0) as fleet,
    ):
        breaker = CircuitBreaker(
            "dependency",
            consecutive_failures=3,
            backoff=Backoff(0.1, 0.4, jitter="equal"),
            probe_timeout=float(lease),
            successes=3,
            fleet=fleet,
        )

        @breaker
        async def guarded() -> None:
            nonlocal under_way
            under_way += 1
            try:
                await ask_dependency(int(port))
            finally:
                under_way -= 1

        async def work(number: int) -> None:
            await asyncio.sleep(PAUSE * number / int(tasks))
            while True:
                try:
                    await guarded()
                    ended["answered"] += 1
                except DependencyError:
                    ended["failed"] += 1
                except CircuitOpenError:
                    ended["rejected"] += 1
                except Exception as error:
                    ended[f"unexpected: {error!r}"] += 1
                await asyncio.sleep(PAUSE)

        working = [asyncio.create_task(work(number)) for number in range(int(tasks))]
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while await reader.readline():
            told = {
                "state": breaker.state,
                "fleet": fleet.stats().state,
                "lost": fleet.stats().lost,
                "ended": dict(ended),
                "under_way": under_way,
            }
            print(json.dumps(told), flush=True)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
