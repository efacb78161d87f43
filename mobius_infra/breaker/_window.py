"""What the rates look at: the last n calls, or the last n seconds, in bounded memory."""

from typing import Protocol


class Window(Protocol):
    """Counts of recent calls."""

    calls: int
    failed: int
    slow: int

    def good(self, now: float) -> None:
        """Count a quick success."""
        ...

    def bad(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count a call that failed, or was slow, or both."""
        ...

    def advance(self, now: float) -> None:
        """Bring the counts up to date: they may lag behind until this or `bad` is called."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


_FAILED, _SLOW = 1, 2


class CallWindow:
    """The last `size` calls, a byte each.

    Only bad news opens a circuit, so successes wait in a plain counter, `unseen`, until there is
    some: on the way where nothing is wrong, a call costs one addition.
    """

    __slots__ = ("_next", "_ring", "calls", "failed", "slow", "unseen")

    def __init__(self, size: int) -> None:
        self._ring = bytearray(size)
        self._next = self.unseen = self.calls = self.failed = self.slow = 0

    def good(self, now: float) -> None:
        """Count a quick success."""
        self.unseen += 1

    def bad(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count a call that failed, or was slow, or both."""
        self.advance(now)
        self._put(failed * _FAILED | slow * _SLOW)

    def advance(self, now: float) -> None:
        """Put in the successes that wait; more than there is room for would be pushed out."""
        for _ in range(min(self.unseen, len(self._ring))):
            self._put(0)
        self.unseen = 0

    def _put(self, new: int) -> None:
        """Put a call in the place of the oldest."""
        ring, at = self._ring, self._next
        old, ring[at] = ring[at], new
        self._next = (at + 1) % len(ring)
        self.calls = min(self.calls + 1, len(ring))
        self.failed += (new & _FAILED) - (old & _FAILED)
        self.slow += (new >> 1) - (old >> 1)

    def clear(self) -> None:
        """Forget everything."""
        self._ring[:] = bytes(len(self._ring))
        self._next = self.unseen = self.calls = self.failed = self.slow = 0


class TimeWindow:
    """The last `seconds`, in buckets: its cost does not depend on the traffic in it.

    A call is forgotten with its bucket, when it is between `seconds` less one bucket's width and
    `seconds` old.
    """

    __slots__ = ("_buckets", "_head", "_width", "calls", "failed", "slow")

    def __init__(self, seconds: float, buckets: int) -> None:
        self._width = seconds / buckets
        self._buckets = [[0, 0, 0] for _ in range(buckets)]  # calls, failed, slow
        self._head = 0  # the number of the present bucket, counted from the clock's beginning
        self.calls = self.failed = self.slow = 0

    def good(self, now: float) -> None:
        """Count a quick success in the present bucket."""
        if now // self._width != self._head:
            self.advance(now)
        self._buckets[self._head % len(self._buckets)][0] += 1
        self.calls += 1

    def bad(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count a call that failed or was slow in the present bucket."""
        self.good(now)
        bucket = self._buckets[self._head % len(self._buckets)]
        bucket[1] += failed
        bucket[2] += slow
        self.failed += failed
        self.slow += slow

    def advance(self, now: float) -> None:
        """Empty the buckets that are too old, each at most once."""
        head, size = int(now // self._width), len(self._buckets)
        for number in range(max(self._head, head - size) + 1, head + 1):
            bucket = self._buckets[number % size]
            self.calls -= bucket[0]
            self.failed -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = 0, 0, 0
        self._head = max(self._head, head)

    def clear(self) -> None:
        """Forget everything."""
        for bucket in self._buckets:
            bucket[:] = 0, 0, 0
        self.calls = self.failed = self.slow = 0
