"""A history's cells in a backend: in blocks, in batches, found again by their time."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from mobius_infra.core import Backend, Codec, CodecError
from mobius_infra.metrics._cells import Cell, Cells

log = logging.getLogger("mobius_infra")

BLOCK = 60
"""Cells that are stored under one key."""

BATCH = 100
"""Keys that are read or written together."""

_CELLS: Codec[list[Cell]] = Codec(list[Cell])
_NAMES: Codec[list[str]] = Codec(list[str])

Held = Mapping[str, tuple[Cells, ...]]


class Archive:
    """Where a history is kept. Saving loads first, so that nothing stored is written over."""

    __slots__ = ("_backend", "_loaded", "_name", "_saved", "_turn")

    def __init__(self, backend: Backend, name: str) -> None:
        self._backend = backend
        self._name = name
        self._loaded = False
        self._saved: list[str] = []  # the names of series under the key of all names
        self._turn = asyncio.Lock()

    async def load(self, held: Held, make: Callable[[str], object], now: float) -> None:
        """Add what is stored to what is held, once; later calls do nothing.

        Args:
            held: the series by name.
            make: puts a stored series into `held`, if there is room for it.
            now: cells that are too old by then are not asked for.

        Raises:
            BackendError: if the backend failed; nothing was added then.
        """
        async with self._turn:
            await self._load(held, make, now)

    async def _load(self, held: Held, make: Callable[[str], object], now: float) -> None:
        if self._loaded:
            return
        data = await self._backend.get(f"history:{self._name}")
        for series in self._decode(_NAMES, data):
            make(series)
        wanted = [
            (cells, block, self._key(series, cells, block))
            for series, resolutions in held.items()
            for cells in resolutions
            for block in _blocks(cells, now)
        ]
        stored: list[bytes | None] = []
        for at in range(0, len(wanted), BATCH):
            keys = [key for _, _, key in wanted[at : at + BATCH]]
            stored += await self._backend.get_many(keys)
        # Only when all is here: a second try must not add what a first one has added.
        for (cells, block, _), data in zip(wanted, stored, strict=True):
            for cell in self._decode(_CELLS, data):
                if not cell.sound:
                    continue
                number = cells.number_of(cell)
                # What is too old has a newer one in its place in the ring.
                if number // BLOCK == block and number in _numbers(cells, now):
                    cells.join(number, cell)
        self._loaded = True

    def _decode(self, codec: Codec[list[Cell]] | Codec[list[str]], data: bytes | None) -> list:  # type: ignore[type-arg]
        """Return what was stored; nothing if there is none, or it is damaged."""
        if data is None:
            return []
        try:
            return codec.decode(data)
        except CodecError as error:
            log.warning("history %r: stored values are lost: %s", self._name, error)
            return []

    async def save(self, held: Held, make: Callable[[str], object], now: float) -> None:
        """Store what changed since the last time.

        Raises:
            BackendError: if the backend failed; what may not be stored will be saved again.
        """
        async with self._turn:
            await self._load(held, make, now)
            names = list(held)
            if names != self._saved:
                await self._backend.set(f"history:{self._name}", _NAMES.encode(names))
                self._saved = names
            for resolutions in zip(*held.values(), strict=True):
                await self._save(dict(zip(names, resolutions, strict=True)))

    async def _save(self, held: dict[str, Cells]) -> None:
        """Store what changed in the cells of one resolution."""
        owed = {series: cells.take_changed() for series, cells in held.items()}
        items: dict[str, bytes] = {}
        ttl = 1.0
        try:
            for series, cells in held.items():
                for block in {number // BLOCK for number in owed[series]}:
                    numbers = range(block * BLOCK, (block + 1) * BLOCK)
                    rows = [cell for each in numbers if (cell := cells.get(each)) is not None]
                    items[self._key(series, cells, block)] = _CELLS.encode(rows)
                # A block is of use until its last cell is too old.
                ttl = cells.resolution.span + BLOCK * cells.resolution.step
            keys = list(items)
            for at in range(0, len(keys), BATCH):
                batch = {key: items[key] for key in keys[at : at + BATCH]}
                await self._backend.set_many(batch, ttl)
        except BaseException:  # cancelled, too
            for series, cells in held.items():
                cells.changed |= owed[series]
            raise

    def _key(self, series: str, cells: Cells, block: int) -> str:
        return f"history:{self._name}:{series}:{cells.resolution.step:g}:{block}"


def _numbers(cells: Cells, now: float) -> range:
    """Return the numbers of the cells that are not too old."""
    newest = cells.number(now)
    return range(newest - cells.resolution.cells + 1, newest + 1)


def _blocks(cells: Cells, now: float) -> range:
    """Return the numbers of the blocks that they are in."""
    numbers = _numbers(cells, now)
    return range(numbers[0] // BLOCK, numbers[-1] // BLOCK + 1)
