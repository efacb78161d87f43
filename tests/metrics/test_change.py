"""Changes of level are found where they are, and seldom where there are none."""

import math
import random
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import ChangePoint, Cusum, NotEnoughData, Point, change_points
from tests.metrics.series import NILE, noise, timed


def found(points: list[Point], *, autocorrelated: bool = True) -> list[ChangePoint]:
    answer = change_points(points, autocorrelated=autocorrelated)
    assert isinstance(answer, list)
    return answer


def step(values: list[float], at: int, by: float) -> list[Point]:
    return timed([value + by * (index >= at) for index, value in enumerate(values)])


def test_the_nile_changed_once_when_the_dam_of_1899_was_begun() -> None:
    """Cobb (1978) puts the change after 1898. Pettitt's statistic is 1,617: numpy, by hand."""
    levels = (median(NILE[:28]), median(NILE[28:]))
    years = [(1871.0 + at, float(flow)) for at, flow in enumerate(NILE)]
    [change] = found(years, autocorrelated=False)
    assert (change.at, change.before, change.after) == (1899, *levels)
    assert change.p == pytest.approx(3.5910221769362927e-07, rel=1e-9)
    [change] = found(years)
    assert (change.at, change.before, change.after) == (1899, *levels)


def test_several_changes_are_found_in_order_of_time() -> None:
    chance = random.Random(1)
    levels = [0.0] * 60 + [5.0] * 40 + [-3.0] * 80
    points = timed([level + chance.gauss(0, 1) for level in levels], step=10.0)
    changes = found(points)
    assert [each.at for each in changes] == [600, 1000]
    assert [each.after for each in changes] == pytest.approx([5, -3], abs=0.5)
    chance.shuffle(points)
    assert found(points) == changes


@pytest.mark.parametrize("size", [20, 60, 200])
def test_independent_noise_seldom_changes(size: int) -> None:
    """1 % by the promise; the standard error of 400 series is 0.5 %."""
    assert sum(bool(found(timed(each))) for each in noise(400, size)) <= 0.02 * 400


@pytest.mark.parametrize(("resemblance", "plain", "most"), [(0.5, 0.08, 0.03), (0.8, 0.3, 0.06)])
def test_the_correction_keeps_false_alarms_of_wandering_noise_low(
    resemblance: float, plain: float, most: float
) -> None:
    series = [timed(each) for each in noise(300, 100, resemblance)]
    assert sum(bool(found(each, autocorrelated=False)) for each in series) > plain * 300
    assert sum(bool(found(each)) for each in series) < most * 300


def test_a_step_is_found_near_where_it_is() -> None:
    for resemblance, by, least in ((0.0, 2.0, 95), (0.5, 3.0, 80)):
        near = 0
        for each in noise(100, 80, resemblance):
            near += any(abs(change.at - 50) <= 4 for change in found(step(each, 50, by)))
        assert near >= least


def test_an_outlier_is_no_change() -> None:
    for each in noise(20, 60):
        each[30:33] = [1e9, 1e9, 1e9]
        assert not found(timed(each))


@pytest.mark.parametrize("size", [0, 1, 2, 19])
def test_fewer_than_twenty_points_are_not_enough(size: int) -> None:
    assert change_points(timed([1.0] * size)) == NotEnoughData(size, 20)


def test_a_constant_series_never_changed_and_a_clean_step_did() -> None:
    assert found(timed([0.1] * 100)) == []
    [change] = found(timed([0.1] * 30 + [0.3] * 30))
    assert (change.at, change.before, change.after) == (30, 0.1, 0.3)


def test_the_order_of_the_points_does_not_matter() -> None:
    points = timed(NILE)
    assert found(random.Random(1).sample(points, len(points))) == found(points)


def test_gaps_and_times_in_the_future_shift_nothing() -> None:
    [change] = found([*timed([0.0] * 30), *((1e9 + at, 1.0) for at in range(30))])
    assert change.at == 1e9


def test_a_long_series_is_thinned() -> None:
    chance = random.Random(2)
    points = timed([chance.gauss(0, 1) + (at >= 7_000) for at in range(10_000)])
    [change] = found(points)
    assert change.at == pytest.approx(7_000, abs=50)


@given(
    st.lists(st.tuples(st.floats(), st.floats() | st.sampled_from([0.0, 1.0])), max_size=60),
    st.booleans(),
)
def test_nothing_raises(points: list[Point], autocorrelated: bool) -> None:
    changes = change_points(points, autocorrelated=autocorrelated)
    assert isinstance(changes, NotEnoughData) or all(0 <= each.p < 0.01 for each in changes)


@pytest.mark.parametrize("significance", [0.0, 1.0, math.nan])
def test_a_significance_that_is_no_chance_is_refused(significance: float) -> None:
    with pytest.raises(ConfigurationError, match="significance"):
        change_points([], significance=significance)


# NIST/SEMATECH e-Handbook of Statistical Methods, section 6.3.2.3: the data, the sums above and
# below, to two decimals, for a target of 325, k = 0.3175 and h = 4.1959.
NIST = [
    (324.925, 0.00, 0.00), (324.675, 0.00, 0.01), (324.725, 0.00, 0.00), (324.350, 0.00, 0.33),
    (325.350, 0.03, 0.00), (325.225, 0.00, 0.00), (324.125, 0.00, 0.56), (324.525, 0.00, 0.72),
    (325.225, 0.00, 0.17), (324.600, 0.00, 0.25), (324.625, 0.00, 0.31), (325.150, 0.00, 0.00),
    (328.325, 3.01, 0.00), (327.250, 4.94, 0.00), (327.825, 7.45, 0.00), (328.500, 10.63, 0.00),
    (326.675, 11.99, 0.00), (327.775, 14.44, 0.00), (326.875, 16.00, 0.00), (328.350, 19.04, 0.00),
]  # fmt: skip


def test_the_sums_are_those_of_the_handbook() -> None:
    watch = Cusum(325, 1, slack=0.3175, threshold=4.1959)
    said = []
    for value, up, down in NIST:
        said.append(watch.add(value))
        assert watch.up == pytest.approx(up, abs=0.0051)
        assert watch.down == pytest.approx(down, abs=0.0051)
    assert said == ["none"] * 13 + ["up"] * 7


def run_length(shift: float, threshold: float, chance: random.Random) -> int:
    watch, run = Cusum(10, 2, threshold=threshold), 1
    while watch.add(10 + 2 * chance.gauss(shift, 1)) == "none":
        run += 1
    return run


# Montgomery, "Introduction to Statistical Quality Control", table 9.3, for k = 1/2.
@pytest.mark.parametrize(
    ("shift", "threshold", "published"),
    [(0, 4, 168), (0, 5, 465), (0.5, 5, 38.0), (1, 4, 8.38), (1, 5, 10.4), (2, 5, 4.01),
     (-1, 5, 10.4)],
)  # fmt: skip
def test_false_alarms_and_delays_are_the_published_ones(
    shift: float, threshold: float, published: float
) -> None:
    """Run lengths vary by as much as their mean: the standard error of 400 is 5 %."""
    chance = random.Random(7)
    mean = fmean(run_length(shift, threshold, chance) for _ in range(400))
    assert mean == pytest.approx(published, rel=0.15)


def test_it_begins_anew_at_a_new_level() -> None:
    watch = Cusum(0, 1)
    for _ in range(10):
        watch.add(-2)
    assert watch.shift == "down"
    watch.reset(target=-2)
    assert [watch.add(-2) for _ in range(100)] == ["none"] * 100


def test_learnt_from_noise_it_behaves_as_if_it_knew() -> None:
    """Shifts are noticed, and noise is quiet for as long as it is with known parameters."""
    chance, delays, runs = random.Random(3), [], []
    for _ in range(100):
        learnt = Cusum.learn([chance.gauss(5, 2) for _ in range(500)])
        assert isinstance(learnt, Cusum)
        runs.append(0)
        while learnt.add(chance.gauss(5, 2)) == "none" and runs[-1] < 1000:
            runs[-1] += 1
        learnt.reset()
        delays.append(1)
        while learnt.add(chance.gauss(9, 2)) == "none":
            delays[-1] += 1
    assert fmean(delays) < 6
    assert fmean(runs) > 250


def test_learnt_from_equal_values_any_departure_is_a_shift() -> None:
    for level in (0.0, 0.1, -1e140):
        watch = Cusum.learn([level] * 20)
        assert isinstance(watch, Cusum)
        assert watch.add(level) == "none"
        assert watch.add(level + max(abs(level) / 100, 1e-9)) == "up"


def test_too_few_values_teach_nothing() -> None:
    assert Cusum.learn([1.0] * 19 + [math.nan] * 10) == NotEnoughData(19, 20)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e141, 10**400])
def test_what_is_no_number_is_counted_and_changes_nothing_else(value: float) -> None:
    watch = Cusum(0, 1)
    watch.add(2)
    assert watch.add(value) == "none"
    assert (watch.up, watch.down, watch.refused) == (1.5, 0, 1)


@given(st.lists(st.floats(), max_size=30), st.floats(1e-140, 1e140))
def test_a_watch_never_raises(values: list[float], deviation: float) -> None:
    watch = Cusum(0, deviation)
    for value in values:
        assert watch.add(value) in ("none", "up", "down")
        assert not math.isnan(watch.up + watch.down)


@pytest.mark.parametrize(
    ("field", "value"),
    [("target", math.nan), ("target", math.inf), ("deviation", 0), ("deviation", math.nan),
     ("deviation", -1), ("slack", -0.1), ("slack", math.nan), ("threshold", 0),
     ("threshold", math.inf)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Cusum(**{"target": 0.0, "deviation": 1.0, field: value})
    with pytest.raises(ConfigurationError, match="target"):
        Cusum(0, 1).reset(math.nan)


def test_it_says_what_it_watches() -> None:
    assert repr(Cusum(0.2, 0.05)) == "Cusum(target=0.2, deviation=0.05, shift='none')"
