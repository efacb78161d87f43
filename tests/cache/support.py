"""What the tests of the cache ask, and what they break."""

import asyncio

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
