"""Let through what can be borne, and tell the rest when to come back."""

from mobius_infra.ratelimit._bucket import Rate, TokenBucket
from mobius_infra.ratelimit._errors import RateLimitedError
from mobius_infra.ratelimit._events import LimiterDegraded, LimiterRestored
from mobius_infra.ratelimit._limiter import (
    Decision,
    RateLimiter,
    RateLimiterConfig,
    RateLimiterStats,
)

__all__ = [
    "Decision",
    "LimiterDegraded",
    "LimiterRestored",
    "Rate",
    "RateLimitedError",
    "RateLimiter",
    "RateLimiterConfig",
    "RateLimiterStats",
    "TokenBucket",
]
