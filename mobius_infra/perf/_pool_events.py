"""What a pool says and counts."""

from collections.abc import Mapping
from dataclasses import dataclass

from mobius_infra.core import Event, Stats, counter, gauge, state


@dataclass(frozen=True, slots=True)
class PoolStats(Stats):
    """A pool's numbers."""

    state: str = state("State of the pool: open, unreachable, closing or closed")
    borrowed: int = counter("Connections lent")
    waited: int = counter("Connections that somebody waited for")
    refused: Mapping[str, int] = counter("Borrowers that got none, by reason", label="reason")
    connected: int = counter("Connections made")
    connect_failures: int = counter("Attempts to connect that failed")
    discarded: Mapping[str, int] = counter("Connections given up, by reason", label="reason")
    leaks: int = counter("Connections held for longer than leak_after")
    min_size: int = gauge("Connections that are kept")
    max_size: int = gauge("Connections at most")
    idle: int = gauge("Connections that wait to be lent")
    in_use: int = gauge("Connections lent and not yet given back")
    checking: int = gauge("Connections that are being checked")
    connecting: int = gauge("Connections that are being made")
    closing: int = gauge("Connections that are being closed")
    waiting: int = gauge("Borrowers that wait")
    failures: int = gauge("Attempts to connect that failed in a row")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUnreachable(Event):
    """Connecting failed so often that borrowers no longer wait for it.

    Attributes:
        failures: attempts that failed in a row.
        retry_after: seconds until it is tried again.
        error: what the last one raised, as text.
    """

    failures: int
    retry_after: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReachable(Event):
    """A connection was made, after the pool had been unreachable.

    Attributes:
        failures: attempts that had failed in a row.
    """

    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLeakSuspected(Event):
    """A connection has been held for longer than `leak_after`. Said once each time it is lent.

    Attributes:
        borrower: the name of the task that borrowed it.
        ended: whether that task has ended: then it is almost surely lost.
        held: seconds since it was lent.
        stack: where it was borrowed, innermost call last; empty if this one was not traced.
    """

    borrower: str
    ended: bool
    held: float
    stack: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolClosed(Event):
    """The pool has been closed.

    Attributes:
        terminated: connections that were not given back in time.
    """

    terminated: int
