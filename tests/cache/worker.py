"""A process with a cache, told what to do by lines on its standard input.

python -m tests.cache.worker URL FOLDER MAX_STALENESS
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.core import open_backend


async def main(url: str, folder: str, max_staleness: str) -> None:
    loads = Path(folder, "loads")
    async with (
        open_backend(url) as backend,
        Cache(
            "shared",
            tiers=[MemoryTier(), BackendTier(backend)],
            ttl=1000,
            lease=60,
            backplane=backend,
            max_staleness=float(max_staleness),
        ) as cache,
    ):

        @cache.cached(tags=["all"])
        async def read(name: str) -> str:
            with loads.open("a") as file:
                file.write(f"{name}\n")
            value = Path(folder, name).read_text()
            await asyncio.sleep(0.05)  # others ask meanwhile
            return value

        ticked = time.monotonic()
        longest = 0.0

        async def tick() -> None:
            """Note how long the event loop stood still, as on a machine that has no time for it."""
            nonlocal ticked, longest
            while True:
                await asyncio.sleep(0.02)
                longest = max(longest, time.monotonic() - ticked)
                ticked = time.monotonic()

        ticking = asyncio.create_task(tick())
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            command, *rest = json.loads(line)
            began = time.monotonic()
            answer: object = None
            match command:
                case "get":
                    answer = await read(rest[0])
                case "get many times":
                    answer = await asyncio.gather(*(read(rest[0]) for _ in range(rest[1])))
                case "invalidate":
                    await read.invalidate(rest[0])
                case "invalidate tag":
                    await cache.invalidate_tags("all")
                case "connected":
                    plane = cache._engine.backplane
                    answer = plane is not None and plane.connected
            ended = time.monotonic()
            stood = max(longest, ended - ticked)
            print(json.dumps([answer, began, ended, stood]), flush=True)
        ticking.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
