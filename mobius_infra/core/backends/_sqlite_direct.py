"""SQLite's plain reads and writes: one visit to the driver's thread each.

The same by SQLAlchemy is nine visits, for a cursor, for the beginning and the end of a transaction
and so on, and takes ten times as long. A single statement needs no transaction around it.
"""

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar

Row = tuple[Any, ...]  # Any: columns of several types

T = TypeVar("T")

MOST: Final = 200
"""Rows in one statement: SQLite allowed 999 parameters once, and a row has up to three."""

_READ: Final = """
SELECT key, value, expires - ? FROM mobius_value
WHERE key IN ({marks}) AND (expires IS NULL OR expires > ?)
"""
_WRITE: Final = """
INSERT INTO mobius_value (key, value, state, expires) VALUES {marks}
ON CONFLICT (key) DO UPDATE SET value = excluded.value, state = NULL, expires = excluded.expires
"""


class Driver(Protocol):
    """What is used of a connection of `aiosqlite`."""

    def execute_fetchall(
        self, sql: str, parameters: Iterable[Any], /
    ) -> Awaitable[Iterable[Any]]: ...


class Direct:
    """Executes single statements, each committed by itself.

    A statement that has been handed over is executed also when its caller is cancelled.

    Args:
        reader: reads; in WAL mode nobody waits for a writer.
        writer: writes.
    """

    def __init__(self, reader: Driver, writer: Driver) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, keys: Sequence[bytes], now: float) -> list[Row]:
        """Return rows of key, value and remaining seconds of what is alive."""
        rows: list[Row] = []
        for part in _parts(keys):
            query = _READ.format(marks=",".join("?" * len(part)))
            rows += await self._reader.execute_fetchall(query, (now, *part, now))
        return rows

    async def write(
        self, items: Sequence[tuple[bytes, bytes]], ttl: float | None, now: float
    ) -> int:
        """Store values, whatever was there; return how many."""
        expires = None if ttl is None else now + ttl
        for part in _parts(items):
            query = _WRITE.format(marks=",".join(["(?, ?, NULL, ?)"] * len(part)))
            values = [each for key, value in part for each in (key, value, expires)]
            await self._writer.execute_fetchall(query, values)
        return len(items)


def _parts(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    return (rows[start : start + MOST] for start in range(0, len(rows), MOST))
