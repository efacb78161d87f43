"""A server on a listener that it inherits; it answers slowly, and ends by SIGTERM."""

import asyncio
import os
import socket
import sys

from mobius_infra.perf import Lifespan

busy: set[asyncio.StreamWriter] = set()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    busy.add(writer)
    line = await reader.readline()
    await asyncio.sleep(0.05)
    writer.write(str(os.getpid()).encode() + b" " + line)
    await writer.drain()
    writer.close()
    busy.discard(writer)


async def main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    servers: list[asyncio.Server] = []

    async def start() -> None:
        servers.append(await asyncio.start_server(answer, sock=listener))

    async def drain() -> None:
        servers[0].close()
        for _ in range(10):  # what was accepted in this very turn has not begun
            await asyncio.sleep(0)
        while busy:
            await asyncio.sleep(0.01)

    life = Lifespan("worker")
    life.add("server", start, drain=drain)
    async with life:
        print("ready", flush=True)
        await life.wait()


asyncio.run(main())
