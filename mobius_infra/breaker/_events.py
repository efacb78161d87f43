"""What a breaker tells its listeners: each change of state."""

from dataclasses import dataclass

from mobius_infra.core import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitOpened(Event):
    """Calls are rejected from now on.

    Attributes:
        reason: the rule that said so, with its figures.
        open_for: seconds until the first probe.
    """

    reason: str
    open_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitHalfOpened(Event):
    """A few calls are let through, to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitClosed(Event):
    """Calls pass again.

    Attributes:
        was_open_for: seconds since the circuit left the state closed.
    """

    was_open_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitIsolated(Event):
    """Someone opened the circuit by hand; it stays open until it is reset."""
