"""A tier in a backend: shared by processes, skipped while it is down."""

import struct
from dataclasses import dataclass
from typing import Any, Final

from mobius_infra.core import Backend, BackendError, Clock, Codec, CodecError, Event, Events

_HEAD = struct.Struct(">ddH")  # stored at (backend time), may be stale for (seconds), tags' length
_MARK = struct.Struct(">d")
_PAUSE_FIRST, _PAUSE_MAX = 0.25, 10.0  # seconds that a tier which failed is left alone
_ALL: Final = "*"  # every entry carries this tag, so that clearing is one mark


@dataclass(frozen=True, slots=True, kw_only=True)
class TierDegraded(Event):
    """A tier failed and is skipped for now.

    Attributes:
        tier: its name.
        reason: what its backend said.
    """

    tier: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRestored(Event):
    """A tier serves again.

    Attributes:
        tier: its name.
    """

    tier: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a tier had.

    Attributes:
        value: the value.
        fresh_for: seconds that it is still fresh; negative where only stale.
        stale_for: seconds more that it may serve in need.
        tags: what invalidates it.
    """

    value: Any  # Any: whatever was stored
    fresh_for: float
    stale_for: float
    tags: tuple[str, ...]


class BackendTier:
    """Holds values in a backend, Redis or a database, for all processes that share it.

    A failing backend is never the caller's problem: reads miss, writes are left out, and after a
    pause that grows it is tried again.

    Args:
        backend: where values are kept; closing it stays its owner's business.
        mark_ttl: seconds that an invalidation is remembered; longer than any value lives.
    """

    def __init__(self, backend: Backend, *, mark_ttl: float = 7 * 86400.0) -> None:
        self.name = backend.name
        self._backend = backend
        self._mark_ttl = mark_ttl
        self._down_until = 0.0
        self._pause = 0.0
        self.errors = 0
        self.unreadable = 0

    def attach(self, cache: str, events: Events, clock: Clock) -> None:
        """Be told by the cache that owns this tier whose it is."""
        self._cache = cache
        self._events = events
        self._clock = clock

    @property
    def up(self) -> bool:
        """Whether it is asked at present."""
        return self._clock.monotonic() >= self._down_until

    async def now(self) -> float | None:
        """Return the backend's time; None while it is down."""
        if not self.up:
            return None
        try:
            now = await self._backend.now()
        except BackendError as error:
            self._failed(error)
            return None
        self._worked()
        return now

    # Any in the codec: of whatever type the function that is cached returns.
    async def get(self, key: str, codec: Codec[Any]) -> Found | None:
        """Return what is held under `key`, if it is valid and can be read."""
        if not self.up:
            return None
        try:
            found = await self._read(key, codec)
        except BackendError as error:
            self._failed(error)
            return None
        except (struct.error, UnicodeDecodeError, CodecError):
            self.unreadable += 1
            found = None
        self._worked()
        return found

    async def _read(self, key: str, codec: Codec[Any]) -> Found | None:
        held = await self._backend.get_with_ttl(self._key(key))
        if held is None:
            return None
        data, left = held
        stored_at, stale_for, tags, body = _open(data)
        marks = await self._backend.get_many([self._tag(tag) for tag in (_ALL, *tags)])
        if any(mark is not None and _MARK.unpack(mark)[0] >= stored_at for mark in marks):
            return None
        life = float("inf") if left is None else left
        return Found(codec.decode(body), life - stale_for, stale_for, tags)

    async def put(self, key: str, body: bytes, found: Found, started: float) -> None:
        """Hold the encoded value of `found`; its load began at `started`, by the backend's time."""
        if not self.up:
            return
        tags = "\0".join(found.tags).encode()
        data = _HEAD.pack(started, found.stale_for, len(tags)) + tags + body
        try:
            await self._backend.set(self._key(key), data, found.fresh_for + found.stale_for)
        except BackendError as error:
            self._failed(error)
        else:
            self._worked()

    async def drop(self, *keys: str) -> None:
        """Forget `keys`."""
        if not self.up:
            return
        try:
            await self._backend.delete(*map(self._key, keys))
        except BackendError as error:
            self._failed(error)

    async def mark(self, tags: tuple[str, ...] = (_ALL,)) -> None:
        """Make every value with one of `tags` invalid that was loaded before now."""
        if not self.up:
            return
        try:
            mark = _MARK.pack(await self._backend.now())
            await self._backend.set_many({self._tag(tag): mark for tag in tags}, self._mark_ttl)
        except BackendError as error:
            self._failed(error)

    def _key(self, key: str) -> str:
        return f"cache:{self._cache}:{key}"

    def _tag(self, tag: str) -> str:
        return f"cache-tag:{self._cache}:{tag}"

    def _failed(self, error: BackendError) -> None:
        self.errors += 1
        first = self._pause == 0.0
        self._pause = _PAUSE_FIRST if first else min(2 * self._pause, _PAUSE_MAX)
        self._down_until = self._clock.monotonic() + self._pause
        if first:
            at, reason = self._clock.time(), str(error)
            event = TierDegraded(source=self._cache, at=at, tier=self.name, reason=reason)
            self._events.emit(event)

    def _worked(self) -> None:
        if self._pause:
            self._pause = 0.0
            at = self._clock.time()
            self._events.emit(TierRestored(source=self._cache, at=at, tier=self.name))

    def __repr__(self) -> str:
        return f"BackendTier({self.name!r})"


def _open(data: bytes) -> tuple[float, float, tuple[str, ...], bytes]:
    stored_at, stale_for, length = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    joined = data[_HEAD.size : end].decode()
    return stored_at, stale_for, tuple(joined.split("\0")) if joined else (), data[end:]
