"""The tier in this process's memory."""

from collections import OrderedDict
from typing import Any

from mobius_infra.core import require


class Entry:
    """A value and until when it serves, by the cache's monotonic clock."""

    __slots__ = ("fresh_until", "sequence", "stale_until", "tags", "value", "visited")

    # Any: whatever was loaded.
    def __init__(
        self,
        value: Any,
        fresh_until: float,
        stale_until: float,
        tags: tuple[str, ...],
        sequence: int,
    ) -> None:
        self.value = value
        self.fresh_until = fresh_until
        self.stale_until = stale_until
        self.tags = tags
        self.sequence = sequence
        self.visited = False


class MemoryTier:
    """Holds values as they are: a hit returns the very object that was stored.

    When full, the oldest value that nobody has asked for since it was last looked at makes room
    (the clock algorithm: Corbató, "A paging experiment with the Multics system", 1968). A hit
    writes one flag and moves nothing.

    Args:
        max_entries: values held at most; 0 holds none.

    Raises:
        ConfigurationError: if `max_entries` is negative.
    """

    __slots__ = ("entries", "evicted", "max_entries")

    name = "memory"

    def __init__(self, max_entries: int = 10_000) -> None:
        require(max_entries >= 0, "max_entries", max_entries, "zero or more entries")
        self.max_entries = max_entries
        # An OrderedDict: a dict from whose front much has been deleted is slow to find its first.
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.evicted = 0

    def put(self, key: str, entry: Entry) -> None:
        """Hold `entry`, making room if need be."""
        entries = self.entries
        if key in entries:
            entries[key] = entry
            return
        if self.max_entries == 0:
            return
        while len(entries) >= self.max_entries:
            oldest, held = entries.popitem(last=False)
            if held.visited:
                held.visited = False
                entries[oldest] = held
            else:
                self.evicted += 1
        entries[key] = entry

    def drop(self, key: str) -> None:
        """Forget `key`, if it is held."""
        self.entries.pop(key, None)

    def __repr__(self) -> str:
        return f"MemoryTier({len(self.entries)} of {self.max_entries} entries)"
