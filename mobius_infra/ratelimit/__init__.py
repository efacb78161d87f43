"""Let through what can be borne, and tell the rest when to come back."""

from mobius_infra.ratelimit._adaptive import (
    AdaptiveLimiter,
    AdaptiveLimiterConfig,
    AdaptiveLimiterStats,
)
from mobius_infra.ratelimit._adaptive_steps import Aimd, Algorithm, Gradient2, Sample, Vegas
from mobius_infra.ratelimit._bucket import Rate, TokenBucket
from mobius_infra.ratelimit._errors import RateLimitedError
from mobius_infra.ratelimit._events import LimiterDegraded, LimiterRestored
from mobius_infra.ratelimit._fair import FairLimiter, FairLimiterConfig, FairLimiterStats, fair
from mobius_infra.ratelimit._fair_queue import FairQueue
from mobius_infra.ratelimit._limiter import (
    Decision,
    RateLimiter,
    RateLimiterConfig,
    RateLimiterStats,
)
from mobius_infra.ratelimit._overload_errors import ConcurrencyLimitError, LoadShedError
from mobius_infra.ratelimit._overload_events import (
    LimitAtFloor,
    LimitRecovered,
    SheddingBegan,
    SheddingEnded,
)
from mobius_infra.ratelimit._shed import (
    LoadShedder,
    LoadShedderConfig,
    LoadShedderStats,
    Priority,
)
from mobius_infra.ratelimit._signals import CpuLoad, LoopLag, MemoryLoad, Pressure, Signal

__all__ = [
    "AdaptiveLimiter",
    "AdaptiveLimiterConfig",
    "AdaptiveLimiterStats",
    "Aimd",
    "Algorithm",
    "ConcurrencyLimitError",
    "CpuLoad",
    "Decision",
    "FairLimiter",
    "FairLimiterConfig",
    "FairLimiterStats",
    "FairQueue",
    "Gradient2",
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
    "TokenBucket",
    "Vegas",
    "fair",
]
