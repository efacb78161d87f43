"""How long calls take, remembered in constant space: a percentile that follows the traffic.

A histogram whose buckets grow by a constant factor answers any percentile within a constant
relative error, for one logarithm and one addition a call (Masson, Rim and Lee, "DDSketch: a fast
and fully-mergeable quantile sketch with relative-error guarantees", 2019). P² (Jain and Chlamtac,
1985) needs less space, but moves five markers at each call, promises no error, and never forgets;
counts are made to forget by halving them.
"""

from math import ceil, inf, log

GROWTH = 1.1
"""A bucket's upper bound over its lower one."""
LEAST = 1e-5
"""Seconds below which all durations are alike."""
BUCKETS = 170  # up to about 100 s; what takes longer is in the last
KEPT = 2_000
"""Durations counted before all counts are halved: so each weighs half of one 1,000 later."""
_FACTOR = 1 / log(GROWTH)


class Latency:
    """Counts durations by size."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._total = 0

    @property
    def total(self) -> int:
        """Durations that are remembered."""
        return self._total

    def add(self, seconds: float) -> None:
        """Count one duration."""
        number = 0 if seconds <= LEAST else ceil(log(seconds / LEAST) * _FACTOR)
        self._counts[number if number < BUCKETS else BUCKETS - 1] += 1
        self._total += 1
        if self._total >= KEPT:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)

    def percentile(self, share: float) -> float:
        """Return seconds that at least `share` of the durations did not exceed.

        The upper bound of the bucket in which the exact one lies: at most 10 % above it, between
        10 µs and 100 s. Infinity if nothing is remembered.
        """
        wanted, seen = share * self._total, 0
        for number, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return LEAST * GROWTH**number
        return inf
