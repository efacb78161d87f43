"""How much was asked and how much granted in the last seconds, in a fixed amount of memory."""

BUCKETS = 10


class Ring:
    """Two counts over a sliding window, kept in ten buckets that are used in turn.

    The oldest bucket is forgotten whole, so what is counted lies between nine tenths of the window
    and all of it. Time costs at most one pass over the buckets, whatever the traffic was.

    Attributes:
        asked: how much was asked in the window.
        granted: how much of it was granted.
    """

    __slots__ = ("_asked", "_bucket", "_ends", "_granted", "_width", "asked", "granted")

    def __init__(self, window: float) -> None:
        self.asked = self.granted = 0
        self._asked = [0] * BUCKETS
        self._granted = [0] * BUCKETS
        self._width = window / BUCKETS
        self._bucket = 0  # number of the present one since time zero; its place is modulo BUCKETS
        self._ends = 0.0  # when the present one does

    def roll(self, now: float) -> None:
        """Forget what is older than the window. A time before the last one changes nothing."""
        if now < self._ends:
            return
        bucket = int(now // self._width)
        # At most once around: after a long silence every bucket is old.
        for number in range(max(self._bucket, bucket - BUCKETS) + 1, bucket + 1):
            at = number % BUCKETS
            self.asked -= self._asked[at]
            self.granted -= self._granted[at]
            self._asked[at] = self._granted[at] = 0
        self._bucket = bucket
        self._ends = (bucket + 1) * self._width

    def add(self, asked: int, granted: int) -> None:
        """Count at the time of the last `roll`."""
        at = self._bucket % BUCKETS
        self._asked[at] += asked
        self._granted[at] += granted
        self.asked += asked
        self.granted += granted
