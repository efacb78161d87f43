"""What comes most often, of any number of different things, in bounded memory."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mobius_infra.core import require

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Heavy(Generic[T]):
    """Something that came often.

    Attributes:
        item: what.
        count: how often at most.
        error: how much of `count` may have been of others.
    """

    item: T
    count: int
    error: int


class HeavyHitters(Generic[T]):
    """The items that come most often, by `capacity` counters.

    Space-saving: Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k
    Elements in Data Streams", ICDT 2005. An item without a counter takes over the least one with
    its count, which becomes its error. So whatever came more often than `total / capacity` has a
    counter, and no count is too low.

    Args:
        capacity: counters kept.

    Raises:
        ConfigurationError: if that is not positive.
    """

    __slots__ = ("_counts", "_errors", "capacity")

    def __init__(self, capacity: int = 32) -> None:
        good = type(capacity) is int and capacity > 0
        require(good, "capacity", capacity, "a positive number of counters")
        self.capacity = capacity
        self._counts: dict[T, int] = {}
        self._errors: dict[T, int] = {}

    def add(self, item: T) -> None:
        """Count `item` once."""
        counts = self._counts
        if item in counts:
            counts[item] += 1
        elif len(counts) < self.capacity:
            counts[item] = 1
        else:
            # Of a copy: another thread may be at it, and then a count may be a little off.
            held = counts.copy()
            least = min(held, key=held.__getitem__)
            counts.pop(least, None)
            self._errors.pop(least, None)
            counts[item] = held[least] + 1
            self._errors[item] = held[least]

    def top(self, number: int | None = None) -> list[Heavy[T]]:
        """Return the most frequent first, all that have a counter by default."""
        errors = self._errors.copy()
        found = [Heavy(each, n, errors.get(each, 0)) for each, n in self._counts.copy().items()]
        return sorted(found, key=lambda heavy: -heavy.count)[:number]

    def __repr__(self) -> str:
        return f"HeavyHitters(capacity={self.capacity}, held={len(self._counts)})"
