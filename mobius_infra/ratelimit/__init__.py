"""Let through what can be borne, and tell the rest when to come back."""

from mobius_infra.ratelimit._adaptive import (
    AdaptiveLimiter,
    AdaptiveLimiterConfig,
    AdaptiveLimiterStats,
)
from mobius_infra.ratelimit._adaptive_steps import Aimd, Algorithm, Gradient2, Sample, Vegas
from mobius_infra.ratelimit._address import ByAddress
from mobius_infra.ratelimit._errors import CostAboveLimitError, RateLimitedError
from mobius_infra.ratelimit._events import LimiterDegraded, LimiterRestored, OutboundPaused
from mobius_infra.ratelimit._fair import FairLimiter, FairLimiterConfig, FairLimiterStats, fair
from mobius_infra.ratelimit._fair_queue import FairQueue
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
from mobius_infra.ratelimit._overload_errors import ConcurrencyLimitError, LoadShedError
from mobius_infra.ratelimit._overload_events import (
    LimitAtFloor,
    LimitRecovered,
    SheddingBegan,
    SheddingEnded,
)
from mobius_infra.ratelimit._permit import Permit
from mobius_infra.ratelimit._policy import Decision, Standing
from mobius_infra.ratelimit._rate import Rate
from mobius_infra.ratelimit._settings import RateLimiterConfig, RateLimiterStats
from mobius_infra.ratelimit._shed import (
    LoadShedder,
    LoadShedderConfig,
    LoadShedderStats,
    Priority,
)
from mobius_infra.ratelimit._signals import CpuLoad, LoopLag, MemoryLoad, Pressure, Signal

__all__ = [
    "GCRA",
    "AdaptiveLimiter",
    "AdaptiveLimiterConfig",
    "AdaptiveLimiterStats",
    "Aimd",
    "Algorithm",
    "ByAddress",
    "ConcurrencyLimitError",
    "CostAboveLimitError",
    "CpuLoad",
    "Decision",
    "FairLimiter",
    "FairLimiterConfig",
    "FairLimiterStats",
    "FairQueue",
    "FixedWindow",
    "Gradient2",
    "LeakyBucket",
    "LeakyQueue",
    "Limit",
    "LimitAtFloor",
    "LimitRecovered",
    "LimiterDegraded",
    "LimiterRestored",
    "LoadShedError",
    "LoadShedder",
    "LoadShedderConfig",
    "LoadShedderStats",
    "LoopLag",
    "MemoryLoad",
    "Outbound",
    "OutboundPaused",
    "OutboundStats",
    "Permit",
    "PermitLease",
    "Pressure",
    "Priority",
    "Rate",
    "RateLimitedError",
    "RateLimiter",
    "RateLimiterConfig",
    "RateLimiterStats",
    "Sample",
    "SheddingBegan",
    "SheddingEnded",
    "Signal",
    "SlidingWindowCounter",
    "SlidingWindowLog",
    "Standing",
    "TokenBucket",
    "Vegas",
    "fair",
    "headers",
    "parse_limits",
    "telegram",
]
