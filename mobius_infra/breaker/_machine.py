"""The circuit's decisions: synchronous, with the time and the randomness passed in.

| state | a call arrives | a call ends |
|---|---|---|
| closed | admitted | counted; the rules may open the circuit |
| open | rejected, until it is time for a probe: half-open | nothing |
| half-open | admitted while a probe's slot is free | successes close it, a failure opens it |
| recovering | a growing share is admitted | counted; the rules may open the circuit |
| isolated | rejected | nothing |

Each change of state begins a new generation, but for the last step of a ramp-up, after which the
same calls go on. A permit carries the generation that it was given in, and settles nothing in
another: a call that began before the circuit opened can't close it by ending late.

Whatever comes in, what time alone has decided is done first (`catch_up`), as of the moment when it
was due. So nothing depends on somebody looking at the right time.
"""

from collections.abc import Callable

from mobius_infra.breaker._rules import RampUp, Rules
from mobius_infra.breaker._state import Change, Mode, Opening, Outcome, Permit, Rule, State

# Names of the module's own: Python 3.11 looks a member up in its enum three times as slowly.
CLOSED, OPEN, HALF_OPEN, RECOVERING, ISOLATED = State
SUCCESS, FAILURE, NEUTRAL, _ = Outcome
ENABLED, SHADOW, DISABLED = Mode

NEVER = -1
"""The generation of a permit that settles nothing, whenever it ends."""


class Machine:
    """A circuit's state, changed in place.

    Args:
        rules: what it decides by.
        draw: gives random numbers in [0, 1).
        mode: whether its verdicts are carried out.

    Attributes:
        changes: what has changed; whoever reads them takes them out.
    """

    __slots__ = (
        "_draw", "_hold_until", "_left_closed_at", "_pause", "_probes", "_probes_ok", "changes",
        "entered_at", "failures", "failures_in_a_row", "generation", "last_error", "mode",
        "neutral", "opened", "opening", "openings", "overdue", "probe_at", "rejected",
        "rules", "slow", "state", "successes", "window", "would_open", "would_reject",
    )  # fmt: skip

    def __init__(
        self, rules: Rules, draw: Callable[[], float], mode: Mode = ENABLED, now: float = 0.0
    ) -> None:
        self.rules = rules
        self.mode = mode
        self.state = CLOSED
        self.generation = 0
        self.entered_at = self._left_closed_at = now
        self.opening: Opening | None = None
        self.openings = 0  # in a row, without having closed
        # Lifetime counters: nothing takes from them.
        self.successes = self.failures = self.neutral = self.slow = self.overdue = 0
        self.rejected = self.would_reject = self.opened = self.would_open = 0
        self.probe_at = 0.0
        self.changes: tuple[Change, ...] = ()
        self.window = rules.window.window()
        self._draw = draw
        self._pause = 0.0  # the last one: decorrelated jitter grows from it
        self._clear()

    def _clear(self) -> None:
        self.window.clear()
        self.failures_in_a_row = 0
        self.last_error: str | None = None
        self._hold_until = 0.0
        self._probes: tuple[Permit, ...] = ()
        self._probes_ok = 0

    # What comes in.

    def admit(self, now: float) -> Permit | None:
        """Let a call through, or not."""
        state = self.state
        if state is CLOSED:
            return Permit(self.generation, now)
        if state is OPEN:
            if now < self.probe_at:
                return self._reject(now)
            self._enter(HALF_OPEN, now)
        elif state is not ISOLATED:
            self.catch_up(now)
            if self.state is not state:
                return self.admit(now)
        if self.state is HALF_OPEN and len(self._probes) < self.rules.permits:
            permit = Permit(self.generation, now, probe=True)
            self._probes = (*self._probes, permit)
            return permit
        if self.state is RECOVERING and self._draw() < self.share(now):
            return Permit(self.generation, now)
        return self._reject(now)

    def _reject(self, now: float) -> Permit | None:
        if self.mode is SHADOW and self.state is not ISOLATED:
            self.would_reject += 1
            return Permit(NEVER, now)
        self.rejected += 1
        return None

    def settle(
        self,
        permit: Permit,
        outcome: Outcome,
        now: float,
        cause: str | None = None,
        hold: float | None = None,
    ) -> None:
        """Count how a call ended, once, if the circuit is still in the permit's generation.

        Args:
            permit: the call's.
            outcome: how it ended.
            now: when.
            cause: the type of a failure's error.
            hold: seconds for which the dependency asked to be left alone.
        """
        if permit.settled:
            return
        permit.settled = True
        self._count(outcome)
        if self.state is not CLOSED:
            self.catch_up(now)
        slow_after = self.rules.slow_after
        slow = (
            slow_after is not None
            and outcome is not NEUTRAL
            and max(now - permit.began, permit.longest) > slow_after
        )
        self.slow += slow
        if permit.generation != self.generation:
            return
        if hold is not None:
            self._hold_until = now + min(hold, self.rules.backoff.most)
        if outcome is FAILURE:
            self.last_error = cause
        if permit.probe:
            self._probes = tuple(each for each in self._probes if each is not permit)
            self._settle_probe(outcome, now, slow=slow)
        elif outcome is SUCCESS and not slow:
            self.succeed(now)
        elif outcome is FAILURE or slow:
            self._count_against(outcome, now, slow=slow)

    def _count(self, outcome: Outcome) -> None:
        if outcome is SUCCESS:
            self.successes += 1
        elif outcome is FAILURE:
            self.failures += 1
        else:
            self.neutral += 1

    def refuse(self, permit: Permit) -> None:
        """Take back a permit with which no call was made: the caller was rejected after all."""
        permit.settled = True
        self._probes = tuple(each for each in self._probes if each is not permit)
        self.rejected += 1

    def succeed(self, now: float) -> None:
        """Count a quick success in the window; its lifetime counter is the caller's to grow."""
        self.failures_in_a_row = 0
        self.window.good(now)

    def catch_up(self, now: float) -> None:
        """Do what time alone has decided: a lost probe opens, a ramp-up that ran its time closes.

        A probe that never came back counts as failed when its lease ended, whether or not anybody
        called then: the circuit can't be wedged by it.
        """
        if self._probes:
            timeout = self.rules.probe_timeout
            ended = min(each.started for each in self._probes) + timeout
            if now >= ended:
                self.overdue += sum(each.started + timeout <= now for each in self._probes)
                self._open(
                    ended, Rule.PROBE_OVERDUE, f"a probe did not return within {timeout:g} s"
                )
        elif self.state is RECOVERING:
            ended = self.entered_at + self._ramp_up.over
            if now >= ended:
                self._close_same_generation(ended)

    # By hand, and by the fleet.

    def isolate(self, now: float, reason: str) -> None:
        """Reject all calls until `close`."""
        if self.state is CLOSED:
            self._left_closed_at = now
        self.opening = Opening(Rule.BY_HAND, reason, at=now)
        self._enter(ISOLATED, now)

    def close(self, now: float) -> None:
        """Let all calls through, remembering nothing of before."""
        self._forget_opening()
        self._enter(CLOSED, now)

    def set_mode(self, mode: Mode, now: float) -> None:
        """Begin anew in another mode; what was isolated by hand stays so."""
        if self.state is not ISOLATED:
            self.close(now)
        self.mode = mode

    def force_open(self, now: float, pause: float, reason: str, number: int) -> None:
        """Open because the fleet did, until it is time for a probe that the fleet must grant."""
        if self.state is ISOLATED or self.mode is DISABLED:
            return
        self.openings = number
        self._open_for(pause, self._evidence(now, Rule.FLEET, reason))

    def force_close(self, now: float) -> None:
        """Close because the fleet did, by the ramp-up if there is one."""
        if self.state in (OPEN, HALF_OPEN):
            self._recover(now)

    # What is decided.

    def _settle_probe(self, outcome: Outcome, now: float, *, slow: bool) -> None:
        if outcome is FAILURE:
            self._open(now, Rule.PROBE_FAILED, "a probe failed")
        elif slow:
            self._open(now, Rule.PROBE_SLOW, f"a probe took over {self.rules.slow_after:g} s")
        elif outcome is SUCCESS:
            self._probes_ok += 1
            if self._probes_ok >= self.rules.successes:
                self._recover(now)

    def _count_against(self, outcome: Outcome, now: float, *, slow: bool) -> None:
        failed = outcome is FAILURE
        if failed:
            self.failures_in_a_row += 1
        elif outcome is SUCCESS:
            self.failures_in_a_row = 0
        self.window.bad(now, failed=failed, slow=slow)
        if self.mode is not DISABLED:
            self._judge(now)

    def _judge(self, now: float) -> None:
        """Open if a rule says so. Only bad news is judged: a success never opens a circuit."""
        rules = self.rules
        most = rules.consecutive_failures
        if most is not None and self.failures_in_a_row >= most:
            reason = f"{self.failures_in_a_row} failures in a row"
            self._open(now, Rule.CONSECUTIVE_FAILURES, reason)
            return
        calls, failed, slow = self.window.counts(now)
        if calls < rules.minimum_calls:
            return
        # Divided, not multiplied: 0.7 * 10 is more than 7.
        if rules.failure_rate is not None and failed / calls >= rules.failure_rate:
            reason = f"{failed} of the last {calls} calls failed"
            self._open(now, Rule.FAILURE_RATE, reason)
        elif rules.slow_rate is not None and slow / calls >= rules.slow_rate:
            reason = f"{slow} of the last {calls} calls took over {rules.slow_after:g} s"
            self._open(now, Rule.SLOW_RATE, reason)

    def _open(self, now: float, rule: Rule, reason: str) -> None:
        self.openings += 1
        if self._hold_until > now:
            pause = self._hold_until - now
        else:
            pause = self.rules.backoff.pause(self.openings, self._draw(), self._pause)
        self._open_for(pause, self._evidence(now, rule, reason))

    def _open_for(self, pause: float, opening: Opening) -> None:
        if self.state is CLOSED:
            self._left_closed_at = opening.at
        self._pause = pause
        self.probe_at = opening.at + pause
        self.opening = opening
        self._enter(OPEN, opening.at, lasted=pause)

    def _evidence(self, now: float, rule: Rule, reason: str) -> Opening:
        return Opening(
            rule, reason, *self.window.counts(now), self.failures_in_a_row, self.last_error,
            self.openings, now,
        )  # fmt: skip

    def _recover(self, now: float) -> None:
        if self.rules.ramp_up is None:
            self.close(now)
        else:
            self._enter(RECOVERING, now)

    def _close_same_generation(self, at: float) -> None:
        """End the ramp-up: what it counted still counts."""
        self._forget_opening()
        self._note(CLOSED, at, at - self._left_closed_at)

    def _forget_opening(self) -> None:
        self.opening = None
        self.openings = 0
        self._pause = 0.0

    def _enter(self, state: State, at: float, lasted: float = 0.0) -> None:
        self.generation += 1
        self._clear()
        self._note(state, at, at - self._left_closed_at if state is CLOSED else lasted)

    def _note(self, state: State, at: float, lasted: float) -> None:
        if state is not self.state:
            opened = state in (OPEN, ISOLATED)
            opening = self.opening if opened else None
            by_hand = ISOLATED in (self.state, state)
            enforced = by_hand or self.mode is ENABLED
            change = Change(self.state, state, at, opening, lasted, enforced)
            self.changes = (*self.changes, change)
            if state is OPEN:
                self.opened += self.mode is ENABLED
                self.would_open += self.mode is SHADOW
        self.state = state
        self.entered_at = at

    # What can be asked.

    @property
    def visible(self) -> State:
        """The state as callers meet it: a circuit whose verdicts are not carried out is closed."""
        if self.mode is ENABLED or self.state is ISOLATED:
            return self.state
        return CLOSED

    @property
    def probes(self) -> int:
        """Probes that are out."""
        return len(self._probes)

    @property
    def _ramp_up(self) -> RampUp:
        assert self.rules.ramp_up is not None  # noqa: S101 - there is no recovering without one
        return self.rules.ramp_up

    def share(self, now: float) -> float:
        """Return the share of calls that a recovering circuit lets through."""
        return self._ramp_up.share(now - self.entered_at)

    def retry_after(self, now: float) -> float | None:
        """Return seconds until a call may be let through; None if nobody knows."""
        if self.state is OPEN:
            at = self.probe_at
        elif self._probes:
            at = min(each.started for each in self._probes) + self.rules.probe_timeout
        elif self.state is RECOVERING:
            at = self.entered_at + self._ramp_up.over
        else:
            return None
        return max(at - now, 0.0)
