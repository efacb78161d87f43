"""The words of the breaker: states, modes, outcomes, permits, and what is known of an opening."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """What the circuit does with calls."""

    CLOSED = "closed"
    """Lets all through, and counts."""
    OPEN = "open"
    """Rejects, until it is time for a probe."""
    HALF_OPEN = "half_open"
    """Lets a few probes through, to see."""
    RECOVERING = "recovering"
    """Lets a growing share through (the ramp-up), and counts."""
    ISOLATED = "isolated"
    """Rejects, by somebody's hand, until it is reset."""


class Mode(StrEnum):
    """Whether the circuit's verdicts are carried out."""

    ENABLED = "enabled"
    SHADOW = "shadow"
    """Decides as if enabled and says what it would have done, but rejects nobody."""
    DISABLED = "disabled"
    """Counts, and decides nothing."""


class Outcome(StrEnum):
    """How a call ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    """Says nothing about the dependency: ignored, or never made."""
    CANCELLED = "cancelled"
    """Given up from outside: neutral, unless it had taken longer than `slow_after` by then."""


class Rule(StrEnum):
    """What may open a circuit."""

    CONSECUTIVE_FAILURES = "consecutive_failures"
    FAILURE_RATE = "failure_rate"
    SLOW_RATE = "slow_rate"
    PROBE_FAILED = "probe_failed"
    PROBE_SLOW = "probe_slow"
    PROBE_OVERDUE = "probe_overdue"
    FLEET = "fleet"
    BY_HAND = "by_hand"


@dataclass(frozen=True, slots=True)
class Opening:
    """Why a circuit opened, with the figures of that moment.

    Attributes:
        rule: what said so.
        reason: the same in words, with the figures.
        calls: calls in the window.
        failures: those of them that failed.
        slow: those of them that were slow.
        failures_in_a_row: up to then.
        last_error: the type of the last failure's error; None if a result was the failure, or
            there was none.
        number: openings in a row, this one included, without having closed.
        at: when, in the clock's monotonic seconds.
    """

    rule: Rule
    reason: str
    calls: int = 0
    failures: int = 0
    slow: int = 0
    failures_in_a_row: int = 0
    last_error: str | None = None
    number: int = 1
    at: float = 0.0


class Change(NamedTuple):
    """One change of state, as the machine made it.

    Attributes:
        before: the state that was left.
        after: the state that was entered.
        at: when, in the clock's monotonic seconds; a probe's lease may have ended before anybody
            looked.
        opening: why it opened or was isolated; None otherwise.
        lasted: seconds until the next probe if it opened; seconds since it was last closed if it
            closed; 0 otherwise.
        enforced: whether callers meet the new state, which in shadow mode they do not.
    """

    before: State
    after: State
    at: float
    opening: Opening | None
    lasted: float
    enforced: bool


class Permit:
    """The right to make one call. It settles once; whatever comes after is ignored.

    Attributes:
        generation: of the circuit when it was given. In another, it changes no state.
        started: when, in the clock's monotonic seconds; of a stream, when its last item was asked
            for. A probe's lease runs from then.
        began: when the call was made: later, if the fleet was asked for leave. It is slow from
            then.
        longest: seconds that a stream took for one of its earlier items.
        probe: whether it takes one of the half-open circuit's slots.
        settled: whether the call has ended.
    """

    __slots__ = ("began", "generation", "longest", "probe", "settled", "started")

    def __init__(self, generation: int, started: float, *, probe: bool = False) -> None:
        self.generation = generation
        self.started = self.began = started
        self.longest = 0.0
        self.probe = probe
        self.settled = False

    def __repr__(self) -> str:
        kind = "probe" if self.probe else "call"
        return f"Permit({kind} of generation {self.generation}, settled={self.settled})"
