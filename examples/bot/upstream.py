"""A small price service to depend on, that can be told to be slow, to fail, to recover.

python -m examples.bot.upstream --port 8081
curl localhost:8081/price/btc
curl -X PUT localhost:8081/mood -d '{"mood": "failing"}'
"""

import argparse
import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Literal, Self, get_args

from aiohttp import web

Mood = Literal["well", "slow", "failing", "hanging"]

# A base price in US dollars, and how far and how fast it swings.
COINS = {
    "btc": (67_000.0, 0.02, 600.0),
    "eth": (3_500.0, 0.03, 420.0),
    "sol": (150.0, 0.05, 240.0),
    "ton": (5.5, 0.04, 300.0),
    "doge": (0.12, 0.08, 180.0),
}


class Upstream:
    """The service; an async context manager that listens on loopback.

    Args:
        port: where to listen; 0 takes a free one.
        delay: seconds that an answer takes in the mood `slow`.
        now: the time that prices follow.
    """

    def __init__(
        self, port: int = 0, *, delay: float = 1.5, now: Callable[[], float] = time.time
    ) -> None:
        self.mood: Mood = "well"
        self.requests = 0
        self._port = port
        self._delay = delay
        self._now = now
        app = web.Application(middlewares=[self._moody])
        app.router.add_get("/price/{coin}", self._price)
        app.router.add_put("/mood", self._set_mood)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _moody(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if request.path == "/mood":
            return await handler(request)
        self.requests += 1
        if self.mood == "failing":
            return web.json_response({"error": "out of order"}, status=503)
        if self.mood == "slow":
            await asyncio.sleep(self._delay)
        elif self.mood == "hanging":
            await asyncio.Event().wait()
        return await handler(request)

    async def _price(self, request: web.Request) -> web.Response:
        coin = request.match_info["coin"]
        if coin not in COINS:
            return web.json_response({"error": f"no such coin: {coin}"}, status=404)
        base, swing, period = COINS[coin]
        now = self._now()
        usd = base * (1 + swing * math.sin(now * 2 * math.pi / period))
        return web.json_response({"coin": coin, "usd": round(usd, 6), "at": now})

    async def _set_mood(self, request: web.Request) -> web.Response:
        mood = (await request.json()).get("mood")
        if mood not in get_args(Mood):
            return web.json_response({"error": f"a mood is one of {get_args(Mood)}"}, status=400)
        self.mood = mood
        return web.json_response({"mood": mood})


async def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A price service that can be told to fail.")
    parser.add_argument("--port", type=int, default=8081)
    async with Upstream(parser.parse_args().port) as upstream:
        print(f"listening on {upstream.url}")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
