"""Buckets against an exact model, what is usual, and how risk decays."""

import math
from fractions import Fraction
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.security import (
    Baseline,
    Grades,
    Scenario,
    burst_after_silence,
    impossible_switching,
)
from mobius_infra.security._baseline import Usual, bin_of, note, value_of, weighted_median
from mobius_infra.security._risk import answer_to, decayed
from mobius_infra.security._scenario import Drops, cut, distance, pour

# Sixteenths of seconds and a leak of a power of two: floats are exact, as the model is.
gaps = st.one_of(st.integers(0, 64), st.integers(0, 10_000)).map(lambda n: n / 16)
abouts = st.sampled_from([None, "a", "b", "c", "d", "e"])


class Model:
    """The drops in the bucket, each by itself; the first one leaks from when it came or rose."""

    def __init__(self, capacity: int, leak: int, distinct: bool) -> None:
        self.capacity, self.leak, self.distinct = capacity, leak, distinct
        self.level, self.at = Fraction(0), Fraction(0)
        self.held: list[str | None] = []

    def pour(self, now: float, about: str | None) -> bool:
        self.level = max(self.level - (Fraction(now) - self.at) / self.leak, Fraction(0))
        self.at = Fraction(now)
        self.held = self.held[len(self.held) - math.ceil(self.level) :]
        if self.distinct and (about is None or about in self.held):
            return False
        self.level += 1
        self.held.append(about)
        if self.level <= self.capacity:
            return False
        self.level, self.held = Fraction(0), []
        return True


@given(
    st.integers(0, 6),
    st.sampled_from([1, 4, 32]),
    st.booleans(),
    st.lists(st.tuples(gaps, abouts), max_size=60),
)
@settings(max_examples=100, deadline=None)
def test_a_bucket_overflows_exactly_when_the_model_says(
    capacity: int, leak: int, distinct: bool, done: list[tuple[float, str | None]]
) -> None:
    scenario = Scenario("s", capacity=capacity, leak=leak, distinct=distinct)
    drops, model, now = Drops(), Model(capacity, leak, distinct), 0.0
    for gap, about in done:
        now += gap
        held = [*model.held, about]
        seen = pour(drops, now, scenario, about, None)
        overflowed = model.pour(now, about)
        assert (seen is not None) is overflowed
        assert drops.level == model.level
        if seen and distinct:
            assert list(seen) == held[len(held) - len(seen) :]
        assert len(drops.seen) <= max(capacity, 1)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), abouts), max_size=60), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_clock_that_jumps_breaks_no_bucket(
    done: list[tuple[float, str | None]], distinct: bool
) -> None:
    """Backwards is as if no time had passed; the level is never negative nor beyond the brim."""
    scenario = Scenario("s", capacity=3, leak=10, distinct=distinct)
    drops = Drops()
    for now, about in done:
        pour(drops, now, scenario, about, None)
        assert 0 <= drops.level <= 3
        assert len(drops.seen) <= 3


def test_the_same_payload_again_and_again_is_one() -> None:
    scenario = Scenario("s", capacity=2, leak=60, distinct=True)
    drops = Drops()
    assert [pour(drops, 0, scenario, "a", None) for _ in range(50)] == [None] * 50
    assert pour(drops, 0, scenario, "b", None) is None
    assert pour(drops, 0, scenario, "c", None) == ("a", "b", "c")


def test_long_payloads_are_told_apart_and_kept_short() -> None:
    one, other = "x" * 10_000, "x" * 9_999 + "y"
    assert cut(one) != cut(other)
    assert len(cut(one)) == 64
    assert len(cut("\ud800" * 100)) == 64


def test_a_burst_counts_only_after_a_silence() -> None:
    scenario = burst_after_silence(3, 1, silence=1000)
    drops = Drops()
    busy = [pour(drops, n / 10, scenario, None, None) for n in range(100)]
    assert busy == [None] * 100  # a newcomer who is quick is no burst after silence
    woken = [pour(drops, 1010.0, scenario, None, None) for _ in range(4)]
    assert woken == [None, None, None, ()]
    assert pour(drops, 1010.0, scenario, None, None) is None


def test_who_wakes_up_slowly_is_let_be() -> None:
    scenario = burst_after_silence(3, 1, silence=1000)
    drops = Drops()
    pour(drops, 0, scenario, None, None)
    for n in range(5):
        assert pour(drops, 2000 + 2 * n, scenario, None, None) is None
    for _ in range(20):  # the silence is over: what comes now is ordinary
        assert pour(drops, 2009, scenario, None, None) is None


def test_switching_counts_changes_of_place() -> None:
    scenario = impossible_switching(2, 600)
    drops = Drops()
    places = ["DE", "DE", "BR", None, "BR", "DE"]
    assert [pour(drops, 0, scenario, None, place) for place in places] == [None] * 6
    assert pour(drops, 1, scenario, None, "BR") == ("DE to BR", "BR to DE", "DE to BR")


def test_a_journey_is_no_switch() -> None:
    scenario = impossible_switching(0, 600)
    drops = Drops()
    berlin, paris, tokyo = (52.5, 13.4), (48.9, 2.4), (35.7, 139.7)
    assert 870 < distance(berlin, paris) < 890
    assert pour(drops, 0, scenario, None, berlin) is None
    assert pour(drops, 3600, scenario, None, paris) is None  # 880 km in an hour
    assert pour(drops, 7200, scenario, None, tokyo) == ("48.9,2.4 to 35.7,139.7",)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0.01, 10)), min_size=1, max_size=40))
def test_the_median_has_at_most_half_of_the_weight_on_either_side(
    values: list[tuple[float, float]],
) -> None:
    found = weighted_median(values)
    half = sum(weight for _, weight in values) / 2 + 1e-6
    assert sum(weight for value, weight in values if value < found) <= half
    assert sum(weight for value, weight in values if value > found) <= half


@given(st.integers(0, 1_000_000))
def test_a_bin_is_within_a_tenth_of_its_counts(count: int) -> None:
    assert abs(value_of(bin_of(count)) - count) <= 0.1 * count
    assert bin_of(count) < 80


def run(usual: Usual, baseline: Baseline, counts: list[int], first: int = 0) -> list[int]:
    """Return in which periods too much was done."""
    return [
        period
        for period, count in enumerate(counts)
        if [said for _ in range(count) if (said := note(usual, (first + period) * 60, baseline))]
    ]


@given(st.lists(st.integers(1, 200), min_size=20, max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_limit_is_that_of_the_same_figures_computed_plainly(counts: list[int]) -> None:
    """With nothing faded and nothing clipped, but for the histogram's tenth."""
    baseline = Baseline(fade=1.0, learn=len(counts), score=6)
    usual = Usual()
    run(usual, baseline, counts)
    note(usual, len(counts) * 60.0, baseline)
    binned = [value_of(bin_of(min(each, math.inf))) for each in counts]
    middle = sorted(binned)[(len(binned) - 1) // 2]
    spread = sorted(abs(each - middle) for each in binned)[(len(binned) - 1) // 2]
    assert usual.median == middle
    assert math.isclose(usual.limit, middle + 6 * max(1.4826 * spread, 0.1 * middle, 1))
    assert 0.85 * median(counts) <= max(usual.median, median(counts) * 0.85)


def test_nothing_is_unusual_before_enough_is_known() -> None:
    assert run(Usual(), Baseline(learn=20), [5] * 19 + [100_000]) == []


def test_what_is_far_above_the_usual_is_found_once_a_period() -> None:
    usual, baseline = Usual(), Baseline()
    assert run(usual, baseline, [4, 5, 6] * 10 + [60]) == [30]
    told = [note(usual, 31 * 60.0, baseline) for _ in range(200)]
    assert sum(each is not None for each in told) == 1


def test_a_flood_does_not_teach_itself() -> None:
    """No more than the limit is learned of it, so that it stays one for long."""
    usual, baseline = Usual(), Baseline()
    run(usual, baseline, [4, 5, 6] * 10)
    assert run(usual, baseline, [2_000] * 25, first=30) == list(range(25))
    assert usual.limit < 200


def test_what_is_never_too_much_is_learned_whole() -> None:
    """Who comes to do more, though fewer than `least`, has another usual soon."""
    usual, baseline = Usual(), Baseline()
    assert run(usual, baseline, [1] * 25 + [15] * 21) == []
    assert usual.median == value_of(bin_of(15))


def test_a_histogram_is_bounded() -> None:
    usual, baseline = Usual(), Baseline(fade=0.9)
    for period in range(2000):
        usual.count = period * 37 % 5000
        note(usual, period * 60.0, baseline)
    assert len(usual.weights) <= 80


def test_time_that_goes_back_teaches_nothing() -> None:
    usual, baseline = Usual(), Baseline()
    run(usual, baseline, [5] * 25)
    periods = usual.periods
    note(usual, 0.0, baseline)
    assert usual.periods == periods


@given(st.floats(0, 1e4), st.floats(0, 1e6), st.floats(0, 1e6))
def test_risk_only_falls_and_two_steps_are_as_one(risk: float, first: float, then: float) -> None:
    once = decayed(risk, first + then, 3600)
    assert math.isclose(once, decayed(decayed(risk, first, 3600), then, 3600), abs_tol=1e-9)
    assert once <= risk
    assert decayed(risk, -first, 3600) == risk


def test_grades_are_reached_from_their_figure_on() -> None:
    grades = Grades()
    answers = [answer_to(risk, grades) for risk in (0, 39, 40, 69.9, 70, 99, 100, 1e9)]
    assert answers == [
        "observe", "observe", "throttle", "throttle", "step_up", "step_up", "block", "block",
    ]  # fmt: skip
    never = Grades(throttle=math.inf, step_up=math.inf, block=10)
    assert [answer_to(risk, never) for risk in (9, 10)] == ["observe", "block"]


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        (Scenario, {"name": ""}, "name"),
        (Scenario, {"on": "login"}, "on"),
        (Scenario, {"by": "session"}, "by"),
        (Scenario, {"capacity": -1}, "capacity"),
        (Scenario, {"capacity": math.nan}, "capacity"),
        (Scenario, {"capacity": True}, "capacity"),
        (Scenario, {"capacity": 5000, "distinct": True}, "capacity"),
        (Scenario, {"leak": 0}, "leak"),
        (Scenario, {"leak": math.inf}, "leak"),
        (Scenario, {"silence": 0}, "silence"),
        (Scenario, {"risk": math.nan}, "risk"),
        (Baseline, {"score": 0}, "score"),
        (Baseline, {"learn": 1}, "learn"),
        (Baseline, {"fade": 1.1}, "fade"),
        (Baseline, {"fade": math.nan}, "fade"),
        (Baseline, {"period": -1}, "period"),
        (Grades, {"throttle": 0}, "throttle"),
        (Grades, {"step_up": 40}, "step_up"),
        (Grades, {"block": math.nan}, "block"),
        (Grades, {"half_life": 0}, "half_life"),
    ],
)
def test_what_could_not_work_is_refused(kind: Any, options: dict[str, Any], field: str) -> None:
    if kind is Scenario:
        options = {"name": "s", **options}
    with pytest.raises(ConfigurationError) as told:
        kind(**options)
    assert told.value.field == field
