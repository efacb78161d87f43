"""Backends that fail, or take their time."""

import asyncio
from typing import Any

from mobius_infra.core import BackendUnavailableError
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.testing import ManualClock


class Flaky(MemoryBackend):
    """A backend that can be told to be away."""

    __slots__ = ("asked", "away")

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.away = False
        self.asked = 0

    async def run(self, script: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        if self.away:
            raise BackendUnavailableError(self.name, "run", "away")
        return await super().run(script, key, *args, **kwargs)


class Slow(MemoryBackend):
    """A backend that does at once what it is asked, and says so later."""

    __slots__ = ("_answered", "asked")

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.asked = 0
        self._answered = asyncio.Event()

    def answer(self) -> None:
        self._answered.set()

    async def run(self, script: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        result = await super().run(script, key, *args, **kwargs)
        await self._answered.wait()
        return result
