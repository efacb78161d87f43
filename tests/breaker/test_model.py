"""The machine against a slow model that keeps everything that ever happened and counts it anew."""

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from mobius_infra.breaker._machine import Machine, Outcome, Permit, Rules, State

RULES = Rules(
    consecutive_failures=3,
    failure_rate=0.5,
    window=6,
    minimum_calls=4,
    open_for=10.0,
    open_for_max=40.0,
    permits=2,
    successes=2,
    probe_timeout=15.0,
)


class Model(RuleBasedStateMachine):
    """Admissions and endings in any order: late, twice, never, across generations."""

    permits: Bundle[Permit] = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine(RULES)
        self.now = 0.0
        self.state = State.CLOSED
        self.history: list[bool] = []  # of the present closed generation: did it fail?
        self.alive: dict[int, Permit] = {}  # not settled, of the present generation
        self.probes_ok = 0
        self.openings = 0
        self.probe_at = 0.0

    def become(self, state: State) -> None:
        self.state = state
        self.history, self.probes_ok = [], 0
        self.alive = {}
        if state is State.OPEN:
            self.openings += 1
            self.probe_at = self.now + min(10.0 * 2 ** (self.openings - 1), 40.0)
        elif state is State.CLOSED:
            self.openings = 0

    def should_open(self) -> bool:
        last, window = self.history[-3:], self.history[-6:]
        rate = len(window) >= 4 and sum(window) / len(window) >= 0.5
        return (len(last) == 3 and all(last)) or rate

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 10.0, 20.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def a_call_arrives(self) -> "Permit | MultipleResults[Permit]":
        if self.state is State.HALF_OPEN and any(
            self.now - permit.started >= 15.0 for permit in self.alive.values()
        ):
            assert self.machine.overdue(self.now)
            self.machine.give_up_probes(self.now, 1.0)
            self.become(State.OPEN)
        else:
            assert not self.machine.overdue(self.now)
        permit = self.machine.admit(self.now)
        if self.state is State.OPEN and self.now >= self.probe_at:
            self.become(State.HALF_OPEN)
        room = self.state is State.HALF_OPEN and len(self.alive) < 2
        assert (permit is not None) == (self.state is State.CLOSED or room)
        if permit is None:
            return multiple()
        self.alive[id(permit)] = permit
        return permit

    @rule(permit=permits, outcome=st.sampled_from(Outcome))
    def a_call_ends(self, permit: Permit, outcome: Outcome) -> None:
        self.end(permit, outcome)

    @rule(permit=consumes(permits), outcome=st.sampled_from(Outcome))
    def a_call_ends_for_good(self, permit: Permit, outcome: Outcome) -> None:
        self.end(permit, outcome)

    def end(self, permit: Permit, outcome: Outcome) -> None:
        self.machine.settle(permit, outcome, self.now, 1.0)
        if self.alive.pop(id(permit), None) is not permit or outcome is Outcome.NEUTRAL:
            return
        failed = outcome is Outcome.FAILURE
        if self.state is State.CLOSED:
            self.history.append(failed)
            if failed and self.should_open():
                self.become(State.OPEN)
        elif failed:
            self.become(State.OPEN)
        else:
            self.probes_ok += 1
            if self.probes_ok == 2:
                self.become(State.CLOSED)

    @rule()
    def isolate(self) -> None:
        self.machine.isolate(self.now)
        self.become(State.ISOLATED)

    @rule()
    def reset(self) -> None:
        self.machine.close()
        self.become(State.CLOSED)

    @invariant()
    def they_agree(self) -> None:
        assert self.machine.state is self.state
        assert self.machine.window == (sum(self.history[-6:]), len(self.history[-6:]))
        assert self.machine.probes == (len(self.alive) if self.state is State.HALF_OPEN else 0)
        if self.state is State.OPEN:
            assert self.machine.retry_after(self.now) == max(self.probe_at - self.now, 0.0)


TestModel = Model.TestCase
