"""What the rates look at: the last n calls, or the last n seconds, in bounded memory."""

from typing import Protocol


class Window(Protocol):
    """Counts of recent calls."""

    calls: int
    failed: int
    slow: int

    @property
    def settled(self) -> bool:
        """Whether one more quick success would change nothing."""
        ...

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call that ended `now`."""
        ...

    def advance(self, now: float) -> None:
        """Forget what is too old `now`."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


_FAILED, _SLOW = 1, 2


class CallWindow:
    """The last `size` calls, a byte each."""

    __slots__ = ("_at", "_ring", "calls", "failed", "slow")

    def __init__(self, size: int) -> None:
        self._ring = bytearray(size)
        self._at = self.calls = self.failed = self.slow = 0

    @property
    def settled(self) -> bool:
        """Whether it is full of quick successes."""
        return not self.failed and not self.slow and self.calls == len(self._ring)

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call, in the place of the oldest."""
        ring, at = self._ring, self._at
        old = ring[at]
        if old:
            self.failed -= old & _FAILED
            self.slow -= old >> 1
        ring[at] = failed * _FAILED + slow * _SLOW
        self.failed += failed
        self.slow += slow
        self._at = at + 1 if at + 1 < len(ring) else 0
        if self.calls < len(ring):
            self.calls += 1

    def advance(self, now: float) -> None:
        """Do nothing: calls stay until others push them out."""

    def clear(self) -> None:
        """Forget everything."""
        self.__init__(len(self._ring))  # type: ignore[misc]  # a window like a new one


class TimeWindow:
    """The last `seconds`, in buckets: its cost does not depend on the traffic in it.

    A call is forgotten with its bucket, when it is between `seconds` less one bucket's width and
    `seconds` old.
    """

    __slots__ = ("_counts", "_head", "_width", "calls", "failed", "slow")

    def __init__(self, seconds: float, buckets: int) -> None:
        self._width = seconds / buckets
        self._counts = [[0, 0, 0] for _ in range(buckets)]  # calls, failed, slow
        self._head = 0
        self.calls = self.failed = self.slow = 0

    @property
    def settled(self) -> bool:
        """Never: each call counts until it is too old."""
        return False

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call in the present bucket."""
        head = int(now / self._width)
        if head != self._head:
            self.advance(now)
        counts = self._counts[self._head % len(self._counts)]
        counts[0] += 1
        self.calls += 1
        if failed:
            counts[1] += 1
            self.failed += 1
        if slow:
            counts[2] += 1
            self.slow += 1

    def advance(self, now: float) -> None:
        """Empty the buckets that are too old, each at most once."""
        head = int(now / self._width)
        size = len(self._counts)
        for number in range(max(self._head, head - size) + 1, head + 1):
            counts = self._counts[number % size]
            self.calls -= counts[0]
            self.failed -= counts[1]
            self.slow -= counts[2]
            counts[:] = 0, 0, 0
        self._head = max(self._head, head)

    def clear(self) -> None:
        """Forget everything."""
        for counts in self._counts:
            counts[:] = 0, 0, 0
        self.calls = self.failed = self.slow = 0
