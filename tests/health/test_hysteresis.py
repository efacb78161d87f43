"""The hysteresis and the flapping against slow models that keep everything and count it anew."""

from itertools import pairwise, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mobius_infra.core import ConfigurationError
from mobius_infra.health import Degraded, Flapping, Health, HealthMonitor
from mobius_infra.health._flapping import FlapDetector
from mobius_infra.health._hysteresis import Belief, Hysteresis
from tests.health.support import Dependency, listen, report_of, told

UP, DEGRADED, DOWN, UNKNOWN = Health.UP, Health.DEGRADED, Health.DOWN, Health.UNKNOWN
said = st.sampled_from([UP, DEGRADED, DOWN])

beliefs = st.builds(
    Belief,
    st.integers(1, 4),
    st.integers(1, 4),
    st.none() | st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))),
)


class Model(RuleBasedStateMachine):
    """Runs and forgettings in any order."""

    @initialize(belief=beliefs)
    def begin(self, belief: Belief) -> None:
        self.belief, self.real = belief, Hysteresis(belief)
        self.history: list[Health] = []
        self.state = UNKNOWN

    def in_a_row(self, *wanted: Health) -> int:
        return len(list(takewhile(lambda each: each in wanted, reversed(self.history))))

    def enough(self, *worse: Health) -> bool:
        if self.history[-1] not in worse:
            return False
        if self.in_a_row(*worse) >= self.belief.failures:
            return True
        if self.belief.failures_of is None:
            return False
        m, n = self.belief.failures_of
        return sum(each in worse for each in self.history[-n:]) >= m

    @rule(said=said)
    def a_run(self, said: Health) -> None:
        self.history.append(said)
        self.real.record(said)
        before, needed = self.state, self.belief.successes
        if self.enough(DOWN):
            self.state = DOWN
        elif before is UNKNOWN:
            self.state = UNKNOWN if said is DOWN else said
        elif before is UP and self.enough(DOWN, DEGRADED):
            self.state = DEGRADED
        elif before is not UP and self.in_a_row(UP) >= needed:
            self.state = UP
        elif before is DOWN and self.in_a_row(UP, DEGRADED) >= needed:
            self.state = DEGRADED

    @rule()
    def it_is_too_old(self) -> None:
        self.real.forget()
        self.history, self.state = [], UNKNOWN

    @invariant()
    def they_agree(self) -> None:
        assert self.real.state is self.state


TestModel = Model.TestCase


def states_of(belief: Belief, runs: str) -> str:
    """Run by letters (u, d, x for up, degraded, down); give the states by letters."""
    letters = {UP: "u", DEGRADED: "d", DOWN: "x", UNKNOWN: "?"}
    words = {letter: state for state, letter in letters.items()}
    hysteresis, seen = Hysteresis(belief), []
    for each in runs:
        hysteresis.record(words[each])
        seen.append(letters[hysteresis.state])
    return "".join(seen)


@pytest.mark.parametrize(
    ("belief", "runs", "states"),
    [
        (Belief(), "uxuxd", "uxuxx"[:4] + "d"),
        (Belief(3, 2), "uxxuxxxuxuu", "uuuuuuxxxxu"),
        (Belief(3), "xxxu", "??xu"),
        (Belief(3), "uxdxu", "uuudu"),  # not up three times, but not down three times
        (Belief(2, 2), "uxxdd", "uuxxd"),
        (Belief(3, 2, (3, 5)), "uxuxuxuxuu", "uuuuuxxxxu"),  # alternation: never 3 in a row
        (Belief(3, 2), "uxuxuxuxux", "uuuuuuuuuu"),  # which counting in a row alone never sees
    ],
)
def test_histories(belief: Belief, runs: str, states: str) -> None:
    assert states_of(belief, runs) == states


@given(belief=beliefs, runs=st.lists(said, max_size=40))
def test_a_good_run_never_makes_it_worse_nor_a_bad_one_better(
    belief: Belief, runs: list[Health]
) -> None:
    hysteresis, order = Hysteresis(belief), [UP, DEGRADED, DOWN]
    for each in runs:
        before = hysteresis.state
        hysteresis.record(each)
        after = hysteresis.state
        if before is not UNKNOWN and after is not before:
            assert (order.index(after) > order.index(before)) == (
                order.index(each) > order.index(before)
            )


async def test_flapping_inside_the_hysteresis_tells_of_no_change(monitor: HealthMonitor) -> None:
    dependency, heard = Dependency(), listen(monitor)
    monitor.check("db", failures=3, flapping=None)(dependency.check)
    for number in range(100):
        dependency.answer = number % 3 == 0
        await monitor.run("db")
    assert heard == []


async def test_alternation_is_caught_by_m_of_n(monitor: HealthMonitor) -> None:
    dependency, heard = Dependency(), listen(monitor)
    monitor.check("db", failures=3, successes=2, failures_of=(3, 6), flapping=None)(
        dependency.check
    )
    for number in range(100):
        dependency.answer = number % 2 == 0
        await monitor.run("db")
    assert told(heard) == ["CheckFailed db"]


async def test_degraded_is_a_state_of_its_own_and_told_of(monitor: HealthMonitor) -> None:
    dependency, heard = Dependency(), listen(monitor)
    monitor.check("db")(dependency.check)
    for answer in (True, Degraded("slow"), False, Degraded("slow"), True):
        dependency.answer = answer
        await monitor.run("db")
    assert told(heard) == [
        "CheckDegraded db", "CheckFailed db", "CheckDegraded db", "CheckRecovered db",
    ]  # fmt: skip


# Flapping.


@given(rules=st.builds(Flapping, st.integers(1, 8)), runs=st.lists(said, max_size=60))
def test_flapping_is_the_share_of_changes_between_two_thresholds(
    rules: Flapping, runs: list[Health]
) -> None:
    detector, flapping = FlapDetector(rules), False
    for number in range(1, len(runs) + 1):
        turned = detector.record(runs[number - 1])
        changes = [a is not b for a, b in pairwise(runs[:number])]
        share = sum(changes[-rules.window :]) / rules.window
        before = flapping
        flapping = share >= (rules.stop if flapping else rules.start)
        assert (detector.share, detector.flapping) == (share, flapping)
        assert turned is (flapping is not before)


async def test_flapping_is_told_once_at_each_end_and_marks_what_is_told_meanwhile(
    monitor: HealthMonitor,
) -> None:
    dependency, heard = Dependency(), listen(monitor)
    monitor.check("db", flapping=Flapping(10, 0.5, 0.2))(dependency.check)
    for number in range(10):
        dependency.answer = number % 2 == 0
        await monitor.run("db")
    assert report_of(monitor, "db").flapping
    assert monitor.stats().flapping == 1
    dependency.answer = True
    for _ in range(12):
        await monitor.run("db")
    assert not report_of(monitor, "db").flapping
    names = told(heard)
    assert (names.count("CheckFlapping db"), names.count("CheckSettled db")) == (1, 1)
    begun = names.index("CheckFlapping db")
    assert {getattr(each, "flapping", None) for each in heard[begun + 1 : -1]} == {True}


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("window", {"window": 0}), ("start", {"start": 1.1}), ("stop", {"stop": 0.0}),
        ("stop", {"stop": 0.6}), ("start", {"start": float("nan")}),
    ],
)  # fmt: skip
def test_flapping_out_of_range_is_refused(field: str, options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Flapping(**options)  # type: ignore[arg-type]  # what is tested
    assert caught.value.field == field


def test_a_success_is_not_counted_as_one_more_of_the_failures_before_it() -> None:
    state = Hysteresis(Belief(failures=10, failures_of=(2, 4)))
    said = []
    for run in (Health.UP, Health.DOWN, Health.UP, Health.DOWN, Health.UP):
        state.record(run)
        said.append(state.state)
    assert said == ["up", "up", "up", "down", "up"]


def test_what_was_forgotten_counts_no_more() -> None:
    state = Hysteresis(Belief(failures=2))
    state.record(Health.DOWN)
    state.forget()
    state.record(Health.DOWN)
    assert state.state is Health.UNKNOWN
