"""Stop asking what does not answer: the circuit breaker and its neighbours."""

from mobius_infra.breaker._backoff import Backoff, Jitter
from mobius_infra.breaker._breaker import BreakerConfig, BreakerStats, CircuitBreaker
from mobius_infra.breaker._budget import BudgetStats, RetryBudget, RetryBudgetSpent
from mobius_infra.breaker._deadline import (
    Deadline,
    DeadlineExceededError,
    DeadlineStats,
    deadline,
    remaining,
)
from mobius_infra.breaker._errors import CircuitOpenError
from mobius_infra.breaker._events import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitIsolated,
    CircuitOpened,
)
from mobius_infra.breaker._machine import Outcome, Permit, Rules, State
from mobius_infra.breaker._retry import Retry, RetryStats, retry
from mobius_infra.breaker._retry_config import RetryConfig
from mobius_infra.breaker._throttle import (
    Throttle,
    ThrottledError,
    ThrottleStats,
    ThrottlingBegan,
    ThrottlingEnded,
    throttle,
)
from mobius_infra.breaker._timeout import CallTimeoutError, Timeout, TimeoutStats, timeout

__all__ = [
    "Backoff",
    "BreakerConfig",
    "BreakerStats",
    "BudgetStats",
    "CallTimeoutError",
    "CircuitBreaker",
    "CircuitClosed",
    "CircuitHalfOpened",
    "CircuitIsolated",
    "CircuitOpenError",
    "CircuitOpened",
    "Deadline",
    "DeadlineExceededError",
    "DeadlineStats",
    "Jitter",
    "Outcome",
    "Permit",
    "Retry",
    "RetryBudget",
    "RetryBudgetSpent",
    "RetryConfig",
    "RetryStats",
    "Rules",
    "State",
    "Throttle",
    "ThrottleStats",
    "ThrottledError",
    "ThrottlingBegan",
    "ThrottlingEnded",
    "Timeout",
    "TimeoutStats",
    "deadline",
    "remaining",
    "retry",
    "throttle",
    "timeout",
]
