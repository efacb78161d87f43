"""A tier in a backend: shared by processes, skipped while it is down."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from mobius_infra.cache._behind import Behind, WriteBehind
from mobius_infra.cache._entry import Life
from mobius_infra.cache._events import TierDegraded, TierRestored
from mobius_infra.cache._owed import Invalidation, Owed
from mobius_infra.cache._record import (
    Found,
    Record,
    RecordError,
    Wide,
    marked,
    read_mark,
    write_mark,
)
from mobius_infra.core import (
    Backend,
    BackendError,
    Clock,
    Codec,
    CodecError,
    Events,
    require,
)

_PAUSE_FIRST, _PAUSE_MAX = 0.25, 10.0  # seconds that a tier which failed is left alone
_SYNC_EVERY = 10.0  # seconds between two looks at the backend's clock
_SETTLE_EVERY = 0.5  # seconds between two attempts to apply what is owed
_MARGIN = 0.001  # seconds by which two clocks may drift apart meanwhile


class BackendTier:
    """Holds values in a backend, Redis or a database, for all processes that share it.

    A failing backend is never the caller's problem: reads miss, writes are left out, and after a
    pause that grows it is tried again. What was invalidated while it was down is remembered, and
    applied before anything is read from it again.

    Args:
        backend: where values are kept; closing it stays its owner's business.
        write_behind: writes values in the background instead of before the caller goes on.
        mark_ttl: seconds that an invalidation is remembered, and the longest that a value lives:
            one that was stored too late must not outlive the mark that makes it invalid.

    Raises:
        ConfigurationError: if `mark_ttl` is not positive.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        write_behind: WriteBehind | None = None,
        mark_ttl: float = 7 * 86400.0,
    ) -> None:
        require(mark_ttl > 0, "mark_ttl", mark_ttl, "positive seconds")
        self.name = backend.name
        self.errors = 0
        self.unreadable = 0
        self.backend = backend
        self._behind_options = write_behind
        self._behind: Behind | None = None
        self._mark_ttl = mark_ttl
        self._down_until = float("-inf")
        self._pause = 0.0
        self._probed = False
        self._offset = 0.0  # of the backend's clock from ours, at least
        self._unsure = 0.0  # seconds by which it may be more
        self._synced_at = float("-inf")
        self._settling: asyncio.Task[None] | None = None
        self._owed = Owed()
        self._marked_at = float("-inf")
        self._ready_until = float("-inf")  # it may be read until then with nothing else to be done
        self._wide_seen: tuple[bytes | None, Wide] = None, Wide()  # as read last

    def attach(self, cache: str, events: Events, clock: Clock) -> None:
        """Be told by the cache that owns this tier whose it is."""
        self._cache = cache
        self._wide = f"cache:{cache}:wide"
        self._values = f"cache:{cache}:value:"
        self._fences = f"cache:{cache}:fence:"
        self._tags = f"cache:{cache}:tag:"
        self._events = events
        self._clock = clock
        if self._behind_options is not None:
            self._behind = Behind(self.backend, self._behind_options, clock, self._failed)

    def _admit(self) -> bool:
        """Say whether the backend may be asked now; while it is degraded, by one at a time."""
        now = self._clock.monotonic()
        if now < self._down_until:
            return False
        if self._pause:
            self._down_until = now + self._pause  # whoever asks next is spared the wait
            self._probed = True
        return True

    @property
    def lost(self) -> int:
        """Values that were to be written in the background and never were."""
        return 0 if self._behind is None else self._behind.lost

    @property
    def waiting(self) -> int:
        """Values that are still to be written in the background."""
        return 0 if self._behind is None else len(self._behind.pending)

    async def began(self) -> float | None:
        """Return the backend's time now, or a little less; None while it is down."""
        if not await self._ready():
            return None
        self._worked()
        # What follows our own invalidation is newer, though our idea of the time may be too low.
        return max(self._clock.monotonic() + self._offset, self._marked_at + 1e-6)

    # Any in the codec: of whatever type the function that is cached returns.
    async def get(self, key: str, tags: Sequence[str], codec: Codec[Any]) -> Found | None:
        """Return what is held under `key`, if it is valid and can be read.

        The value and the marks of all that covers it come in one round trip, unless it turns out
        to carry others than `tags`, which it probably carries.
        """
        if self._clock.monotonic() >= self._ready_until and not await self._ready():
            return None
        names = [self._values + key, self._fences + key, self._wide]
        if tags:
            names += map(self._tag, tags)
        try:
            value, fence, wide, *marks = await self.backend.get_many(names)
            if self._behind is not None:
                value = self._behind.newest(key, value)
            record = None if value is None else self._valid(key, value, fence, wide)
            if record is not None and record.tags and record.tags != tags:
                marks = await self.backend.get_many([self._tag(tag) for tag in record.tags])
        except BackendError as error:
            self._failed(error)
            return None
        if self._pause:
            self._worked()
        if record is None or (record.tags and _any_later(marks, record.began)):
            return None
        try:
            decoded = codec.decode(record.body)
        except CodecError:
            self.unreadable += 1
            return None
        # Our idea of the backend's time may be too low by `_unsure`: the life is never too long.
        now = self._clock.monotonic() + self._offset + self._unsure
        if record.stale_until <= now:  # it may have waited to be written
            return None
        return Found(decoded, record.fresh_until - now, record)

    def _valid(
        self, key: str, value: bytes, fence: bytes | None, wide: bytes | None
    ) -> Record | None:
        """Read a value, unless its own mark or a wide one makes it invalid."""
        try:
            record = Record.read(value)
            if wide is not None and not record.began > self._read_wide(wide).latest(key):
                return None
        except RecordError:  # foreign: a mark that can't be read may mean anything
            self.unreadable += 1
            return None
        if fence is not None and _is_later(fence, record.began):
            return None
        return record

    def _read_wide(self, data: bytes) -> Wide:
        if data != self._wide_seen[0]:
            self._wide_seen = data, Wide.read(data)
        return self._wide_seen[1]

    async def put(
        self,
        key: str,
        body: bytes,
        life: Life,
        tags: tuple[str, ...],
        began: float,
        *,
        at: float,
        if_newer: bool = False,
    ) -> None:
        """Hold an encoded value whose load began at `began`, by the backend's time.

        Args:
            key: under which.
            body: the encoded value.
            life: how long it serves from `at`.
            tags: what invalidates it.
            began: when its load began.
            at: when its load ended, by our clock: what it waited since is of its life.
            if_newer: leave what is there if its load began later.
        """
        if not self._admit():
            return
        fresh_until = at + self._offset + life.fresh_for
        stale_until = min(fresh_until + life.stale_for, began + self._mark_ttl)
        fresh_until = min(fresh_until, stale_until)
        name, ttl = self._value(key), stale_until - self._clock.monotonic() - self._offset
        if ttl <= 0:
            return
        data = Record(began, fresh_until, stale_until, life.early_for, tags, body).write()
        try:
            if if_newer:
                await self._put_newer(name, data, began, ttl)
            elif self._behind is not None and self._behind.running:
                await self._behind.put(key, name, data, ttl)
            else:
                await self.backend.set(name, data, ttl)
        except BackendError as error:
            self._failed(error)
        else:
            self._worked()

    async def _put_newer(self, name: str, data: bytes, began: float, ttl: float) -> None:
        for _ in range(3):  # more often only if others keep storing, who are newer then
            there = await self.backend.get(name)
            if there is not None and _began(there) >= began:
                return
            if await self.backend.compare_and_set(name, there, data, ttl):
                return

    def owe(self, what: Invalidation) -> None:
        """Make values invalid that were loaded before now, as soon as it is settled."""
        self._owed.add(what)
        self._ready_until = float("-inf")
        if self._behind is not None:
            self._behind.forget(what)

    async def settle(self) -> None:
        """Apply what is owed; later, if the tier is down."""
        if not self._owed or not self._admit():
            return
        try:
            await self._settle()
        except BackendError as error:
            self._failed(error)
        else:
            self._worked()

    async def _settle(self) -> None:
        """Apply what is owed. What is added meanwhile stays owed."""
        owed, number = self._owed.now(), self._owed.number
        if not owed:
            return
        await self._sync()
        at = await self.backend.now()
        if owed["all"] or owed["prefix"]:
            await self._widen(owed["prefix"], at, everything=bool(owed["all"]))
        names = [*map(self._tag, owed["tag"]), *map(self._fence, owed["key"])]
        if names:
            await self._mark(names, at)
        if owed["key"]:
            await self.backend.delete(*map(self._value, owed["key"]))
        self._marked_at = at
        self._owed.settled(number)

    async def _mark(self, names: list[str], at: float) -> None:
        """Mark `names` as invalidated at `at`; a later mark, of another process, stays."""
        mark = write_mark(at)
        for name in names:
            before: bytes | None = None
            while marked(before) < at and not await self.backend.compare_and_set(
                name, before, mark, self._mark_ttl
            ):
                before = await self.backend.get(name)

    async def _widen(self, prefixes: list[str], at: float, *, everything: bool) -> None:
        while True:
            before = await self.backend.get(self._wide)
            try:
                wide = Wide.read(before)
            except RecordError:
                wide = Wide(at)
            after = wide.with_prefixes(prefixes, at) if prefixes else wide
            after = after.with_all(at) if everything else after
            if await self.backend.compare_and_set(
                self._wide, before, after.write(), self._mark_ttl
            ):
                return

    async def _ready(self) -> bool:
        """Apply what is owed, and know the backend's time, before anything is trusted.

        Returns:
            Whether the backend may be asked.
        """
        if not self._admit():
            return False
        try:
            if self._owed:
                await self._settle()
            if self._clock.monotonic() - self._synced_at > _SYNC_EVERY:
                await self._sync()
        except BackendError as error:
            self._failed(error)
            return False
        if not self._owed and not self._pause:
            self._ready_until = self._synced_at + _SYNC_EVERY
        return True

    async def _sync(self) -> None:
        before = self._clock.monotonic()
        now = await self.backend.now()
        after = self._clock.monotonic()
        self._offset = now - after - _MARGIN
        self._unsure = after - before + 2 * _MARGIN
        self._synced_at = after

    def start(self) -> None:
        """Write in the background where it was asked for, and apply what is owed when possible."""
        if self._behind is not None:
            self._behind.start()
        if self._settling is None:
            self._settling = asyncio.ensure_future(self._keep_promises())

    async def close(self) -> None:
        """Write what is still waiting."""
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.gather(self._settling, return_exceptions=True)
            self._settling = None
        if self._behind is not None:
            await self._behind.close()

    async def _keep_promises(self) -> None:
        """Apply what is owed also when nobody asks this tier: others read from it."""
        while True:
            await self._clock.sleep(_SETTLE_EVERY)
            await self.settle()

    def _value(self, key: str) -> str:
        return self._values + key

    def _fence(self, key: str) -> str:
        return self._fences + key

    def _tag(self, tag: str) -> str:
        return self._tags + tag

    def _failed(self, error: BackendError) -> None:
        self.errors += 1
        first = self._pause == 0.0
        if first or self._probed:  # of many that fail together, one makes the pause longer
            self._pause = _PAUSE_FIRST if first else min(2 * self._pause, _PAUSE_MAX)
        self._probed = False
        self._down_until = self._clock.monotonic() + self._pause
        self._synced_at = self._ready_until = float("-inf")
        if first:
            at, reason = self._clock.time(), str(error)
            event = TierDegraded(source=self._cache, at=at, tier=self.name, reason=reason)
            self._events.emit(event)

    def _worked(self) -> None:
        if self._pause:
            self._pause = 0.0
            self._down_until = float("-inf")
            at = self._clock.time()
            self._events.emit(TierRestored(source=self._cache, at=at, tier=self.name))

    def __repr__(self) -> str:
        return f"BackendTier({self.name!r})"


def _any_later(marks: Iterable[bytes | None], began: float) -> bool:
    return any(mark is not None and _is_later(mark, began) for mark in marks)


def _is_later(mark: bytes, began: float) -> bool:
    try:
        return read_mark(mark) >= began
    except RecordError:  # foreign: it may mean anything
        return True


def _began(data: bytes) -> float:
    try:
        return Record.read(data).began
    except RecordError:
        return float("-inf")
