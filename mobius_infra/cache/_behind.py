"""Writing in the background: bounded, in batches, and all of it when the cache is closed."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from mobius_infra.cache._owed import Invalidation
from mobius_infra.core import Backend, BackendError, Clock, require


@dataclass(frozen=True, slots=True)
class WriteBehind:
    """How a tier is written to in the background.

    A process that is killed loses what it had not written: at most `max_pending` values, of the
    last `interval` seconds while the backend is well. Invalidations are never written behind.

    Attributes:
        interval: seconds from one batch to the next.
        batch: values written together at most.
        max_pending: values that may wait; when there are more, the caller waits for a batch.

    Raises:
        ConfigurationError: for a value that is not positive.
    """

    interval: float = 0.1
    batch: int = 100
    max_pending: int = 10_000

    def __post_init__(self) -> None:
        require(self.interval > 0, "interval", self.interval, "positive seconds")
        require(self.batch > 0, "batch", self.batch, "a positive number of values")
        require(self.max_pending > 0, "max_pending", self.max_pending, "a positive number")


@dataclass(slots=True)
class _Write:
    name: str
    data: bytes
    expires: float


class Behind:
    """The values of one tier that are still to be written, the newest of each key."""

    def __init__(
        self,
        backend: Backend,
        options: WriteBehind,
        clock: Clock,
        failed: Callable[[BackendError], None],
    ) -> None:
        self.pending: dict[str, _Write] = {}
        self.lost = 0
        self._backend = backend
        self._options = options
        self._clock = clock
        self._failed = failed
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether what is put will be written."""
        return self._task is not None

    def start(self) -> None:
        """Write at every interval from now on."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    async def put(self, key: str, name: str, data: bytes, ttl: float) -> None:
        """Take a value; if too many wait already, write a batch first.

        Raises:
            BackendError: if that fails; the value is not taken then.
        """
        if key not in self.pending and len(self.pending) >= self._options.max_pending:
            await self._write()
        self.pending[key] = _Write(name, data, self._clock.monotonic() + ttl)

    def forget(self, what: Invalidation) -> None:
        """Leave out what was invalidated by key; marks make the rest invalid."""
        for key in what.keys:
            self.pending.pop(key, None)

    def newest(self, key: str, stored: bytes | None) -> bytes | None:
        """Return the value of `key`: the one that waits, or else the one that is stored."""
        write = self.pending.get(key)
        return stored if write is None else write.data

    async def close(self) -> None:
        """Write all that waits; what the backend does not take is lost, and counted."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        while self.pending:
            try:
                await self._write()
            except BackendError as error:
                self._failed(error)
                self.lost += len(self.pending)
                self.pending.clear()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self._options.interval)
            try:
                while self.pending:
                    await self._write()
            except BackendError as error:
                self._failed(error)

    async def _write(self) -> None:
        """Write one batch. What is put again meanwhile stays."""
        async with self._writing:
            batch = list(self.pending.items())[: self._options.batch]
            now = self._clock.monotonic()
            # A backend takes one ttl for many values: whole seconds make groups, and records
            # know their own ends.
            groups: dict[int, dict[str, bytes]] = {}
            for _, write in batch:
                seconds = math.ceil(write.expires - now)
                if seconds > 0:
                    groups.setdefault(seconds, {})[write.name] = write.data
            for seconds, items in groups.items():
                await self._backend.set_many(items, float(seconds))
            for key, write in batch:
                if self.pending.get(key) is write:
                    del self.pending[key]
