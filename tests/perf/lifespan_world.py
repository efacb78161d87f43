"""A service of parts that say what happens to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mobius_infra.core import Event
from mobius_infra.perf import LifeChanged, Lifespan, PartFailed
from mobius_infra.testing import ManualClock


class World:
    """Parts that say what happens to them."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.told: list[str] = []

    @asynccontextmanager
    async def part(
        self,
        name: str,
        *,
        start: BaseException | float | None = None,
        close: BaseException | float | None = None,
    ) -> AsyncIterator[None]:
        await self.do(start)
        self.told.append(f"{name} up")
        try:
            yield
        finally:
            await self.do(close)
            self.told.append(f"{name} down")

    async def do(self, what: BaseException | float | None) -> None:
        if isinstance(what, BaseException):
            raise what
        if what is not None:
            await self.clock.sleep(what)

    def hear(self, event: Event) -> None:
        if isinstance(event, LifeChanged):
            self.told.append(event.state)
        elif isinstance(event, PartFailed):
            self.told.append(f"{event.part}: {event.phase} failed")

    def life(self, **settings: float) -> Lifespan:
        life = Lifespan("shop", clock=self.clock, **settings)
        life.events.subscribe(self.hear)
        return life


async def finished(world: World, task: "asyncio.Task[None]", most: float = 1000) -> float:
    """Let time pass until the task ends; return how much."""
    began = world.clock.monotonic()
    while not task.done() and world.clock.monotonic() - began < most:
        await world.clock.advance(0.25)
    assert task.done()
    return world.clock.monotonic() - began
