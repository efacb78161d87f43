"""How a limit on concurrency is found from latency: three pure steps of (limit, baseline, sample).

None of them sees a clock or keeps state; what is common to them (no growth while hardly used, the
baseline and its measuring, the bounds) is in `_adaptive_control`. A step is taken once a window of
about one round trip, as TCP does, so that one burst of time-outs is one piece of bad news and not
a hundred.
"""

from dataclasses import dataclass
from math import inf, log10, sqrt
from typing import ClassVar, NamedTuple, Protocol

from mobius_infra.core import require
from mobius_infra.ratelimit._overload_checks import require_between, require_positive

BACKOFF_MOST = 0.99
"""A factor nearer to 1 would hardly ever bring a limit down."""


class Sample(NamedTuple):
    """What one window of calls said.

    Attributes:
        rtt: seconds that a successful call took, as their mean; 0 if none succeeded.
        inflight: the most calls at once.
        dropped: calls that ended by overload: a time-out, a refusal.
        now: when the window ended, on the monotonic clock.
    """

    rtt: float
    inflight: int
    dropped: int
    now: float


class Algorithm(Protocol):
    """Finds the next limit.

    Attributes:
        needs_baseline: whether the latency without queues is to be measured for it.
    """

    needs_baseline: ClassVar[bool]

    def step(self, limit: float, baseline: float, sample: Sample) -> float:
        """Return the next limit, before it is bounded.

        Args:
            limit: the one that was found last.
            baseline: seconds that a call takes where nothing queues.
            sample: what the window said; its `rtt` is above 0 unless calls were dropped.
        """
        ...


@dataclass(frozen=True, slots=True)
class Aimd:
    """Add one while all is well, multiply by `backoff` when a call was dropped.

    Needs no baseline, and fills the queue of what it calls until that drops: for what says clearly
    that it is overloaded (Chiu and Jain, 1989).

    Attributes:
        backoff: what the limit is multiplied by.
        timeout: seconds; a mean above counts as dropped.
    """

    needs_baseline: ClassVar[bool] = False

    backoff: float = 0.9
    timeout: float = inf

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        require_between("backoff", self.backoff, 0.1, BACKOFF_MOST)
        if self.timeout != inf:
            require_positive("timeout", self.timeout, "seconds")

    def step(self, limit: float, baseline: float, sample: Sample) -> float:
        """Return the next limit."""
        if sample.dropped or sample.rtt > self.timeout:
            return limit * self.backoff
        return limit + 1


@dataclass(frozen=True, slots=True)
class Vegas:
    """Keep a small queue, reckoned from how much slower calls are than the baseline.

    Of `limit` calls in flight, `limit * (1 - baseline / rtt)` wait somewhere. Fewer than `low`
    times log10(limit): grow; more than `high` times: shrink (Brakmo and Peterson, 1995, with
    the bounds of Netflix's concurrency-limits). For calls of even latency: it moves by small steps.

    Attributes:
        low: calls in the queue, for each decade of the limit, below which it grows.
        high: above which it shrinks.
        backoff: what the limit is multiplied by when a call was dropped.
    """

    needs_baseline: ClassVar[bool] = True

    low: float = 3.0
    high: float = 6.0
    backoff: float = 0.9

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        require_positive("low", self.low, "calls")
        require_positive("high", self.high, "calls")
        require(self.low < self.high, "high", self.high, f"above low, {self.low:g}")
        require_between("backoff", self.backoff, 0.1, BACKOFF_MOST)

    def step(self, limit: float, baseline: float, sample: Sample) -> float:
        """Return the next limit."""
        if sample.dropped:
            return limit * self.backoff
        unit = max(1.0, log10(limit))
        queued = limit * (1 - baseline / sample.rtt)
        if queued <= unit:
            return limit + self.high * unit  # nothing queues: far below capacity
        if queued < self.low * unit:
            return limit + unit
        if queued > self.high * unit:
            return limit - unit
        return limit


@dataclass(frozen=True, slots=True)
class Gradient2:
    """Follow the ratio of the latency without queues to the latency now.

    The limit becomes `limit * gradient + sqrt(limit)`, where the gradient is `tolerance * baseline
    / rtt`, between 1/2 and 1; the root is the queue that keeps what is called busy. For calls of
    uneven latency (Netflix's concurrency-limits). Theirs compares with a long-term average,
    which an overload that lasts pulls up, and the limit with it; ours with a measured baseline.

    Attributes:
        tolerance: how many times slower than the baseline calls may be before the limit falls; at
            most 3, or the measured baseline could drift.
        smoothing: weight of the new limit against the old, at most 1.
        backoff: what the limit is multiplied by when a call was dropped.
    """

    needs_baseline: ClassVar[bool] = True

    tolerance: float = 1.5
    smoothing: float = 0.2
    backoff: float = 0.9

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        require_between("tolerance", self.tolerance, 1, 3)
        require_between("smoothing", self.smoothing, 0.01, 1)
        require_between("backoff", self.backoff, 0.1, BACKOFF_MOST)

    def step(self, limit: float, baseline: float, sample: Sample) -> float:
        """Return the next limit."""
        if sample.dropped:
            return limit * self.backoff
        gradient = min(1.0, max(0.5, self.tolerance * baseline / sample.rtt))
        found = limit * gradient + sqrt(limit)
        return limit + (found - limit) * self.smoothing
