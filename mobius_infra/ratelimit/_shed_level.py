"""How much to shed, and whether at all, as two pure structures."""

from collections import deque

PRIORITIES = ("background", "normal", "critical")
"""In the order in which they are shed."""

STEEPEST = 10.0
"""How far above 1 a load counts: one value that is out of all proportion is no reason to panic."""


class Level:
    """How far shedding has gone: 0 sheds nothing, 1 all background, 2 all normal too, 3 everything.

    It rises while the load is above 1, the faster the higher that is, and falls while it is below
    `resume`; between, it stays. So it settles where what is let through makes a load of about 1,
    and whether to shed does not flap.

    Args:
        resume: load below which the level falls.
        ramp: seconds in which it rises by one at a load of 2.
    """

    __slots__ = ("_ramp", "_resume", "_since", "value")

    def __init__(self, resume: float, ramp: float) -> None:
        self._resume = resume
        self._ramp = ramp
        self._since: float | None = None
        self.value = 0.0

    def step(self, load: float, now: float) -> float:
        """Take the load as it is now; return the new level."""
        since = now if self._since is None else self._since
        self._since = now
        # A load that was not looked at for long says nothing about the time between.
        steps = min(now - since, 1.0) / self._ramp
        if load > 1:
            self.value = min(self.value + steps * min(load - 1, STEEPEST), 3.0)
        elif load < self._resume:
            self.value = max(self.value - steps * (self._resume - load) / self._resume, 0.0)
        return self.value

    def share(self, priority: int) -> float:
        """Return the share of calls of a priority (by its place in `PRIORITIES`) to be shed."""
        return min(max(self.value - priority, 0.0), 1.0)


class Capacity:
    """What can be under way without queueing: the highest throughput times the lowest latency.

    That product is what Little's law says must be in flight to keep the process busy. Both are
    taken from the last buckets of time, as BBR does (Cardwell and others, 2016). While the
    process is overloaded, buckets are not added unless they are better, or a long overload
    would become the measure of itself.

    Args:
        width: seconds of a bucket.
        buckets: how many are kept.
    """

    __slots__ = ("_best_latency", "_best_rate", "_buckets", "_count", "_since", "_total", "_width")

    def __init__(self, width: float = 0.1, buckets: int = 100) -> None:
        self._width = width
        self._buckets: deque[tuple[float, float]] = deque(maxlen=buckets)
        self._since: float | None = None
        self._count = 0
        self._total = 0.0
        self._best_rate = self._best_latency = 0.0

    def record(self, latency: float) -> None:
        """Take one call that succeeded."""
        self._count += 1
        self._total += latency

    def step(self, now: float, *, overloaded: bool) -> None:
        """Close the bucket if it is full."""
        if self._since is None:
            self._since = now
        elapsed = now - self._since
        if elapsed < self._width:
            return
        if self._count:
            rate, latency = self._count / elapsed, self._total / self._count
            known = bool(self._buckets)
            better = rate > self._best_rate or latency < self._best_latency
            if not known or better or not overloaded:
                self._buckets.append((rate, latency))
                self._best_rate = max(rate for rate, _ in self._buckets)
                self._best_latency = min(latency for _, latency in self._buckets)
        self._since = now
        self._count, self._total = 0, 0.0

    @property
    def inflight(self) -> float:
        """Calls at once that need not queue; at least 1."""
        return max(1.0, self._best_rate * self._best_latency)
