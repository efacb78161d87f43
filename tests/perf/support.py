"""A server that exists only here, and what the pool's tests ask of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mobius_infra.perf import Pool
from mobius_infra.testing import ManualClock


class Line:
    """A connection."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = False
        self.dead = False
        self.checked = 0

    def __repr__(self) -> str:
        return f"Line({self.number})"


class Server:
    """Makes connections, and refuses or holds them up as told."""

    def __init__(self) -> None:
        self.made: list[Line] = []
        self.attempts = 0
        self.error: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.turns = 0
        self.most_open = 0

    @property
    def open(self) -> list[Line]:
        return [line for line in self.made if not line.closed]

    async def connect(self) -> Line:
        self.attempts += 1
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        line = Line(len(self.made))
        self.made.append(line)
        self.most_open = max(self.most_open, len(self.open))
        return line

    async def close(self, line: Line) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        assert not line.closed
        line.closed = True

    async def check(self, line: Line) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        line.checked += 1
        if line.dead:
            raise ConnectionError("dead")

    def pool(
        self, clock: ManualClock | None = None, name: str = "db", **settings: Any
    ) -> Pool[Line]:
        """Return a pool of its connections without chance in it."""
        return Pool(name, self.connect, close=self.close, clock=clock, draw=lambda: 0.0, **settings)

    @asynccontextmanager
    async def using(
        self, clock: ManualClock | None = None, **settings: Any
    ) -> AsyncIterator[Pool[Line]]:
        """Give such a pool; close it at the end, whatever the test has not given back."""
        pool = self.pool(clock, **settings)
        if pool.stats().min_size:
            await pool.open()
        try:
            yield pool
        finally:
            pool._stock.drop()
            await pool.close()


async def turns(number: int = 30) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
