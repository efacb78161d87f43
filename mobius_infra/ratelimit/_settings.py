"""A limiter's settings, for files, and its numbers."""

from dataclasses import dataclass
from typing import Literal

from mobius_infra.core import Config, Stats, counter, gauge, require, state
from mobius_infra.ratelimit._limits import ALGORITHMS, BUCKETS, Algorithm, Limits, parse_limits
from mobius_infra.ratelimit._shared import OnError


@dataclass(frozen=True, slots=True)
class RateLimiterStats(Stats):
    """A limiter's numbers."""

    allowed: int = counter("Calls that passed")
    limited: int = counter("Calls that were refused")
    waited: int = counter("Calls that passed after waiting")
    backend_errors: int = counter("Decisions that the backend failed to make")
    overflowed: int = counter("Decisions on the limit that new keys share when there is no room")
    keys: int = gauge("Keys kept in this process")
    waiting: int = gauge("Calls that wait now")
    mode: str = state("Where limits are kept: local, shared, or degraded")


class RateLimiterConfig(Config):
    """A limiter's settings, for files. The fields are parameters of `RateLimiter`.

    Attributes:
        rate: tokens a second, or a text that may name several: `5/second; 100/minute`.
        burst: of a token bucket, GCRA or leaky bucket (its capacity) of one rate.
        algorithm: how the rates are kept.
    """

    name: str
    rate: float | str
    burst: int | None = None
    algorithm: Algorithm = "token_bucket"
    key: str | None = None
    cost: int | str = 1
    on_limit: Literal["raise", "wait", "drop"] = "raise"
    max_wait: float = 10.0
    max_waiting: int = 1_000
    max_keys: int = 100_000
    on_error: OnError = "local"
    replicas: int = 1

    def limits(self) -> Limits:
        """Return the limits that it names."""
        made = ALGORITHMS[self.algorithm]
        if self.burst is not None:
            allowed = f"left out: {self.algorithm} has none"
            require(self.algorithm in BUCKETS, "burst", self.burst, allowed)
            return made(self.rate, self.burst)
        return parse_limits(self.rate, made) if isinstance(self.rate, str) else made(self.rate)
