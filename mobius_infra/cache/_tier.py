"""A tier in a backend: shared by processes, skipped while it is down."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mobius_infra.cache._behind import Behind, WriteBehind
from mobius_infra.cache._entry import Life
from mobius_infra.cache._events import TierDegraded, TierRestored
from mobius_infra.cache._owed import Invalidation, Owed
from mobius_infra.cache._record import Record, RecordError, Wide, marked, read_mark, write_mark
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


@dataclass(slots=True)
class Found:
    """What a tier had.

    Attributes:
        value: the value.
        life: how long it serves.
        age: seconds since its load began.
        tags: what invalidates it.
        body: the encoded value.
    """

    value: Any  # Any: whatever was stored
    life: Life
    age: float
    tags: tuple[str, ...]
    body: bytes


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

    def attach(self, cache: str, events: Events, clock: Clock) -> None:
        """Be told by the cache that owns this tier whose it is."""
        self._cache = cache
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
        if not self._admit():
            return None
        try:
            await self._rejoin()
        except BackendError as error:
            self._failed(error)
            return None
        self._worked()
        # What follows our own invalidation is newer, though our idea of the time may be too low.
        return max(self._clock.monotonic() + self._offset, self._marked_at + 1e-6)

    # Any in the codecs: of whatever type the function that is cached returns.
    async def get(self, key: str, tags: Sequence[str], codec: Codec[Any]) -> Found | None:
        """Return what is held under `key`, if it is valid and can be read."""
        return (await self.get_many({key: tags}, codec)).get(key)

    async def get_many(
        self, wanted: Mapping[str, Sequence[str]], codec: Codec[Any]
    ) -> dict[str, Found]:
        """Return what is held of `wanted`, which has the tags that each key probably carries.

        Values and the marks of all that covers them come in one round trip, unless a value turns
        out to carry other tags.
        """
        if not self._admit():
            return {}
        tags = list({tag for each in wanted.values() for tag in each})
        names = [self._wide]
        for key in wanted:
            names += (self._value(key), self._fence(key))
        names += map(self._tag, tags)
        try:
            await self._rejoin()
            data = await self.backend.get_many(names)
            records = self._records(list(wanted), data)
            marks = dict(zip(tags, data[1 + 2 * len(wanted) :], strict=True))
            others = {tag for record in records.values() for tag in record.tags} - marks.keys()
            if others:
                more = await self.backend.get_many([self._tag(tag) for tag in others])
                marks.update(zip(others, more, strict=True))
        except BackendError as error:
            self._failed(error)
            return {}
        self._worked()
        found = {}
        for key, record in records.items():
            if any(_reads_later(marks[tag], record.began) for tag in record.tags):
                continue
            try:
                found[key] = self._found(record, codec)
            except CodecError:
                self.unreadable += 1
        return found

    def _records(self, keys: list[str], data: Sequence[bytes | None]) -> dict[str, Record]:
        """Read the values that neither their own mark nor a wide one makes invalid."""
        try:
            wide = Wide.read(data[0])
        except RecordError:  # foreign: trust nothing that is older than now
            self.unreadable += 1
            return {}
        records = {}
        for number, key in enumerate(keys):
            value, fence = data[1 + 2 * number : 3 + 2 * number]
            if self._behind is not None and key in self._behind.pending:
                value = self._behind.pending[key].data
            if value is None:
                continue
            try:
                record = Record.read(value)
            except RecordError:
                self.unreadable += 1
                continue
            if record.began > wide.latest(key) and not _reads_later(fence, record.began):
                records[key] = record
        return records

    def _found(self, record: Record, codec: Codec[Any]) -> Found:
        # Our idea of the backend's time may be too low by `_unsure`: the life is never too long.
        now = self._clock.monotonic() + self._offset + self._unsure
        life = Life(
            record.fresh_until - now, record.stale_until - record.fresh_until, record.early_for
        )
        value = codec.decode(record.body)
        return Found(value, life, now - record.began, record.tags, record.body)

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

    async def _rejoin(self) -> None:
        """Apply what is owed, and know the backend's time, before anything is trusted."""
        if self._owed:
            await self._settle()
        if self._clock.monotonic() - self._synced_at > _SYNC_EVERY:
            await self._sync()

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

    @property
    def _wide(self) -> str:
        return f"cache:{self._cache}:wide"

    def _value(self, key: str) -> str:
        return f"cache:{self._cache}:value:{key}"

    def _fence(self, key: str) -> str:
        return f"cache:{self._cache}:fence:{key}"

    def _tag(self, tag: str) -> str:
        return f"cache:{self._cache}:tag:{tag}"

    def _failed(self, error: BackendError) -> None:
        self.errors += 1
        first = self._pause == 0.0
        if first or self._probed:  # of many that fail together, one makes the pause longer
            self._pause = _PAUSE_FIRST if first else min(2 * self._pause, _PAUSE_MAX)
        self._probed = False
        self._down_until = self._clock.monotonic() + self._pause
        self._synced_at = float("-inf")
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


def _reads_later(mark: bytes | None, began: float) -> bool:
    try:
        return read_mark(mark) >= began
    except RecordError:  # foreign: it may mean anything
        return True


def _began(data: bytes) -> float:
    try:
        return Record.read(data).began
    except RecordError:
        return float("-inf")
