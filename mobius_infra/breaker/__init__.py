"""Stop asking what does not answer: the circuit breaker."""

from mobius_infra.breaker._backoff import Backoff, Jitter
from mobius_infra.breaker._breaker import CircuitBreaker
from mobius_infra.breaker._config import BreakerConfig
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
from mobius_infra.breaker._rules import Calls, RampUp, Rules, Seconds
from mobius_infra.breaker._state import Mode, Opening, Outcome, Permit, Rule, State
from mobius_infra.breaker._stats import BreakerStats
from mobius_infra.breaker._votes import FleetView

__all__ = [
    "Backoff",
    "BreakerConfig",
    "BreakerStats",
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
    "Rule",
    "Rules",
    "Seconds",
    "State",
]
