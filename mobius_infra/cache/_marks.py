"""Invalidation that costs nothing per entry: entries are compared with marks when they are read.

Every invalidation is given the next number of one sequence. An entry carries the number that stood
when its load began; it is invalid if what covers it was marked later.
"""

from mobius_infra.cache._entry import Entry

_MOST_TAGS = 100_000  # marks kept; past it everything that is older than now is invalid
_MOST_PREFIXES = 100


class Marks:
    """What was invalidated in this process, and when in the sequence.

    Attributes:
        sequence: number of the latest.
        doubted: what has a smaller one may have been made invalid unheard.
    """

    __slots__ = ("_floor", "_prefixes", "_tags", "doubted", "sequence")

    def __init__(self) -> None:
        self.sequence = 0
        self._tags: dict[str, int] = {}
        self._prefixes: dict[str, int] = {}
        self._floor = 0
        self.doubted = 0

    def tag(self, tags: tuple[str, ...]) -> None:
        """Make every entry with one of `tags` invalid."""
        self.sequence += 1
        for tag in tags:
            self._tags[tag] = self.sequence
        if len(self._tags) > _MOST_TAGS:
            self.all()

    def prefix(self, prefix: str) -> None:
        """Make every entry whose key begins with `prefix` invalid."""
        self.sequence += 1
        self._prefixes[prefix] = self.sequence
        if len(self._prefixes) > _MOST_PREFIXES:
            self.all()

    def all(self) -> None:
        """Make every entry invalid."""
        self.sequence += 1
        self._tags.clear()
        self._prefixes.clear()
        self._floor = self.sequence

    def doubt(self) -> None:
        """Let no entry of before pass as fresh: invalidations may have been missed."""
        self.sequence += 1
        self.doubted = self.sequence

    def fresh(self, entry: Entry) -> bool:
        """Say whether `entry` may still be taken for fresh."""
        if entry.sequence == self.sequence:
            return True
        if entry.sequence < self.doubted or not self.valid(entry):
            return False
        entry.sequence = self.sequence  # the next check needs one comparison
        return True

    def valid(self, entry: Entry) -> bool:
        """Say whether nothing that covers `entry` was invalidated after its load began."""
        return self.since(entry.key, entry.tags, entry.sequence)

    def since(self, key: str, tags: tuple[str, ...], sequence: int) -> bool:
        """Say whether nothing that covers `key` or `tags` was invalidated after `sequence`."""
        if sequence == self.sequence:
            return True
        if sequence < self._floor:
            return False
        marked = self._tags
        if any(marked.get(tag, 0) > sequence for tag in tags):
            return False
        return not any(
            at > sequence and key.startswith(prefix) for prefix, at in self._prefixes.items()
        )
