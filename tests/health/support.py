"""What the tests of the checks ask, and what they break."""

import asyncio
from collections.abc import Callable

from mobius_infra.core import Event
from mobius_infra.health import CheckReport, HealthMonitor
from mobius_infra.testing import ManualClock


class Dependency:
    """Counts how often it is asked, and answers as told."""

    def __init__(self, clock: ManualClock | None = None, takes: float = 0.0) -> None:
        self.error: Exception | None = None
        self.answer: object = None
        self.asked: list[float] = []
        self._clock = clock
        self.takes = takes

    async def check(self) -> object:
        if self._clock is not None:
            self.asked.append(self._clock.monotonic())
            if self.takes:
                await self._clock.sleep(self.takes)
        else:
            self.asked.append(0.0)
        if self.error is not None:
            raise self.error
        return self.answer

    @property
    def calls(self) -> int:
        return len(self.asked)


def listen(monitor: HealthMonitor) -> list[Event]:
    """Keep what the monitor tells from now on."""
    heard: list[Event] = []
    monitor.events.subscribe(heard.append)
    return heard


def told(heard: list[Event]) -> list[str]:
    """Say shortly what was told, and of which check."""
    return [f"{type(each).__name__} {getattr(each, 'check', '')}".strip() for each in heard]


def report_of(monitor: HealthMonitor, name: str) -> CheckReport:
    return next(each for each in monitor.report().checks if each.name == name)


def states(monitor: HealthMonitor) -> dict[str, str]:
    return {each.name: each.state.value for each in monitor.report().checks}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what threads and sockets do."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)
