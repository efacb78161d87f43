"""Why a circuit is as it is."""

from dataclasses import dataclass

from mobius_infra.breaker._machine import Machine
from mobius_infra.breaker._state import Mode, Opening, State


@dataclass(frozen=True, slots=True)
class Explanation:
    """A circuit's state, the evidence for it, and what happens next; `str()` says it in words.

    Attributes:
        name: the breaker's.
        key: the circuit's, where there is one for each key.
        state: as it is decided; in shadow mode, as it would be.
        mode: whether that is carried out.
        lasted: seconds in this state.
        opening: why it opened, with the figures of that moment; None if it is closed.
        calls: calls in the window now.
        failures: those of them that failed.
        slow: those of them that were slow.
        failures_in_a_row: up to now.
        last_error: the type of the last failure's error since the state changed, if any.
        probe_in: seconds until a call may be let through; None if nobody knows, or all are.
        probes: probes that are out.
        share: the share of calls that is let through while it recovers; None otherwise.
    """

    name: str
    key: str | None
    state: State
    mode: Mode
    lasted: float
    opening: Opening | None
    calls: int
    failures: int
    slow: int
    failures_in_a_row: int
    last_error: str | None
    probe_in: float | None
    probes: int
    share: float | None

    def __str__(self) -> str:
        called = self.name if self.key is None else f"{self.name}[{self.key}]"
        if self.mode is not Mode.ENABLED:
            called += f" ({self.mode})"
        state = self.state.replace("_", "-")
        return f"{called} is {state}{_because(self)}{_then(self)}"


def _because(told: Explanation) -> str:
    if told.opening is None:
        slow = f", {told.slow} were slow" if told.slow else ""
        return f": {told.failures} of the last {told.calls} calls failed{slow}"
    error = told.opening.last_error
    last = "" if error is None else f", the last by {error}"
    nth = "" if told.opening.number < 2 else f" (opening {told.opening.number} in a row)"
    return f": {told.opening.reason}{last}{nth}"


def _then(told: Explanation) -> str:
    match told.state:
        case State.OPEN if told.probe_in:
            return f"; it may let a probe through in {told.probe_in:.3g} s"
        case State.OPEN:
            return "; the next call will be a probe"
        case State.HALF_OPEN:
            return f"; probes out: {told.probes}"
        case State.RECOVERING:
            return f"; it lets {told.share:.0%} through"
        case State.ISOLATED:
            return "; it stays so until it is reset"
        case _:
            return ""


def explain(machine: Machine, name: str, key: str | None, now: float) -> Explanation:
    """Say why `machine` is as it is `now`."""
    calls, failures, slow = machine.window.counts(now)
    recovering = machine.state is State.RECOVERING
    return Explanation(
        name=name,
        key=key,
        state=machine.state,
        mode=machine.mode,
        lasted=now - machine.entered_at,
        opening=machine.opening,
        calls=calls,
        failures=failures,
        slow=slow,
        failures_in_a_row=machine.failures_in_a_row,
        last_error=machine.last_error,
        probe_in=machine.retry_after(now),
        probes=machine.probes,
        share=machine.share(now) if recovering else None,
    )
