"""The backend that lives in this process: for one process, and the yardstick for the others."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import ParamSpec, Self, TypeVar

from mobius_infra.core._backend import Message, Subscription, check_key, check_ttl
from mobius_infra.core._clock import Clock, SystemClock
from mobius_infra.core._errors import BackendUnavailableError
from mobius_infra.core._events import Events
from mobius_infra.core._script import Scalar, Script, State
from mobius_infra.core.backends._queue import MessageQueue

P = ParamSpec("P")
Result = TypeVar("Result", bound=tuple[Scalar, ...])

_NEVER = float("inf")
_SWEEP = 16  # expired entries that one write clears at most, so that no write pays for many


@dataclass(slots=True)
class _Entry:
    held: bytes | State
    expires: float  # by the monotonic clock


class MemoryBackend:
    """Keeps everything in a dict. Operations never suspend, so each is atomic by itself.

    Args:
        clock: expiry by its monotonic time, `now()` by its wall time.
    """

    __slots__ = ("_clock", "_closed", "_due", "_entries", "_queues", "events")

    name = "memory://"

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._entries: dict[str, _Entry] = {}
        self._due: list[
            tuple[float, str]
        ] = []  # a heap; an entry that was replaced stays until due
        self._queues: dict[str, list[MessageQueue]] = {}
        self._closed = False
        self.events = Events()

    async def get(self, key: str) -> bytes | None:
        entry = self._find("get", key)
        return None if entry is None else _value(entry)

    async def get_with_ttl(self, key: str) -> tuple[bytes, float | None] | None:
        entry = self._find("get_with_ttl", key)
        if entry is None:
            return None
        left = None if entry.expires == _NEVER else entry.expires - self._clock.monotonic()
        return _value(entry), left

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        entries = [self._find("get_many", key) for key in keys]
        return [None if entry is None else _value(entry) for entry in entries]

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self._check("set", key)
        check_ttl(ttl)
        self._put(key, value, ttl)

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> None:
        check_ttl(ttl)
        for key in items:
            self._check("set_many", key)
        for key, value in items.items():
            self._put(key, value, ttl)

    async def delete(self, *keys: str) -> int:
        found = [key for key in dict.fromkeys(keys) if self._find("delete", key) is not None]
        for key in found:
            del self._entries[key]
        return len(found)

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, ttl: float | None = None
    ) -> bool:
        check_ttl(ttl)
        entry = self._find("compare_and_set", key)
        if (None if entry is None else entry.held) != expected:
            return False
        if value is not None:
            self._put(key, value, ttl)
        else:
            self._entries.pop(key, None)
        return True

    async def run(
        self, script: Script[P, Result], key: str, *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        entry = self._find(f"run {script.name}", key)
        before = entry.held if entry is not None and isinstance(entry.held, list) else None
        after, result, ttl = script.step(before, self._clock.time(), *args, **kwargs)
        if after is None:
            self._entries.pop(key, None)
        else:
            self._put(key, after, ttl)
        return result

    async def now(self) -> float:
        return self._clock.time()

    async def publish(self, channel: str, data: bytes) -> None:
        self._check("publish", channel)
        for queue in self._queues.get(channel, ()):
            queue.put(Message(channel, data))

    @asynccontextmanager
    async def subscribe(self, *channels: str) -> AsyncIterator[Subscription]:
        for channel in channels:
            self._check("subscribe", channel)
        queue = MessageQueue()
        for channel in channels:
            self._queues.setdefault(channel, []).append(queue)
        try:
            yield queue
        finally:
            for channel in channels:
                waiting = self._queues[channel]
                waiting.remove(queue)
                if not waiting:
                    del self._queues[channel]

    async def ping(self) -> None:
        self._check("ping", "ping")

    async def close(self) -> None:
        self._closed = True
        self._entries.clear()
        self._due.clear()
        for queue in _unique(self._queues.values()):
            queue.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"MemoryBackend(entries={len(self._entries)})"

    def _check(self, operation: str, key: str) -> None:
        if self._closed:
            raise BackendUnavailableError(self.name, operation, "it has been closed")
        check_key(key)

    def _find(self, operation: str, key: str) -> _Entry | None:
        self._check(operation, key)
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= self._clock.monotonic():
            del self._entries[key]
            return None
        return entry

    def _put(self, key: str, held: bytes | State, ttl: float | None) -> None:
        now = self._clock.monotonic()
        expires = _NEVER if ttl is None else now + ttl
        entry = self._entries.get(key)
        if entry is not None and entry.expires == expires:
            entry.held = held
            return
        self._entries[key] = _Entry(held, expires)
        if ttl is not None:
            heappush(self._due, (expires, key))
        self._sweep(now)

    def _sweep(self, now: float) -> None:
        due = self._due
        for _ in range(_SWEEP):
            if not due or due[0][0] > now:
                break
            _, key = heappop(due)
            entry = self._entries.get(key)
            if entry is not None and entry.expires <= now:
                del self._entries[key]
        # A key that is written again and again leaves one stale mark each time: start anew from
        # what is there once most marks are stale.
        if len(due) > 2 * len(self._entries) + 1_000:
            due[:] = [(e.expires, key) for key, e in self._entries.items() if e.expires != _NEVER]
            heapify(due)


def _unique(groups: Iterable[list[MessageQueue]]) -> list[MessageQueue]:
    return list({id(queue): queue for group in groups for queue in group}.values())


def _value(entry: _Entry) -> bytes:
    """Return the bytes of a value; a script's state has none, and reading it is not defined."""
    return entry.held if isinstance(entry.held, bytes) else b""
