"""What `/health` bears, beside a bare route of Starlette, each served by one uvicorn process.

The load comes from this process, over so many connections at a time; rates and latencies are of
whole requests. What is compared is the two in one run.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CONNECTIONS = 16
REQUESTS = 20_000

APP = """
import asyncio, sys, uvicorn
from mobius_infra.health import HealthMonitor, status_app
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def bare(request):
    return JSONResponse({"status": "pass"})

monitor = HealthMonitor()
for number in range(20):
    @monitor.check(f"check {number}", every=1)
    async def check():
        pass

async def main():
    if sys.argv[1] == "starlette":
        app = Starlette(routes=[Route("/health", bare)])
    else:
        app = status_app(monitor)
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    async with monitor:
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await task

asyncio.run(main())
"""


@contextmanager
def served(kind: str, folder: Path) -> Iterator[int]:
    program = folder / "app.py"
    program.write_text(APP)
    command = [sys.executable, str(program), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()


async def load(port: int) -> tuple[float, float]:
    """Return requests a second, and the 99th percentile of their latency in seconds."""
    request = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    took: list[float] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(REQUESTS // CONNECTIONS):
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - began)
            assert head.startswith(b"HTTP/1.1 200")
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return len(took) / (time.perf_counter() - began), sorted(took)[int(len(took) * 0.99)]


@pytest.mark.parametrize("kind", ["starlette", "mobius_infra"])
def test_health_under_load(
    kind: str, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    with served(kind, tmp_path) as port:
        asyncio.run(load(port))
        rate, latency = max(asyncio.run(load(port)) for _ in range(3))
    record_figure("requests a second", f"{rate:,.0f}, p99 {latency * 1000:.1f} ms")
