"""Stop asking what does not answer: the circuit breaker."""

from mobius_infra.breaker._backoff import Backoff, Jitter
from mobius_infra.breaker._breaker import BreakerConfig, BreakerStats, CircuitBreaker
from mobius_infra.breaker._budget import BudgetStats, RetryBudget, RetryBudgetSpent
from mobius_infra.breaker._errors import CircuitOpenError
from mobius_infra.breaker._events import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitIsolated,
    CircuitOpened,
)
from mobius_infra.breaker._machine import Outcome, Permit, Rules, State

__all__ = [
    "Backoff",
    "BreakerConfig",
    "BreakerStats",
    "BudgetStats",
    "CircuitBreaker",
    "CircuitClosed",
    "CircuitHalfOpened",
    "CircuitIsolated",
    "CircuitOpenError",
    "CircuitOpened",
    "Jitter",
    "Outcome",
    "Permit",
    "RetryBudget",
    "RetryBudgetSpent",
    "Rules",
    "State",
]
