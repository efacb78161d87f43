"""A worker that takes jobs from a port until it is told to end: `lifespan_worker PORT`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mobius_infra.perf import Lifespan


class Jobs:
    """Asks for a job, does it, says so; and does not ask again once it drains."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ending = asyncio.Event()
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        working = asyncio.create_task(self._work(reader, writer))
        try:
            yield
        finally:
            await working
            writer.close()

    async def _work(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._ending.is_set():
            writer.write(b"next\n")
            job = await reader.readline()
            for _ in range(20):  # it takes some turns, in which the signal may come
                await asyncio.sleep(0)
            writer.write(b"done " + job)
            await writer.drain()
        self._ended.set()

    async def drain(self) -> None:
        self._ending.set()
        await self._ended.wait()


async def main(port: int) -> None:
    jobs = Jobs(port)
    life = Lifespan("worker", grace=120)
    life.add("jobs", jobs.connected(), drain=jobs.drain)
    await life.run()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
