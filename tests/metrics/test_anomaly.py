"""What is odd is found, and little else."""

import math
import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import Anomaly, NotEnoughData, Point, anomalies, robust_scores
from mobius_infra.metrics._anomaly import _medians_of_others
from tests.metrics.series import NILE, noise, timed


def found(points: list[Point], **options: float) -> list[Anomaly]:
    answer = anomalies(points, **options)
    assert isinstance(answer, list)
    return answer


def test_scores_are_those_of_the_reference() -> None:
    """The reference: median_abs_deviation(scale="normal") of SciPy 1.17.1, run by hand."""
    scores = robust_scores(NILE)
    assert scores[:3] == pytest.approx(
        [1.262577920821591, 1.4855497390682295, 0.3874135342035345], rel=1e-9
    )


def test_of_equal_values_none_is_odd() -> None:
    assert robust_scores([]) == []
    assert robust_scores([7.0]) == [0.0]
    assert robust_scores([0.1] * 9) == [0.0] * 9
    assert found(timed([0.1] * 30)) == []


def test_where_more_than_half_are_equal_the_mean_distance_tells() -> None:
    scores = robust_scores([1.0] * 19 + [2.0])
    assert scores[-1] == pytest.approx(20 * math.sqrt(2 / math.pi))
    assert scores[0] == 0
    [odd] = found(timed([1.0] * 15 + [2.0] + [1.0] * 14))
    assert (odd.at, odd.value, odd.expected) == (15, 2.0, 1.0)


@given(st.lists(st.tuples(st.floats(-10, 10), st.integers(0, 2)), max_size=30))
def test_each_value_is_compared_with_the_others_of_its_phase(
    values: list[tuple[float, int]],
) -> None:
    medians = _medians_of_others([v for v, _ in values], [phase for _, phase in values])
    for at, (value, phase) in enumerate(values):
        rest = [v for other, (v, its) in enumerate(values) if its == phase and other != at]
        assert medians[at] == (median(rest) if rest else value)


@pytest.mark.parametrize("size", [20, 100, 300])
def test_normal_noise_is_seldom_odd(size: int) -> None:
    """One in 2,150 of known deviation; small samples know theirs less well."""
    odd = sum(len(found(timed(each))) for each in noise(60, size))
    assert odd <= {20: 0.02, 100: 0.002, 300: 0.0015}[size] * size * 60


def test_noise_on_a_season_is_seldom_odd() -> None:
    odd = values = 0
    for each in noise(60, 120):
        points = timed([v + 20 * math.sin(at * math.pi / 6) for at, v in enumerate(each)])
        odd += len(found(points, period=12))
        values += len(points)
    assert odd <= 0.004 * values
    odd = sum(len(found(timed(each), period=12)) for each in noise(60, 60))
    assert odd <= 0.012 * 60 * 60


def test_a_value_beyond_a_trend_is_found() -> None:
    for each in noise(30, 100):
        points = timed([v + at for at, v in enumerate(each)])
        # Not larger than others that are there: only its time makes it odd.
        points[20] = (20.0, 32.0)
        [odd] = [one for one in found(points) if one.at == 20]
        assert odd.expected == pytest.approx(20, abs=2)
        assert odd.score > 3.5


def test_a_value_that_does_not_fit_the_season_is_found_alone() -> None:
    """At night it would be usual; neighbours and the same hour of other days are not blamed."""
    chance = random.Random(1)
    points = [
        (3600.0 * at, 50 - 40 * math.cos(at * math.pi / 12) + chance.gauss(0, 1))
        for at in range(24 * 7 + 5)
    ]
    points[24 * 3 + 12] = (points[24 * 3 + 12][0], 15.0)
    assert found(points) == []
    [odd] = found(points, period=24 * 3600)
    assert (odd.at, odd.value) == (3600.0 * (24 * 3 + 12), 15.0)
    assert odd.expected == pytest.approx(90, abs=3)
    assert odd.score < -10


def test_a_third_of_odd_values_does_not_hide_itself() -> None:
    [each] = noise(1, 90)
    for at in range(0, 90, 4):
        each[at] = 50.0
    assert {odd.at for odd in found(timed(each))} == set(range(0, 90, 4))


def test_an_exact_line_has_nothing_odd() -> None:
    assert found(timed([0.1 * at for at in range(50)])) == []


@pytest.mark.parametrize("size", [0, 1, 2, 9])
def test_fewer_than_ten_points_are_not_enough(size: int) -> None:
    assert anomalies(timed([1.0] * size)) == NotEnoughData(size, 10)


def test_fewer_than_five_seasons_are_not_enough() -> None:
    assert anomalies(timed([1.0] * 59), period=12) == NotEnoughData(59, 60)
    assert anomalies(timed([1.0]), period=12) == NotEnoughData(1, 10)


def test_gaps_disorder_and_jumps_make_little_odd() -> None:
    chance = random.Random(4)
    points = [(float(at), chance.gauss(0, 1)) for at in range(200) if not 50 < at < 120]
    points += [(1e9 + at, chance.gauss(0, 1)) for at in range(10)]
    before = found(points)
    chance.shuffle(points)
    assert found(points) == before
    assert len(before) <= 1


@given(
    st.lists(
        st.tuples(st.floats() | st.integers(0, 40).map(float), st.floats() | st.floats(-1, 1)),
        max_size=40,
    ),
    st.sampled_from([None, 4.0]),
)
def test_nothing_raises(points: list[Point], period: float | None) -> None:
    odd = anomalies(points, period=period, step=1)
    assert isinstance(odd, NotEnoughData) or all(abs(each.score) > 3.5 for each in odd)


@pytest.mark.parametrize(
    ("field", "value"),
    [("threshold", 0), ("threshold", math.nan), ("period", 0), ("period", math.inf),
     ("period", 1.0), ("step", -1)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        anomalies(timed([1.0] * 20), **{field: value})
