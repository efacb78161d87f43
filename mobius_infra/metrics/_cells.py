"""A series at several resolutions: the recent in detail, the older coarser, in bounded memory."""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mobius_infra.core import require
from mobius_infra.metrics._moments import LARGEST


@dataclass(frozen=True, slots=True)
class Resolution:
    """How finely, and how far back.

    Attributes:
        step: seconds that one cell stands for.
        cells: how many cells are kept, 56 bytes each.

    Raises:
        ConfigurationError: for a step that is not positive, or no cell.
    """

    step: float
    cells: int

    def __post_init__(self) -> None:
        require(0 < self.step < math.inf, "step", self.step, "a positive number of seconds")
        good = type(self.cells) is int and 0 < self.cells <= 1_000_000
        require(good, "cells", self.cells, "from 1 to 1,000,000")

    @property
    def span(self) -> float:
        """Seconds from the oldest cell to the newest."""
        return self.step * self.cells


class Cell(NamedTuple):
    """What a series did in one step.

    Attributes:
        start: when it began, in seconds since the epoch.
        size: how many values there were.
        sum: their sum.
        min: the least.
        max: the greatest.
        last: the newest...
        last_at: ...and its time.
    """

    start: float
    size: float
    sum: float
    min: float
    max: float
    last: float
    last_at: float

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return self.sum / self.size

    def joined(self, other: "Cell") -> "Cell":
        """Return what both did together; they stand for the same step."""
        newest = other if other.last_at >= self.last_at else self
        return Cell(
            self.start,
            self.size + other.size,
            self.sum + other.sum,
            min(self.min, other.min),
            max(self.max, other.max),
            newest.last,
            newest.last_at,
        )

    @property
    def sound(self) -> bool:
        """Whether it could have been made of values: what was read from elsewhere may not be."""
        return (
            -LARGEST <= self.start <= LARGEST
            and self.size >= 1
            and all(map(math.isfinite, self))
            and -LARGEST <= self.min <= self.last <= self.max <= LARGEST
        )


FIELDS = len(Cell._fields)


class Cells:
    """The cells of one series at one resolution, in a ring addressed by time.

    A time has one place in the ring. What stands there from another time is out of date, or was
    written while the clock was wrong, and is replaced. So a clock that jumps, forth or back,
    needs no repair: what does not belong to the time that is asked for is not shown.
    """

    __slots__ = ("_ring", "changed", "resolution")

    def __init__(self, resolution: Resolution) -> None:
        self.resolution = resolution
        self.changed: set[int] = set()  # numbers of cells that were not saved yet
        self._ring = array("d", bytes(8 * FIELDS * resolution.cells))

    def number(self, at: float) -> int:
        """Return the number of the step in which `at` lies, counted from the epoch."""
        return math.floor(at / self.resolution.step)

    def add(self, at: float, value: float) -> None:
        """Add one value to the cell of its time."""
        number = self.number(at)
        self.join(number, Cell(number * self.resolution.step, 1, value, value, value, value, at))
        self.changed.add(number)

    def join(self, number: int, cell: Cell) -> None:
        """Put a cell in its place, together with what is there from the same step."""
        held = self.get(number)
        place = number % self.resolution.cells * FIELDS
        self._ring[place : place + FIELDS] = array("d", cell if held is None else held.joined(cell))

    def get(self, number: int) -> Cell | None:
        """Return a cell, if there is one."""
        place = number % self.resolution.cells * FIELDS
        cell = Cell(*self._ring[place : place + FIELDS])
        return cell if cell.size and self.number_of(cell) == number else None

    def number_of(self, cell: Cell) -> int:
        """Return the number of the step that a cell stands for."""
        # Its start may have been rounded to just before the step; the middle is inside.
        return self.number(cell.start + self.resolution.step / 2)

    def take_changed(self) -> set[int]:
        """Return the numbers of the cells that were not saved yet; they count as saved now."""
        changed, self.changed = self.changed, set()
        return changed

    def between(self, since: float, until: float) -> Iterator[Cell]:
        """Give the cells of that time, oldest first, as far as they are kept."""
        newest = self.number(until)
        first = max(self.number(since), newest - self.resolution.cells + 1)
        for number in range(first, newest + 1):
            cell = self.get(number)
            if cell is not None:
                yield cell
