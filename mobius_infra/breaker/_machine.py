"""The circuit's decisions: synchronous, with the time and the randomness passed in.

| state | a call arrives | a call ends |
|---|---|---|
| closed | admitted | counted; the rules may open the circuit |
| open | rejected, until it is time for a probe: half-open | of an older generation: ignored |
| half-open | admitted while a probe's slot is free | a success may close it, a failure opens it |
| isolated | rejected | of an older generation: ignored |

Each change of state begins a new generation. A permit carries the one it was given in, and settles
nothing in another: a call that began before the circuit opened can't close it by ending late.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The states of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    ISOLATED = "isolated"


class Outcome(StrEnum):
    """How a call ended. `NEUTRAL` says nothing about the dependency: cancelled, or never made."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a circuit opens, for how long, and what closes it. See `CircuitBreaker`."""

    consecutive_failures: int | None
    failure_rate: float | None
    window: int
    minimum_calls: int
    open_for: float
    open_for_max: float
    permits: int
    successes: int
    probe_timeout: float

    def pause(self, openings: int, draw: float) -> float:
        """Return seconds until the first probe after `openings` in a row.

        The exponential is clamped first and jittered after ("full jitter", Marc Brooker,
        "Exponential Backoff And Jitter", 2015), or every late pause would be the same. Half of
        the range stays below, so that a circuit never probes at once.
        """
        clamped = min(self.open_for * 2.0 ** min(openings - 1, 60), self.open_for_max)
        return clamped * (0.5 + 0.5 * draw)


class Permit:
    """The right to make one call. It settles once; whatever comes after is ignored."""

    __slots__ = ("generation", "probe", "settled", "started")

    def __init__(self, generation: int, started: float, *, probe: bool) -> None:
        self.generation = generation
        self.started = started
        self.probe = probe
        self.settled = False

    def __repr__(self) -> str:
        kind = "probe" if self.probe else "call"
        return f"Permit({kind} of generation {self.generation}, settled={self.settled})"


class Machine:
    """A circuit's state, changed in place."""

    __slots__ = (
        "_failed", "_next", "_probes", "_ring", "_successes", "failures_in_a_row",
        "generation", "left_closed_at", "openings", "probe_at", "reason", "rules", "state",
    )  # fmt: skip

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.state = State.CLOSED
        self.generation = 0
        self.openings = 0  # in a row, without having closed
        self.probe_at = 0.0
        self.left_closed_at = 0.0
        self.reason = ""
        self._clear()

    def _clear(self) -> None:
        self.failures_in_a_row = 0
        self._ring = deque[bool](maxlen=self.rules.window)  # True where a call failed
        self._failed = 0
        self._probes: list[Permit] = []
        self._successes = 0

    def admit(self, now: float) -> Permit | None:
        """Let a call through, or not."""
        if self.state is State.CLOSED:
            return Permit(self.generation, now, probe=False)
        if self.state is State.OPEN and now >= self.probe_at:
            self._enter(State.HALF_OPEN)
        if self.state is not State.HALF_OPEN:
            return None
        if len(self._probes) >= self.rules.permits:
            return None
        permit = Permit(self.generation, now, probe=True)
        self._probes.append(permit)
        return permit

    def overdue(self, now: float) -> bool:
        """Say whether a probe has been out for longer than its lease."""
        return bool(self._probes) and now - self._probes[0].started >= self.rules.probe_timeout

    def settle(self, permit: Permit, outcome: Outcome, now: float, draw: float) -> None:
        """Count how a call ended, once, if the circuit is still in the permit's generation."""
        if permit.settled:
            return
        permit.settled = True
        if permit.generation != self.generation:
            return
        if permit.probe:
            self._probes.remove(permit)
            self._settle_probe(outcome, now, draw)
        elif outcome is Outcome.SUCCESS:
            self.succeed()
        elif outcome is Outcome.FAILURE:
            self.fail(now, draw)

    def _settle_probe(self, outcome: Outcome, now: float, draw: float) -> None:
        if outcome is Outcome.FAILURE:
            self.open(now, draw, "a probe failed")
        elif outcome is Outcome.SUCCESS:
            self._successes += 1
            if self._successes >= self.rules.successes:
                self.close()

    def give_up_probes(self, now: float, draw: float) -> None:
        """Count probes that never came back as failures: a circuit can't be wedged by them."""
        self.open(now, draw, f"a probe did not return within {self.rules.probe_timeout:g} s")

    def succeed(self) -> None:
        """Count a success of a closed circuit."""
        self.failures_in_a_row = 0
        ring = self._ring
        if self._failed:
            self._record(failed=False)
        elif len(ring) < self.rules.window:
            ring.append(False)
        # Else the window is full of successes, and one more changes nothing.

    def fail(self, now: float, draw: float) -> None:
        """Count a failure of a closed circuit; open it if a rule says so."""
        rules = self.rules
        self.failures_in_a_row += 1
        self._record(failed=True)
        calls = len(self._ring)
        if rules.consecutive_failures and self.failures_in_a_row >= rules.consecutive_failures:
            self.open(now, draw, f"{self.failures_in_a_row} failures in a row")
        elif (
            rules.failure_rate is not None
            and calls >= rules.minimum_calls
            and self._failed >= rules.failure_rate * calls
        ):
            self.open(now, draw, f"{self._failed} of the last {calls} calls failed")

    def _record(self, *, failed: bool) -> None:
        ring = self._ring
        if len(ring) == ring.maxlen:
            self._failed -= ring[0]
        ring.append(failed)
        self._failed += failed

    def open(self, now: float, draw: float, reason: str) -> None:
        """Reject calls until it is time for a probe."""
        if self.state is State.CLOSED:
            self.left_closed_at = now
        self.openings += 1
        self.probe_at = now + self.rules.pause(self.openings, draw)
        self.reason = reason
        self._enter(State.OPEN)

    def close(self) -> None:
        """Let all calls through, remembering nothing of before."""
        self.openings = 0
        self.reason = ""
        self._enter(State.CLOSED)

    def isolate(self, now: float) -> None:
        """Reject all calls until `close`."""
        if self.state is State.CLOSED:
            self.left_closed_at = now
        self.reason = "isolated by hand"
        self._enter(State.ISOLATED)

    def _enter(self, state: State) -> None:
        self.state = state
        self.generation += 1
        self._clear()

    @property
    def window(self) -> tuple[int, int]:
        """Failures and calls in the window of the present generation."""
        return self._failed, len(self._ring)

    @property
    def probes(self) -> int:
        """Probes that are out."""
        return len(self._probes)

    def retry_after(self, now: float) -> float | None:
        """Return seconds until a call may be let through; None if nobody knows."""
        if self.state is State.OPEN:
            return max(self.probe_at - now, 0.0)
        if self.state is State.HALF_OPEN and self._probes:
            return max(self._probes[0].started + self.rules.probe_timeout - now, 0.0)
        return None
