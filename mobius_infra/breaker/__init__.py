"""Stop asking what does not answer: the circuit breaker and its neighbours."""

from mobius_infra.breaker._backoff import Backoff, Jitter
from mobius_infra.breaker._breaker import CircuitBreaker
from mobius_infra.breaker._budget import BudgetStats, RetryBudget, RetryBudgetSpent
from mobius_infra.breaker._config import BreakerConfig
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
    CircuitEvent,
    CircuitHalfOpened,
    CircuitIsolated,
    CircuitOpened,
    CircuitRecovering,
    CircuitWouldOpen,
)
from mobius_infra.breaker._explain import Explanation
from mobius_infra.breaker._fleet import Fleet
from mobius_infra.breaker._fleet_stats import FleetDegraded, FleetRestored, FleetStats
from mobius_infra.breaker._keyed import KeyedBreaker, KeyedStats
from mobius_infra.breaker._retry import Retry, RetryStats, retry
from mobius_infra.breaker._retry_config import RetryConfig
from mobius_infra.breaker._rules import Calls, RampUp, Rules, Seconds
from mobius_infra.breaker._state import Mode, Opening, Outcome, Permit, Rule, State
from mobius_infra.breaker._stats import BreakerStats
from mobius_infra.breaker._throttle import (
    Throttle,
    ThrottledError,
    ThrottleStats,
    ThrottlingBegan,
    ThrottlingEnded,
    throttle,
)
from mobius_infra.breaker._timeout import CallTimeoutError, Timeout, TimeoutStats, timeout
from mobius_infra.breaker._votes import FleetView

__all__ = [
    "Backoff",
    "BreakerConfig",
    "BreakerStats",
    "BudgetStats",
    "CallTimeoutError",
    "Calls",
    "CircuitBreaker",
    "CircuitClosed",
    "CircuitEvent",
    "CircuitHalfOpened",
    "CircuitIsolated",
    "CircuitOpenError",
    "CircuitOpened",
    "CircuitRecovering",
    "CircuitWouldOpen",
    "Deadline",
    "DeadlineExceededError",
    "DeadlineStats",
    "Explanation",
    "Fleet",
    "FleetDegraded",
    "FleetRestored",
    "FleetStats",
    "FleetView",
    "Jitter",
    "KeyedBreaker",
    "KeyedStats",
    "Mode",
    "Opening",
    "Outcome",
    "Permit",
    "RampUp",
    "Retry",
    "RetryBudget",
    "RetryBudgetSpent",
    "RetryConfig",
    "RetryStats",
    "Rule",
    "Rules",
    "Seconds",
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
