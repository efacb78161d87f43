"""What a breaker tells its listeners: each change of state.

A listener is called when the change is done, never under a lock or in the middle of one. It may
raise, which is logged, or use the breaker: what it changes is told after what it was told.
"""

from dataclasses import dataclass

from mobius_infra.breaker._state import Change, Rule, State
from mobius_infra.core import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitEvent(Event):
    """A circuit's state changed.

    Attributes:
        key: of the circuit, where there is one for each key.
    """

    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitOpened(CircuitEvent):
    """Calls are rejected from now on.

    Attributes:
        rule: what said so.
        reason: the same in words, with its figures.
        open_for: seconds until the first probe.
    """

    rule: Rule
    reason: str
    open_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitWouldOpen(CircuitEvent):
    """In shadow mode: calls would be rejected from now on.

    Attributes:
        rule: what said so.
        reason: the same in words, with its figures.
        open_for: seconds until the first probe would have been made.
    """

    rule: Rule
    reason: str
    open_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitHalfOpened(CircuitEvent):
    """A few calls are let through, to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRecovering(CircuitEvent):
    """A growing share of the calls is let through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitClosed(CircuitEvent):
    """All calls pass again.

    Attributes:
        was_open_for: seconds since the circuit was last closed.
    """

    was_open_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitIsolated(CircuitEvent):
    """Someone opened the circuit by hand; it stays open until it is reset.

    Attributes:
        reason: what they gave.
    """

    reason: str


def event_of(change: Change, name: str, key: str | None, at: float) -> Event | None:
    """Return what to tell of a change, if anything.

    Args:
        change: as the machine made it.
        name: the breaker's.
        key: the circuit's, if there is one for each.
        at: when, in seconds since the epoch.
    """
    match change.after:
        case State.ISOLATED if change.opening is not None:
            return CircuitIsolated(source=name, key=key, at=at, reason=change.opening.reason)
        case State.OPEN if change.opening is not None:
            kind = CircuitOpened if change.enforced else CircuitWouldOpen
            return kind(
                source=name, key=key, at=at, open_for=change.lasted,
                rule=change.opening.rule, reason=change.opening.reason,
            )  # fmt: skip
        case State.CLOSED if change.enforced:
            return CircuitClosed(source=name, key=key, at=at, was_open_for=change.lasted)
        case State.HALF_OPEN if change.enforced:
            return CircuitHalfOpened(source=name, key=key, at=at)
        case State.RECOVERING if change.enforced:
            return CircuitRecovering(source=name, key=key, at=at)
        case _:
            return None
