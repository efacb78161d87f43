"""A history's cells in a backend: in blocks, in batches, found again by their time."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

from mobius_infra.core import Backend, Clock, Codec, CodecError
from mobius_infra.metrics._cells import Cell, Cells

log = logging.getLogger("mobius_infra")

BLOCK = 60
"""Cells that are stored under one key."""

BATCH = 100
"""Keys that are read or written together."""

SLICE = 10
"""Blocks between two turns of the event loop: about 3 ms."""

_CELLS: Codec[list[Cell]] = Codec(list[Cell])
_NAMES: Codec[list[str]] = Codec(list[str])

Held = Mapping[str, tuple[Cells, ...]]

_Found: TypeAlias = tuple[Cells, int, bytes]
"""Where a stored block belongs, its number, and its bytes."""


class Archive:
    """Where a history is kept. Saving loads first, so that nothing stored is written over.

    A hundred series have 200,000 cells, a second's work: every few blocks the loop gets a turn.
    """

    __slots__ = ("_backend", "_clock", "_found", "_loaded", "_name", "_saved", "_turn")

    def __init__(self, backend: Backend, name: str, clock: Clock) -> None:
        self._backend = backend
        self._name = name
        self._clock = clock
        self._loaded = False
        self._found: deque[_Found] | None = None  # what is stored, and not yet added
        self._saved: list[str] = []  # the names of series under the key of all names
        self._turn = asyncio.Lock()

    async def load(self, held: Held, make: Callable[[str], object]) -> None:
        """Add what is stored to what is held, once; later calls do nothing.

        Args:
            held: the series by name.
            make: puts a stored series into `held`, if there is room for it.

        Raises:
            BackendError: if the backend failed; nothing was added then.
        """
        async with self._turn:
            await self._load(held, make)

    async def _load(self, held: Held, make: Callable[[str], object]) -> None:
        if self._loaded:
            return
        if self._found is None:
            # Only when all is here: a second try must not add what a first one has added.
            self._found = await self._fetch(held, make)
        found = self._found
        while found:  # whoever is cancelled here leaves the rest to the next
            for _ in range(min(SLICE, len(found))):
                self._add(*found.popleft())
            await self._clock.sleep(0)
        self._loaded, self._found = True, None

    async def _fetch(self, held: Held, make: Callable[[str], object]) -> deque[_Found]:
        """Return what is stored of cells that are not too old."""
        data = await self._backend.get(f"history:{self._name}")
        for series in self._decode(_NAMES, data):
            make(series)
        now = self._clock.time()
        wanted = [
            (cells, block, self._key(series, cells, block))
            for series, resolutions in held.items()
            for cells in resolutions
            for block in _blocks(cells, now)
        ]
        found: deque[_Found] = deque()
        for at in range(0, len(wanted), BATCH):
            batch = wanted[at : at + BATCH]
            stored = await self._backend.get_many([key for _, _, key in batch])
            found.extend(
                (cells, block, data)
                for (cells, block, _), data in zip(batch, stored, strict=True)
                if data is not None
            )
        return found

    def _add(self, cells: Cells, block: int, data: bytes) -> None:
        """Add the cells of a stored block, as far as they can be right."""
        numbers = _numbers(cells, self._clock.time())
        for cell in self._decode(_CELLS, data):
            if not cell.sound:
                continue
            number = cells.number_of(cell)
            # What is too old has a newer one in its place in the ring.
            if number // BLOCK == block and number in numbers:
                cells.join(number, cell)

    def _decode(self, codec: Codec[list[Cell]] | Codec[list[str]], data: bytes | None) -> list:  # type: ignore[type-arg]
        """Return what was stored; nothing if there is none, or it is damaged."""
        if data is None:
            return []
        try:
            return codec.decode(data)
        except CodecError as error:
            log.warning("history %r: stored values are lost: %s", self._name, error)
            return []

    async def save(self, held: Held, make: Callable[[str], object]) -> None:
        """Store what changed since the last time.

        Raises:
            BackendError: if the backend failed; what may not be stored will be saved again.
        """
        async with self._turn:
            await self._load(held, make)
            names = list(held)
            if names != self._saved:
                await self._backend.set(f"history:{self._name}", _NAMES.encode(names))
                self._saved = names
            for resolutions in zip(*held.values(), strict=True):
                await self._save(dict(zip(names, resolutions, strict=True)))

    async def _save(self, held: dict[str, Cells]) -> None:
        """Store what changed in the cells of one resolution."""
        owed = {series: cells.take_changed() for series, cells in held.items()}
        blocks = [
            (series, block)
            for series, numbers in owed.items()
            for block in sorted({number // BLOCK for number in numbers})
        ]
        try:
            for at in range(0, len(blocks), BATCH):
                items: dict[str, bytes] = {}
                ttl = 1.0
                for series, block in blocks[at : at + BATCH]:
                    if len(items) % SLICE == 0:
                        await self._clock.sleep(0)
                    cells = held[series]
                    items[self._key(series, cells, block)] = _encode(cells, block)
                    # A block is of use until its last cell is too old.
                    ttl = cells.resolution.span + BLOCK * cells.resolution.step
                await self._backend.set_many(items, ttl)
        except BaseException:  # cancelled, too
            for series, cells in held.items():
                cells.changed |= owed[series]
            raise

    def _key(self, series: str, cells: Cells, block: int) -> str:
        return f"history:{self._name}:{series}:{cells.resolution.step:g}:{block}"


def _encode(cells: Cells, block: int) -> bytes:
    """Return the cells of a block as they are now."""
    numbers = range(block * BLOCK, (block + 1) * BLOCK)
    return _CELLS.encode([cell for each in numbers if (cell := cells.get(each)) is not None])


def _numbers(cells: Cells, now: float) -> range:
    """Return the numbers of the cells that are not too old."""
    newest = cells.number(now)
    return range(newest - cells.resolution.cells + 1, newest + 1)


def _blocks(cells: Cells, now: float) -> range:
    """Return the numbers of the blocks that they are in."""
    numbers = _numbers(cells, now)
    return range(numbers[0] // BLOCK, numbers[-1] // BLOCK + 1)
