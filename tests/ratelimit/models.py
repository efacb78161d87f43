"""Slow, plain models of the algorithms, in exact fractions, and what is asked of them."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from mobius_infra.core import State
from mobius_infra.ratelimit import (
    GCRA,
    FixedWindow,
    LeakyBucket,
    LeakyQueue,
    Limit,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.ratelimit._step import OWN, evaluate, fresh

START = 1_700_000_000_000_000  # microseconds

RATES = st.sampled_from(
    ["1/second", "3/second", "7 per 10 seconds", "54/minute", "1/hour", "997/7 seconds", "9/ms"]
)
BUCKETS: st.SearchStrategy[Limit] = st.one_of(
    st.builds(TokenBucket, RATES, st.integers(1, 9)),
    st.builds(GCRA, RATES, st.integers(1, 9)),
    st.builds(LeakyBucket, RATES, st.integers(1, 9)),
)
QUEUES: st.SearchStrategy[Limit] = st.builds(LeakyQueue, RATES, st.integers(1, 9))
WINDOW_RATES = st.sampled_from(["1/second", "5/second", "7 per 10 seconds", "3/ms", "4 per 3 ms"])
LOGS: st.SearchStrategy[Limit] = st.builds(SlidingWindowLog, WINDOW_RATES)
FIXED: st.SearchStrategy[Limit] = st.builds(FixedWindow, WINDOW_RATES)
SLIDING: st.SearchStrategy[Limit] = st.builds(SlidingWindowCounter, WINDOW_RATES)
LIMITS = st.one_of(BUCKETS, QUEUES, LOGS, FIXED, SLIDING)

# Time stands still, creeps, goes on, jumps, and goes back.
STEPS = st.one_of(
    st.just(0),
    st.integers(1, 20),
    st.integers(1, 2_000_000),
    st.integers(1, 4000).map(lambda ms: ms * 1000),
    st.integers(10**7, 10**10),
    st.integers(-3_000_000, -1),
)
FORWARD = STEPS.filter(lambda step: step >= 0)
COSTS = st.sampled_from([0, 1, 1, 1, 2, 3])


class Asked:
    """One key's limits, asked one after the other."""

    def __init__(self, *limits: Limit, now: int = START) -> None:
        self.rules = [limit.rule for limit in limits]
        self.now = now
        self.state: State = fresh(self.rules, now)

    def take(self, cost: int = 1, patience: int = OWN, most: int = 0) -> int:
        """Return the microseconds that the call waits, or -1 if it was refused."""
        granted, wait, marks = evaluate(self.rules, self.state, self.now, cost, most, patience)
        self.granted, self.marks, self.wait = granted, marks, wait
        return -1 if granted < 0 else wait


class TokenModel:
    """A token bucket, as it is told: tokens drip in, calls take them."""

    def __init__(self, rate: Fraction, burst: int, now: int) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.at = Fraction(burst), now

    def take(self, now: int, cost: int) -> bool:
        if now > self.at:
            self.tokens = min(Fraction(self.burst), self.tokens + (now - self.at) * self.rate)
            self.at = now
        if cost > self.tokens:
            return False
        self.tokens -= cost
        return True


class LeakModel:
    """A leaky bucket: calls pour in, time lets out, nothing may spill."""

    def __init__(self, rate: Fraction, capacity: int, now: int) -> None:
        self.rate, self.capacity = rate, capacity
        self.level, self.at = Fraction(0), now

    def take(self, now: int, cost: int) -> bool:
        if now > self.at:
            self.level = max(Fraction(0), self.level - (now - self.at) * self.rate)
            self.at = now
        if self.level + cost > self.capacity:
            return False
        self.level += cost
        return True


class VirtualModel:
    """GCRA by virtual scheduling (I.371): a theoretical arrival time, and a tolerance."""

    def __init__(self, rate: Fraction, burst: int, now: int) -> None:
        self.emission, self.tolerance = 1 / rate, burst / rate
        self.arrival, self.at = Fraction(now), now

    def take(self, now: int, cost: int) -> bool:
        self.at = max(self.at, now)
        arrival = max(self.arrival, Fraction(self.at)) + cost * self.emission
        if arrival - self.at > self.tolerance:
            return False
        self.arrival = arrival
        return True


def rate_of(limit: Any) -> Fraction:
    """Return tokens a microsecond."""
    return Fraction(limit.rate.amount, limit.rate.micros)


def most_in(passed: Sequence[tuple[int, int]], window: int) -> int:
    """Return the most that passed in any half-open stretch of `window` microseconds."""
    passed = sorted(passed)
    most, total, first = 0, 0, 0
    for time, cost in passed:
        total += cost
        while passed[first][0] <= time - window:
            total -= passed[first][1]
            first += 1
        most = max(most, total)
    return most


def assert_bounded(passed: Sequence[tuple[int, int]], rate: Fraction, burst: int) -> None:
    """Check every closed stretch: at most burst + rate * its length."""
    passed = sorted(passed)
    for first, (start, _) in enumerate(passed):
        total = 0
        for end, cost in passed[first:]:
            total += cost
            assert total <= burst + rate * (end - start)
