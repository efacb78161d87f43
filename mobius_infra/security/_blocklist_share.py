"""Blocks shared by a fleet: in the backend in shards, held whole by every process.

A change is one compare-and-set of its shard; then the shard's stamp is set to a new value, and a
message wakes the others. Messages may be lost: the stamps are looked at twice a second anyway, and
a shard whose stamp is not the one seen last is read again. Whoever dies between shard and stamp
leaves a change that nobody was told of, so with every look one shard is read in turn, too.

While the backend is away, what was known stays, and what is decided here is owed to it. One that
comes back without its memory is told again what it knew.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import uuid4
from zlib import crc32

from mobius_infra.core import Backend, BackendError, Clock
from mobius_infra.security._blocklist_steps import (
    Block,
    changed,
    read_shard,
    stronger,
    write_shard,
)
from mobius_infra.security._blocklist_table import BlockTable, moved
from mobius_infra.security._blocklist_time import SharedTime

SHARDS: Final = 64
"""In how many values the blocks are kept: one of a full list has some 100 kB."""

LOOK_EVERY: Final = 0.5  # seconds: what a lost message said is known within a second
_RETRY: Final = 0.25  # seconds until a lost subscription is tried again
_ATTEMPTS: Final = 100  # of a change, each lost to another's


class Share:
    """Keeps a table and the backend's shards the same.

    Args:
        backend: where the shards are.
        name: separates them from those of other detectors.
        table: what this process knows.
        time: learns the backend's time.
        most: blocks at most, over all shards.
        forget: seconds for which one that has ended is kept for its `times`.
        told: is told what went wrong when the backend fails, and None when it works again.
        clock: waits.
    """

    __slots__ = (
        "_backend", "_clock", "_failing", "_forget", "_key", "_me", "_most", "_names", "_poke",
        "_stamps", "_table", "_tasks", "_time", "_told", "_turn", "owed",
    )  # fmt: skip

    def __init__(
        self,
        backend: Backend,
        name: str,
        table: BlockTable,
        time: SharedTime,
        *,
        most: int,
        forget: float,
        told: Callable[[str | None], None],
        clock: Clock,
    ) -> None:
        self.owed: dict[str, Block | None] = {}
        self._backend = backend
        self._key = f"threats:{name}"
        self._table = table
        self._time = time
        self._most = most // SHARDS * 5 // 4 + 16  # per shard: names do not spread evenly
        self._forget = forget
        self._told = told
        self._clock = clock
        self._me = uuid4().hex.encode()
        self._names: list[frozenset[str]] = [frozenset()] * SHARDS  # of the blocks in each shard
        self._stamps: list[bytes | None] = [None] * SHARDS
        self._turn = 0
        self._failing = False
        self._poke = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read, and keep reading, telling and listening."""
        if not self._tasks:
            self._failing = False
            await self._try()
            jobs = (self._run(), self._tick(), self._listen())
            self._tasks = [asyncio.ensure_future(job) for job in jobs]

    async def close(self) -> None:
        """Tell what is owed, if that can be done, and stop; what is known stays."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks and self.owed:
            await self._try()

    def tell(self, subject: str, block: Block | None) -> None:
        """Let the others know of a block, or that it was lifted (None), as soon as can be."""
        self.owed[subject] = block
        while len(self.owed) > self._most * SHARDS:
            del self.owed[next(iter(self.owed))]  # of an outage in which more than all were blocked
        self._poke.set()

    async def _run(self) -> None:
        # All that is read and written, one after the other: no older answer comes after a newer.
        while True:
            await self._poke.wait()
            self._poke.clear()
            await self._try()

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY)
            self._poke.set()

    async def _listen(self) -> None:
        while True:
            # Not told of where it fails: looking goes on, and tells when that fails too.
            with suppress(BackendError):
                async with self._backend.subscribe(self._key) as messages:
                    async for message in messages:
                        # It only wakes: what it says is not believed. A gap wakes just as well.
                        if getattr(message, "data", None) != self._me:
                            self._poke.set()
            await self._clock.sleep(_RETRY)

    async def _try(self) -> None:
        try:
            await self._look()
            await self._pay()
        except (BackendError, ValueError) as error:
            if not self._failing:
                self._failing = True
                self._told(str(error))
        else:
            if self._failing:
                self._failing = False
                self._told(None)

    async def _look(self) -> None:
        """Read the shards that may have changed."""
        asked_at = self._clock.monotonic()
        there = await self._backend.now()
        fresh = not self._time.known
        wrong = self._time.learn(there, asked_at)
        if fresh:  # what was blocked before had this machine's time
            self._table.shift(wrong)
            owed = self.owed.items()
            self.owed = {name: block and moved(block, wrong) for name, block in owed}
        self._table.sweep(self._time() - self._forget)
        # Stamps before shards: what changes in between has another stamp at the next look.
        stamps = await self._backend.get_many([self._stamp_key(each) for each in range(SHARDS)])
        self._turn = (self._turn + 1) % SHARDS
        news = [each for each in range(SHARDS) if stamps[each] != self._stamps[each]]
        shards = news if self._turn in news else [*news, self._turn]
        held = await self._backend.get_many([self._shard_key(each) for each in shards])
        for shard, data in zip(shards, held, strict=True):
            if data is None:
                self._remind(shard)
            else:
                self._apply(shard, read_shard(data))
            self._stamps[shard] = stamps[shard]

    def _remind(self, shard: int) -> None:
        """Owe a backend that has lost a shard, which is never deleted, what is known of it."""
        for name in self._names[shard]:
            block = self._table.get(name)
            if block is not None:
                self.owed.setdefault(name, block)
        self._names[shard] = frozenset()

    def _apply(self, shard: int, blocks: dict[str, Block]) -> None:
        """Take what a shard says, but for what this process has not told yet."""
        owed = self.owed
        for gone in self._names[shard].difference(blocks):
            if gone not in owed:
                self._table.pop(gone)
        for subject, block in blocks.items():
            if subject in owed:
                mine = owed[subject]
                if mine is not None:
                    self._take(stronger(block, mine))
            else:
                self._take(block)
        self._names[shard] = frozenset(blocks)

    def _take(self, block: Block) -> None:
        if self._table.get(block.subject) != block:
            self._table.put(block)

    async def _pay(self) -> None:
        """Write what is owed, and tell."""
        by_shard: dict[int, dict[str, Block | None]] = defaultdict(dict)
        for subject, block in self.owed.items():
            by_shard[crc32(subject.encode()) % SHARDS][subject] = block
        for shard, changes in by_shard.items():
            await self._change(shard, changes)
            stamp = uuid4().bytes
            await self._backend.set(self._stamp_key(shard), stamp)
            for subject, block in changes.items():
                if self.owed.get(subject, ...) is block:
                    del self.owed[subject]
        if by_shard:
            with suppress(BackendError):  # then the others find it at their next look
                await self._backend.publish(self._key, self._me)

    async def _change(self, shard: int, changes: dict[str, Block | None]) -> None:
        key = self._shard_key(shard)
        for _ in range(_ATTEMPTS):
            data = await self._backend.get(key)
            oldest = self._time() - self._forget
            after = changed(read_shard(data), changes, oldest=oldest, most=self._most)
            if await self._backend.compare_and_set(key, data, write_shard(after)):
                self._apply(shard, after)
                return
        raise BackendError(self._backend.name, "change of blocks", "others were always faster")

    def _shard_key(self, shard: int) -> str:
        return f"{self._key}:{shard}"

    def _stamp_key(self, shard: int) -> str:
        return f"{self._key}:{shard}:stamp"
