"""Stop asking what does not answer: the circuit breaker."""

from mobius_infra.breaker._breaker import BreakerConfig, BreakerStats, CircuitBreaker
from mobius_infra.breaker._bulkhead import (
    Bulkhead,
    BulkheadFreed,
    BulkheadFull,
    BulkheadFullError,
    BulkheadStats,
    bulkhead,
)
from mobius_infra.breaker._bulkhead_queue import WaitQueue
from mobius_infra.breaker._errors import CircuitOpenError
from mobius_infra.breaker._events import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitIsolated,
    CircuitOpened,
)
from mobius_infra.breaker._machine import Outcome, Permit, Rules, State

__all__ = [
    "BreakerConfig",
    "BreakerStats",
    "Bulkhead",
    "BulkheadFreed",
    "BulkheadFull",
    "BulkheadFullError",
    "BulkheadStats",
    "CircuitBreaker",
    "CircuitClosed",
    "CircuitHalfOpened",
    "CircuitIsolated",
    "CircuitOpenError",
    "CircuitOpened",
    "Outcome",
    "Permit",
    "Rules",
    "State",
    "WaitQueue",
    "bulkhead",
]
