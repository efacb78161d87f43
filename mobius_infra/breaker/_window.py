"""What the rates look at: the last n calls, or the last n seconds, in bounded memory."""

from typing import Protocol

Counts = tuple[int, int, int]
"""Calls, those of them that failed, and those that were slow."""


class Window(Protocol):
    """Counts of recent calls."""

    def good(self, now: float) -> None:
        """Count a quick success."""
        ...

    def bad(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count a call that failed, or was slow, or both."""
        ...

    def counts(self, now: float) -> Counts:
        """Return what is in it `now`. Changes nothing, so that other threads may ask."""
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

    __slots__ = ("_calls", "_failed", "_next", "_ring", "_slow", "unseen")

    def __init__(self, size: int) -> None:
        self._ring = bytearray(size)
        self._next = self.unseen = self._calls = self._failed = self._slow = 0

    def good(self, now: float) -> None:
        """Count a quick success."""
        self.unseen += 1

    def bad(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count a call that failed, or was slow, or both."""
        # More successes than there is room for would be pushed out.
        for _ in range(min(self.unseen, len(self._ring))):
            self._put(0)
        self.unseen = 0
        self._put(failed * _FAILED | slow * _SLOW)

    def _put(self, new: int) -> None:
        """Put a call in the place of the oldest."""
        ring, at = self._ring, self._next
        old, ring[at] = ring[at], new
        self._next = (at + 1) % len(ring)
        self._calls = min(self._calls + 1, len(ring))
        self._failed += (new & _FAILED) - (old & _FAILED)
        self._slow += (new >> 1) - (old >> 1)

    def counts(self, now: float) -> Counts:
        """Return what is in it, with the successes that wait."""
        ring, size = self._ring, len(self._ring)
        waiting = min(self.unseen, size)
        oldest = [ring[at % size] for at in range(self._next, self._next + waiting)]
        return (
            min(self._calls + waiting, size),
            self._failed - sum(each & _FAILED for each in oldest),
            self._slow - sum(each >> 1 for each in oldest),
        )

    def clear(self) -> None:
        """Forget everything."""
        self._ring[:] = bytes(len(self._ring))
        self._next = self.unseen = self._calls = self._failed = self._slow = 0


class TimeWindow:
    """The last `seconds`, in buckets: its cost does not depend on the traffic in it.

    A call is forgotten with its bucket, when it is between `seconds` less one bucket's width and
    `seconds` old.
    """

    __slots__ = ("_buckets", "_calls", "_failed", "_head", "_slow", "_width")

    def __init__(self, seconds: float, buckets: int) -> None:
        self._width = seconds / buckets
        self._buckets = [[0, 0, 0] for _ in range(buckets)]  # calls, failed, slow
        self._head = 0  # the number of the present bucket, counted from the clock's beginning
        self._calls = self._failed = self._slow = 0

    def good(self, now: float) -> None:
        """Count a quick success in the present bucket."""
        if now // self._width != self._head:
            self._advance(now)
        self._buckets[self._head % len(self._buckets)][0] += 1
        self._calls += 1

    def bad(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count a call that failed or was slow in the present bucket."""
        self.good(now)
        bucket = self._buckets[self._head % len(self._buckets)]
        bucket[1] += failed
        bucket[2] += slow
        self._failed += failed
        self._slow += slow

    def _too_old(self, now: float) -> list[list[int]]:
        """Return the buckets whose time has passed, each at most once however long the silence."""
        head, size = int(now // self._width), len(self._buckets)
        first = max(self._head, head - size) + 1
        return [self._buckets[number % size] for number in range(first, head + 1)]

    def _advance(self, now: float) -> None:
        self._calls, self._failed, self._slow = self.counts(now)
        for bucket in self._too_old(now):
            bucket[:] = 0, 0, 0
        self._head = max(self._head, int(now // self._width))

    def counts(self, now: float) -> Counts:
        """Return what is in the buckets that are not too old."""
        calls, failed, slow = self._calls, self._failed, self._slow
        for bucket in self._too_old(now):
            calls -= bucket[0]
            failed -= bucket[1]
            slow -= bucket[2]
        return calls, failed, slow

    def clear(self) -> None:
        """Forget everything."""
        for bucket in self._buckets:
            bucket[:] = 0, 0, 0
        self._calls = self._failed = self._slow = 0
