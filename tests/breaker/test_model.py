"""The machine against a slow model that keeps everything that ever happened and counts it anew."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from mobius_infra.breaker import (
    Backoff,
    Calls,
    Mode,
    Outcome,
    Permit,
    RampUp,
    Rules,
    Seconds,
    State,
)
from mobius_infra.breaker._machine import Machine

RULES = [
    Rules(
        consecutive_failures=3, failure_rate=0.5, window=Calls(6), minimum_calls=4,
        backoff=Backoff(10.0, 40.0), permits=2, successes=2, probe_timeout=15.0,
    ),
    Rules(
        consecutive_failures=None, failure_rate=0.7, slow_rate=0.5, slow_after=2.0,
        window=Seconds(20.0, 5), minimum_calls=3, backoff=Backoff(5.0, 40.0),
        permits=1, successes=3, probe_timeout=10.0, ramp_up=RampUp(20.0, 0.2),
    ),
    Rules(
        consecutive_failures=2, failure_rate=None, slow_rate=1.0, slow_after=1.0,
        window=Calls(3), minimum_calls=2, backoff=Backoff(5.0, 5.0),
        permits=3, successes=1, probe_timeout=10.0, ramp_up=RampUp(6.0, 0.5),
    ),
]  # fmt: skip


@dataclass
class Call:
    """What the model knows of a call."""

    permit: Permit
    started: float
    probe: bool
    counts: bool  # in the present generation
    over: bool = False


@dataclass
class Ended:
    """A call that ended in the present generation."""

    at: float
    outcome: Outcome
    slow: bool


class Model(RuleBasedStateMachine):
    """Admissions and endings in any order: late, twice, never, across generations and modes."""

    calls: Bundle[Call] = Bundle("calls")

    @initialize(rules=st.sampled_from(RULES), mode=st.sampled_from(Mode))
    def begin(self, rules: Rules, mode: Mode) -> None:
        self.given, self.mode = rules, mode
        self.draw, self.now = 0.5, 0.0
        self.machine = Machine(rules, lambda: self.draw, mode)
        self.state = State.CLOSED
        self.entered = self.probe_at = 0.0
        self.openings = 0
        self.hold: float | None = None
        self.ended: list[Ended] = []
        self.every: list[Call] = []
        self.states: list[State] = []
        self.seen = dict.fromkeys(
            ("successes", "failures", "neutral", "slow", "overdue", "rejected", "would_reject",
             "opened", "would_open"), 0,
        )  # fmt: skip

    # What the model concludes from all that it kept.

    @property
    def out(self) -> list[Call]:
        return [each for each in self.every if each.counts and each.probe and not each.over]

    @property
    def window(self) -> list[Ended]:
        kept = self.given.window
        if isinstance(kept, Calls):
            return self.ended[-kept.calls :]
        width = kept.seconds / kept.buckets
        oldest = self.now // width - kept.buckets + 1
        return [each for each in self.ended if each.at // width >= oldest]

    @property
    def streak(self) -> int:
        length = 0
        for each in reversed(self.ended):
            if each.outcome is Outcome.SUCCESS:
                break
            length += each.outcome is Outcome.FAILURE
        return length

    def should_open(self) -> bool:
        rules, window = self.given, self.window
        if rules.consecutive_failures and self.streak >= rules.consecutive_failures:
            return True
        if len(window) < rules.minimum_calls:
            return False
        failed = sum(each.outcome is Outcome.FAILURE for each in window) / len(window)
        slow = sum(each.slow for each in window) / len(window)
        return (rules.failure_rate is not None and failed >= rules.failure_rate) or (
            rules.slow_rate is not None and slow >= rules.slow_rate
        )

    def become(self, state: State, at: float) -> None:
        if state is not self.state:
            self.states.append(state)
            if state is State.OPEN:
                self.seen["opened"] += self.mode is Mode.ENABLED
                self.seen["would_open"] += self.mode is Mode.SHADOW
        self.state, self.entered = state, at
        self.ended, self.hold = [], None
        for each in self.every:
            each.counts = False
        if state is State.CLOSED:
            self.openings = 0

    def open(self, at: float) -> None:
        self.openings += 1
        backoff = self.given.backoff
        pause = min(backoff.first * 2 ** (self.openings - 1), backoff.most) * (1 - self.draw)
        self.probe_at = self.hold if self.hold is not None and self.hold > at else at + pause
        self.become(State.OPEN, at)

    def recover(self) -> None:
        self.become(State.RECOVERING if self.given.ramp_up else State.CLOSED, self.now)

    def catch_up(self) -> None:
        timeout, ramp = self.given.probe_timeout, self.given.ramp_up
        lost = [each for each in self.out if each.started + timeout <= self.now]
        if lost:
            self.seen["overdue"] += len(lost)
            self.open(min(each.started for each in lost) + timeout)
        elif self.state is State.RECOVERING and ramp and self.entered + ramp.over <= self.now:
            self.state, self.entered = State.CLOSED, self.entered + ramp.over
            self.states.append(State.CLOSED)
            self.openings = 0

    # What happens.

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=calls, draw=st.sampled_from([0.0, 0.25, 0.625, 0.875]))
    def a_call_arrives(self, draw: float) -> "Call | MultipleResults[Call]":
        self.draw = draw
        self.catch_up()
        permit = self.machine.admit(self.now)
        if self.state is State.OPEN and self.now >= self.probe_at:
            self.become(State.HALF_OPEN, self.now)
        probe = False
        if self.state is State.CLOSED:
            right = True
        elif self.state is State.HALF_OPEN:
            right = probe = len(self.out) < self.given.permits
        elif self.state is State.RECOVERING and self.given.ramp_up:
            ramp = self.given.ramp_up
            grown = (self.now - self.entered) / ramp.over
            right = draw < ramp.start + (1 - ramp.start) * grown
        else:
            right = False
        if not right and (self.mode is not Mode.SHADOW or self.state is State.ISOLATED):
            assert permit is None
            self.seen["rejected"] += 1
            return multiple()
        assert permit is not None
        self.seen["would_reject"] += not right
        call = Call(permit, self.now, probe, counts=right)
        self.every.append(call)
        return call

    @rule(
        call=calls, outcome=st.sampled_from(Outcome), hold=st.sampled_from([None, 3.0, 100.0]),
        draw=st.sampled_from([0.0, 0.75]),
    )  # fmt: skip
    def a_call_ends(self, call: Call, outcome: Outcome, hold: float | None, draw: float) -> None:
        self.draw = draw
        self.machine.settle(call.permit, outcome, self.now, hold=hold)
        if not call.over:
            self.end(call, outcome, hold)

    def end(self, call: Call, outcome: Outcome, hold: float | None) -> None:
        self.catch_up()
        call.over = True
        after = self.given.slow_after
        took = self.now - call.started
        slow = after is not None and took > after and outcome is not Outcome.NEUTRAL
        counter = {Outcome.SUCCESS: "successes", Outcome.FAILURE: "failures"}
        self.seen[counter.get(outcome, "neutral")] += 1
        self.seen["slow"] += slow
        if not call.counts:
            return
        if hold is not None:
            self.hold = self.now + min(hold, self.given.backoff.most)
        bad = outcome is Outcome.FAILURE or slow
        if not bad and outcome is not Outcome.SUCCESS:
            return
        self.ended.append(Ended(self.now, outcome, slow))
        if call.probe and bad:
            self.open(self.now)
        elif call.probe and len(self.ended) == self.given.successes:
            self.recover()
        elif not call.probe and bad and self.mode is not Mode.DISABLED and self.should_open():
            self.open(self.now)

    @rule(times=st.integers(1, 8))
    def quick_successes(self, times: int) -> None:
        """As the decorator's short way does it, without a permit."""
        if self.machine.state is not State.CLOSED:
            return
        for _ in range(times):
            self.machine.successes += 1
            self.machine.succeed(self.now)
            self.seen["successes"] += 1
            self.ended.append(Ended(self.now, Outcome.SUCCESS, slow=False))

    @rule(call=calls)
    def a_probe_is_refused_by_the_fleet(self, call: Call) -> None:
        if not call.over:
            self.machine.refuse(call.permit)
            call.over = True
            self.seen["rejected"] += 1

    @rule()
    def isolate(self) -> None:
        self.machine.isolate(self.now, "by hand")
        self.become(State.ISOLATED, self.now)

    @rule()
    def reset(self) -> None:
        self.machine.close(self.now)
        self.become(State.CLOSED, self.now)

    @rule(mode=st.sampled_from(Mode))
    def the_mode_changes(self, mode: Mode) -> None:
        self.machine.set_mode(mode, self.now)
        if self.state is not State.ISOLATED:
            self.become(State.CLOSED, self.now)
        self.mode = mode

    @rule(pause=st.sampled_from([1.0, 30.0]), number=st.integers(1, 4))
    def the_fleet_opens(self, pause: float, number: int) -> None:
        self.machine.force_open(self.now, pause, "fleet", number)
        if self.state is not State.ISOLATED and self.mode is not Mode.DISABLED:
            self.openings, self.probe_at = number, self.now + pause
            self.become(State.OPEN, self.now)

    @rule()
    def the_fleet_closes(self) -> None:
        self.machine.force_close(self.now)
        if self.state in (State.OPEN, State.HALF_OPEN):
            self.recover()

    @invariant()
    def they_agree(self) -> None:
        machine, window = self.machine, self.window
        assert machine.state is self.state
        assert [change.after for change in machine.changes] == self.states
        assert {name: getattr(machine, name) for name in self.seen} == self.seen
        assert machine.openings == self.openings
        assert machine.probes == len(self.out) <= self.given.permits
        if self.state in (State.CLOSED, State.RECOVERING):
            assert machine.failures_in_a_row == self.streak
            failed = sum(each.outcome is Outcome.FAILURE for each in window)
            slow = sum(each.slow for each in window)
            assert machine.window.counts(self.now) == (len(window), failed, slow)
        if self.state is State.OPEN:
            assert machine.retry_after(self.now) == max(self.probe_at - self.now, 0.0)


TestModel = Model.TestCase
