"""Let through what can be borne, and tell the rest when to come back."""

from mobius_infra.ratelimit._address import ByAddress
from mobius_infra.ratelimit._errors import CostAboveLimitError, RateLimitedError
from mobius_infra.ratelimit._events import LimiterDegraded, LimiterRestored, OutboundPaused
from mobius_infra.ratelimit._headers import headers
from mobius_infra.ratelimit._lease import PermitLease
from mobius_infra.ratelimit._limiter import RateLimiter
from mobius_infra.ratelimit._limits import (
    GCRA,
    FixedWindow,
    LeakyBucket,
    LeakyQueue,
    Limit,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
    parse_limits,
)
from mobius_infra.ratelimit._outbound import Outbound, OutboundStats, telegram
from mobius_infra.ratelimit._permit import Permit
from mobius_infra.ratelimit._policy import Decision, Standing
from mobius_infra.ratelimit._rate import Rate
from mobius_infra.ratelimit._settings import RateLimiterConfig, RateLimiterStats

__all__ = [
    "GCRA",
    "ByAddress",
    "CostAboveLimitError",
    "Decision",
    "FixedWindow",
    "LeakyBucket",
    "LeakyQueue",
    "Limit",
    "LimiterDegraded",
    "LimiterRestored",
    "Outbound",
    "OutboundPaused",
    "OutboundStats",
    "Permit",
    "PermitLease",
    "Rate",
    "RateLimitedError",
    "RateLimiter",
    "RateLimiterConfig",
    "RateLimiterStats",
    "SlidingWindowCounter",
    "SlidingWindowLog",
    "Standing",
    "TokenBucket",
    "headers",
    "parse_limits",
    "telegram",
]
