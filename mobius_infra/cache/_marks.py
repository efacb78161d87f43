"""Invalidation by tag that costs nothing per entry: entries are compared with marks when read.

Every invalidation is given the next number of one sequence. An entry carries the number that stood
when its load began; it is invalid if one of its tags was marked later.
"""

from mobius_infra.cache._memory import Entry

_MOST = 100_000  # marks kept; past it everything that is older than now is invalid


class Marks:
    """The tags that were invalidated in this process, and when in the sequence."""

    __slots__ = ("_floor", "_marks", "sequence")

    def __init__(self) -> None:
        self.sequence = 0
        self._marks: dict[str, int] = {}
        self._floor = 0

    def invalidate(self, tags: tuple[str, ...]) -> None:
        """Make every entry with one of `tags` invalid."""
        self.sequence += 1
        for tag in tags:
            self._marks[tag] = self.sequence
        if len(self._marks) > _MOST:
            self.clear()

    def clear(self) -> None:
        """Make every entry invalid."""
        self.sequence += 1
        self._marks.clear()
        self._floor = self.sequence

    def valid(self, entry: Entry) -> bool:
        """Say whether no tag of `entry` was invalidated after its load began."""
        if not self.since(entry.tags, entry.sequence):
            return False
        entry.sequence = self.sequence  # the next check needs one comparison
        return True

    def since(self, tags: tuple[str, ...], sequence: int) -> bool:
        """Say whether nothing under `tags` was invalidated after `sequence`."""
        if sequence == self.sequence:
            return True
        if sequence < self._floor:
            return False
        marks = self._marks
        return all(marks.get(tag, 0) <= sequence for tag in tags)
