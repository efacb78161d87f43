"""Trends agree with published references, and are seldom found where there are none."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import NotEnoughData, Point, TimeLeft, Trend, time_left, trend
from mobius_infra.metrics._series import in_order, lag_one, ranks, thinned
from mobius_infra.metrics._trend import p_value, score_variance
from tests.metrics.series import NILE, noise, timed

# Every reference: SciPy 1.17.1's theilslopes(method="joint"), and pymannkendall 1.4.3's
# original_test, run by hand.
TIED = [23, 24, 29, 6, 29, 24, 5, 29, 24, 23, 25, 29, 30, 31, 29, 28, 31, 34]
UNEVEN = [
    (19.87, 0.34), (27.37, -0.16), (40.38, 1.04), (45.68, 0.08), (45.98, 1.4), (50.32, 1.47),
    (56.74, 1.4), (57.89, 0.69), (58.47, 1.36), (68.48, 0.96), (79.38, 1.03), (91.03, 2.96),
    (93.31, 1.69), (115.13, 4.62), (129.45, 4.6), (149.59, 2.49), (154.77, 4.92), (155.6, 3.57),
    (159.98, 4.83), (165.67, 5.01), (186.89, 3.62), (187.33, 5.39), (188.62, 5.4), (197.26, 6.88),
    (200.81, 4.84),
]  # fmt: skip


def found(points: list[Point], *, autocorrelated: bool = True, significance: float = 0.05) -> Trend:
    answer = trend(points, autocorrelated=autocorrelated, significance=significance)
    assert isinstance(answer, Trend)
    return answer


def line(size: int, slope: float = 1.0, level: float = 0.0) -> list[Point]:
    return timed([level + slope * at for at in range(size)])


@pytest.mark.parametrize(
    ("points", "significance", "slope", "low", "high", "intercept", "p"),
    [
        (timed(NILE), 0.05, -2.6, -3.627906976744186, -1.4285714285714286, 1025.7,
         3.658262921657496e-05),
        (timed(TIED), 0.05, 0.5454545454545454, 0.125, 1.0, 22.636363636363637,
         0.004946991726414218),
        (UNEVEN, 0.10, 0.030171329715802317, 0.02409078225281369, 0.036310259579728055,
         -0.2909162109946326, 3.528655343476572e-07),
    ],
    ids=["nile", "ties", "uneven times"],
)  # fmt: skip
def test_slope_interval_and_significance_are_those_of_the_references(
    points: list[Point],
    significance: float,
    slope: float,
    low: float,
    high: float,
    intercept: float,
    p: float,
) -> None:
    got = found(points, autocorrelated=False, significance=significance)
    assert (got.slope, got.low, got.high) == pytest.approx((slope, low, high))
    assert got.value(0) == pytest.approx(intercept)
    assert got.p == pytest.approx(p, rel=1e-9)
    assert got.inflation == 1


def test_the_correction_for_autocorrelation_is_that_of_the_formula() -> None:
    """The reference: numpy and SciPy's rankdata, by hand."""
    got = found(timed(NILE))
    assert got.inflation == pytest.approx(2.290166585397305, rel=1e-9)
    assert got.p == pytest.approx(0.006375749299324755, rel=1e-9)
    assert got.direction == "falling"


@pytest.mark.parametrize("size", [12, 40, 100])
def test_independent_noise_seldom_has_a_trend(size: int) -> None:
    """5 % by the promise; the standard error of 400 series is 1.1 %."""
    alarms = sum(found(timed(each)).direction != "none" for each in noise(400, size))
    assert 0.005 * 400 <= alarms <= 0.075 * 400


@pytest.mark.parametrize(
    ("resemblance", "size", "plain", "most"),
    [(0.3, 60, 0.09, 0.09), (0.5, 60, 0.18, 0.10), (0.7, 60, 0.28, 0.11), (0.7, 100, 0.28, 0.11),
     (0.9, 100, 0.45, 0.15)],
)  # fmt: skip
def test_the_correction_keeps_false_alarms_of_wandering_noise_low(
    resemblance: float, size: int, plain: float, most: float
) -> None:
    """The plain test has more false alarms than `plain`, the corrected one fewer than `most`."""
    series = [timed(each) for each in noise(200, size, resemblance)]
    corrected = sum(found(each).direction != "none" for each in series)
    uncorrected = sum(found(each, autocorrelated=False).direction != "none" for each in series)
    assert uncorrected > plain * len(series)
    assert corrected < most * len(series)


def test_trends_as_strong_as_the_noise_are_found() -> None:
    for resemblance, least in ((0.0, 0.99), (0.5, 0.9)):
        rising = [
            timed([value + 4 * at / 100 for at, value in enumerate(each)])
            for each in noise(100, 100, resemblance)
        ]
        assert sum(found(each).direction == "rising" for each in rising) >= least * 100


def test_the_interval_holds_the_slope_as_often_as_it_says() -> None:
    for resemblance, least in ((0.0, 0.92), (0.5, 0.86)):
        held = 0
        for each in noise(250, 60, resemblance):
            got = found(timed([value + at / 10 for at, value in enumerate(each)]))
            held += got.low <= 0.1 <= got.high
        assert least * 250 <= held


def test_outliers_do_not_bend_the_line() -> None:
    points = line(40, 0.5)
    for at in range(3, 40, 4):
        points[at] = (points[at][0], 1e9)
    assert found(points).slope == pytest.approx(0.5)


@pytest.mark.parametrize("size", range(10))
def test_fewer_than_ten_points_are_not_enough(size: int) -> None:
    assert trend(line(size)) == NotEnoughData(size, 10)
    assert time_left(line(size), 100.0) == NotEnoughData(size, 10)
    assert not trend(line(size))


def test_points_that_can_not_be_used_are_not_counted() -> None:
    bad = [(math.nan, 1.0), (11.0, math.nan), (math.inf, 1.0), (12.0, math.inf), (13.0, 1e141)]
    assert trend([*line(5), *bad, *[(1.0, 7.0)] * 9]) == NotEnoughData(5, 10)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e140, 1e-300])
def test_a_constant_series_has_no_trend(value: float) -> None:
    got = found(timed([value] * 50))
    assert (got.direction, got.slope, got.low, got.high, got.p) == ("none", 0, 0, 0, 1)
    assert (got.level, got.inflation) == (value, 1)


@pytest.mark.parametrize("slope", [0.1, -0.3, 1e-6, 1e6])
def test_an_exact_line_is_its_own_trend(slope: float) -> None:
    """Although the rounding of its values has a pattern."""
    got = found(line(30, slope, 7.0))
    assert (got.slope, got.low, got.high) == pytest.approx((slope,) * 3)
    assert got.direction == ("rising" if slope > 0 else "falling")
    assert got.inflation == 1


def test_the_order_of_the_points_does_not_matter() -> None:
    points = timed(NILE)
    shuffled = points.copy()
    random.Random(1).shuffle(shuffled)
    assert trend(shuffled) == trend(points)


def test_gaps_do_not_bend_the_line() -> None:
    points = [each for each in line(200, 0.25, 3.0) if not 20 < each[0] < 150]
    assert found(points).slope == 0.25


def test_a_clock_that_jumped_a_year_is_an_outlier_in_time() -> None:
    points = line(60, 2.0)
    for at in range(30, 34):
        points[at] = (points[at][0] + 3e7, points[at][1])
    got = found(points)
    assert got.direction == "rising"
    assert got.slope == pytest.approx(2.0, rel=0.01)


def test_points_of_one_moment_count_as_their_median() -> None:
    assert in_order([(1.0, 5.0), (0.0, 2.0), (1.0, 9.0), (1.0 + 1e-12, 6.0)]) == [
        (0.0, 2.0),
        (1.0, 6.0),
    ]
    assert trend([(1.0, float(at)) for at in range(50)]) == NotEnoughData(1, 10)


def test_a_long_series_is_thinned_and_keeps_its_trend() -> None:
    chance = random.Random(3)
    points = [(float(at), 0.01 * at + chance.gauss(0, 1)) for at in range(20_000)]
    got = found(points)
    assert 150 <= got.points <= 300
    assert got.slope == pytest.approx(0.01, rel=0.01)
    assert list(thinned(line(300), 300)) == line(300)
    assert [len(thinned(line(size), 10)) for size in (11, 20, 95)] == [6, 10, 10]


@given(
    st.lists(
        st.tuples(
            st.floats() | st.integers(0, 20).map(float), st.floats() | st.sampled_from([0.0, 1.0])
        ),
        max_size=25,
    ),
    st.floats(-1e140, 1e140),
)
def test_nothing_raises(points: list[Point], limit: float) -> None:
    got, left = trend(points), time_left(points, limit)
    if isinstance(got, Trend):
        assert 0 <= got.p <= 1
        assert got.low <= got.slope <= got.high
        assert got.inflation >= 1
        assert isinstance(left, TimeLeft)
        assert 0 <= left.soonest <= left.seconds <= left.latest


@given(st.lists(st.integers(0, 5).map(float), min_size=2, max_size=30))
def test_ranks_share_ties(values: list[float]) -> None:
    for value, rank in zip(values, ranks(values), strict=True):
        below = sum(each < value for each in values)
        assert rank == below + (values.count(value) + 1) / 2


def test_resemblance_is_bounded() -> None:
    assert lag_one([1.0] * 20, fitted=2) == 0
    assert lag_one([1.0, -1.0] * 20, fitted=2) == 0
    assert lag_one([float(at) for at in range(200)], fitted=2) == 0.98


def test_the_variance_without_ties_is_kendalls() -> None:
    assert score_variance([1, 2, 3, 4]) == 4 * 3 * 13 / 18
    assert p_value(0, 0) == p_value(1, 10) == 1.0


def test_a_disk_is_full_in_three_hours() -> None:
    """70 % now, and 10 % more in each hour."""
    points = [(60.0 * at, 60.0 + at / 6) for at in range(61)]
    left = time_left(points, 100.0)
    assert isinstance(left, TimeLeft)
    assert left.seconds == pytest.approx(3 * 3600)
    assert left.soonest == pytest.approx(3 * 3600)
    assert left.latest == pytest.approx(3 * 3600)
    later = time_left(points, 100.0, now=2 * 3600.0)
    assert isinstance(later, TimeLeft)
    assert later.seconds == pytest.approx(2 * 3600)


@pytest.mark.parametrize(
    ("slope", "limit", "seconds"),
    [(1, 100, 50), (1, 50, 0), (1, 20, 0), (-1, 0, math.inf), (-1, -100, 50), (-1, -20, 0),
     (0, 100, math.inf)],
)  # fmt: skip
def test_a_limit_is_reached_from_either_side(slope: float, limit: float, seconds: float) -> None:
    """After 50 seconds from level 0."""
    left = time_left(line(51, slope), limit)
    assert isinstance(left, TimeLeft)
    if (slope, limit) == (-1, 0):  # it came down from there: reached already
        seconds = 0
    assert left.seconds == pytest.approx(seconds)


def test_the_interval_of_the_time_left_holds_the_truth_as_often_as_it_says() -> None:
    held, size = 0, 60
    for each in noise(300, size, seed=4):
        left = time_left(timed([value + at / 10 for at, value in enumerate(each)]), 20.0)
        assert isinstance(left, TimeLeft)
        held += left.soonest <= 200 - (size - 1) <= left.latest
    assert held >= 0.9 * 300


def test_noise_seldom_fills_a_disk() -> None:
    alarms = 0
    for each in noise(300, 60, 0.5, seed=5):
        left = time_left(timed(each), 20.0)
        assert isinstance(left, TimeLeft)
        alarms += left.seconds < math.inf
    assert alarms < 0.08 * 300


@pytest.mark.parametrize("significance", [0.0, 1.0, -1.0, math.nan])
def test_a_significance_that_is_no_chance_is_refused(significance: float) -> None:
    with pytest.raises(ConfigurationError, match="significance"):
        trend([], significance=significance)
    with pytest.raises(ConfigurationError, match="significance"):
        time_left([], 1.0, significance=significance)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e141])
def test_a_limit_or_a_time_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        time_left([], bad)
    with pytest.raises(ConfigurationError, match="now"):
        time_left([], 1.0, now=bad)
