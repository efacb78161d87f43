"""The demo's command `price`, asked by many users at once: with `perf`, or as one writes it first.

    python -m benchmarks.price_service plain|perf USERS ROUNDS

Users ask for a few coins, popular ones more often. Prices come from a server in another process,
one line a question. Plain: a connection and a question for each user, on the standard loop. With
`perf`: uvloop, a pool of connections, equal questions asked once, and the collector tuned. The
process prints what it used itself; that of the server does not count.
"""

import asyncio
import json
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from mobius_infra.perf import GcTuner, Pool, coalesced, run

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Ask = Callable[[str], Awaitable[str]]


async def prices(listener: socket.socket) -> None:
    """Serve prices until killed."""
    busy = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal busy
        while line := await ask(reader):
            busy += 1
            # Up to a dozen at once it is as quick for each as for one; beyond, they get in each
            # other's way, as in a database.
            await asyncio.sleep(0.003 + 0.001 * max(0, busy - 12))
            busy -= 1
            writer.write(json.dumps({"coin": line.decode().strip(), "price": 1.5}).encode() + b"\n")
        writer.close()

    async def ask(reader: asyncio.StreamReader) -> bytes:
        with suppress(ConnectionError):
            return await reader.readline()
        return b""

    async with await asyncio.start_server(answer, sock=listener, backlog=1000) as server:
        await server.serve_forever()


async def question(line: Line, coin: str) -> str:
    reader, writer = line
    writer.write(coin.encode() + b"\n")
    return str(json.loads(await reader.readline())["price"])


async def ask_all(ask: Ask, users: int, rounds: int) -> None:
    chance = random.Random(1)
    coins = [f"coin{number}" for number in range(50)]
    weights = [1 / (number + 1) for number in range(50)]
    for _ in range(rounds):
        await asyncio.gather(*map(ask, chance.choices(coins, weights, k=users)))


async def plain(port: int, users: int, rounds: int) -> None:
    async def ask(coin: str) -> str:
        line = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await question(line, coin)
        finally:
            line[1].close()

    await ask_all(ask, users, rounds)


async def with_perf(port: int, users: int, rounds: int) -> None:
    async def connect() -> Line:
        return await asyncio.open_connection("127.0.0.1", port)

    async def close(line: Line) -> None:
        line[1].close()

    pool = Pool("prices", connect, close=close, max_size=20)

    @coalesced("price")
    async def ask(coin: str) -> str:
        async with pool.connection() as line:
            return await question(line, coin)

    async with pool, GcTuner(warmup=0):
        await ask_all(ask, users, rounds)


def main() -> None:
    mode, users, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if mode == "server":
        asyncio.run(prices(socket.socket(fileno=users)))
        return
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        port = listener.getsockname()[1]
        number = str(listener.fileno())
        command = [sys.executable, "-m", "benchmarks.price_service", "server", number, "0"]
        server = subprocess.Popen(command, pass_fds=[listener.fileno()])
    began, used = time.perf_counter(), time.process_time()
    try:
        if mode == "plain":
            asyncio.run(plain(port, users, rounds))
        else:
            run(with_perf(port, users, rounds))
    finally:
        server.kill()
        server.wait()
    print(json.dumps(figures(began, used)))


def figures(began: float, used: float) -> dict[str, Any]:
    return {
        "cpu": time.process_time() - used,
        "seconds": time.perf_counter() - began,
        "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    main()
