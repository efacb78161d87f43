"""What the tests of the cache ask, and what they break."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mobius_infra.cache import BackendTier, MemoryTier
from mobius_infra.core import BackendUnavailableError
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.testing import ManualClock


class OriginError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Origin:
    """Counts what it is asked, and answers or fails as told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def get(self, key: str) -> str:
        self.calls.append(key)
        number = len(self.calls)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return f"{key}{number}"


class Flaky(MemoryBackend):
    """A backend that can be told to be away."""

    __slots__ = ("away",)

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.away = False

    def _check(self, operation: str, key: str) -> None:
        if self.away:
            raise BackendUnavailableError(self.name, operation, "away")
        super()._check(operation, key)

    async def now(self) -> float:
        self._check("now", "now")
        return await super().now()


class Slow(Flaky):
    """A backend whose operations can be held up: reads on their way back, others before."""

    __slots__ = ("_gates",)

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self._gates: dict[str, asyncio.Event] = {}

    def hold(self, operation: str) -> asyncio.Event:
        """Hold up every such operation until the event is set."""
        gate = self._gates[operation] = asyncio.Event()
        return gate

    async def _pass(self, operation: str) -> None:
        gate = self._gates.get(operation)
        if gate is not None:
            await gate.wait()

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        values = await super().get_many(keys)
        await self._pass("get_many")
        return values

    async def now(self) -> float:
        await self._pass("now")
        return await super().now()

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        await self._pass("set")
        await super().set(key, value, ttl)

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> None:
        await self._pass("set_many")
        await super().set_many(items, ttl)

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, ttl: float | None = None
    ) -> bool:
        await self._pass("compare_and_set")
        return await super().compare_and_set(key, expected, value, ttl)

    async def run(self, *args: Any, **kwargs: Any) -> Any:  # Any: as the script says
        await self._pass("run")
        return await super().run(*args, **kwargs)

    async def publish(self, channel: str, data: bytes) -> None:
        await self._pass("publish")
        await super().publish(channel, data)


TIERS: dict[str, Callable[[Flaky], list[MemoryTier | BackendTier]]] = {
    "memory": lambda backend: [MemoryTier(100)],
    "backend": lambda backend: [BackendTier(backend)],
    "both": lambda backend: [MemoryTier(100), BackendTier(backend)],
}
