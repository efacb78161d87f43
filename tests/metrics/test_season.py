"""Forecasts agree with a reference, and their intervals hold what they promise."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import Forecast, NotEnoughData, Point, forecast
from tests.metrics.series import timed

# International visitor nights in Australia, millions by quarter, 2005 to 2010: Hyndman and
# Athanasopoulos, "Forecasting: Principles and Practice", 2014, section 7.5.
VISITORS = [
    41.727458, 24.04185, 32.328103, 37.328708, 46.213153, 29.346326, 36.48291, 42.977719,
    48.901525, 31.180221, 37.717881, 40.420211, 51.206863, 31.887228, 40.978263, 43.772491,
    55.558567, 33.850915, 42.076383, 45.642292, 59.76678, 35.191877, 44.319737, 47.913736,
]  # fmt: skip


def found(points: list[Point], period: float, **options: float) -> Forecast:
    answer = forecast(points, period=period, **options)  # type: ignore[arg-type]
    assert isinstance(answer, Forecast)
    return answer


def wave(size: int, seed: int = 1, noise: float = 1.0, slope: float = 0.05) -> list[Point]:
    """Give a season of 12 steps of 60 seconds, with a slope and noise."""
    chance = random.Random(seed)
    return [
        (
            60.0 * at,
            100 + slope * at + 10 * math.sin(2 * math.pi * at / 12) + chance.gauss(0, noise),
        )
        for at in range(size)
    ]


def test_with_given_weights_it_forecasts_as_the_reference() -> None:
    """The reference: ETSModel of statsmodels 0.15.0, run by hand with the same initial states."""
    got = forecast(timed(VISITORS), period=4, ahead=10, weights=(0.3, 0.05, 0.2))
    assert isinstance(got, Forecast)
    values = [
        58.763055287311744, 38.27462674674193, 46.39235158051894, 50.41636704245682,
        60.79407613061562, 40.30564759004581, 48.42337242382282, 52.4473878857607,
        62.8250969739195, 42.336668433349686,
    ]  # fmt: skip
    assert [each.value for each in got.steps] == pytest.approx(values, rel=1e-9)
    # How the variance grows with the steps ahead.
    growth = [1.0, 1.1225, 1.2825, 1.485, 1.975, 2.2775, 2.6375, 3.06, 3.87, 4.4325]
    first = got.steps[0].high - got.steps[0].low
    widths = [((each.high - each.low) / first) ** 2 for each in got.steps]
    assert widths == pytest.approx(growth, rel=1e-9)
    assert first == pytest.approx(2 * 1.959963984540054 * got.deviation)
    assert [each.at for each in got.steps] == list(range(24, 34))


def test_fitted_weights_are_no_worse_than_any_of_a_fine_grid() -> None:
    points = wave(120)
    best = found(points, 720).deviation
    for alpha in (0.05, 0.15, 0.25, 0.5, 0.75):
        for beta in (0.0, 0.005, 0.02):
            for gamma in (0.02, 0.1, 0.2):
                got = forecast(points, period=720, weights=(alpha, beta, gamma))
                assert isinstance(got, Forecast)
                assert best <= got.deviation * 1.005


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_the_interval_holds_what_it_promises(coverage: float) -> None:
    held = total = 0
    for seed in range(60):
        points = wave(108, seed)
        got = found(points[:96], 720, coverage=coverage)
        for (t, v), expected in zip(points[96:], got.steps, strict=True):
            assert t == pytest.approx(expected.at)
            held += expected.low <= v <= expected.high
            total += 1
    assert coverage - 0.06 <= held / total <= coverage + 0.04


def test_an_exact_season_is_continued_exactly() -> None:
    points = wave(60, noise=0.0)
    got = found(points[:48], 720)
    for (_, v), expected in zip(points[48:], got.steps, strict=True):
        assert expected.value == pytest.approx(v)
        assert expected.high - expected.low < 1e-9


def test_a_constant_series_stays_what_it_is() -> None:
    got = found(timed([0.1] * 40), 10)
    assert all(each.value == pytest.approx(0.1) for each in got.steps)
    assert got.deviation == pytest.approx(0, abs=1e-12)


def test_gaps_are_passed_over() -> None:
    """A fifth is missing, some of it in the first seasons, and a whole season."""
    chance = random.Random(5)
    points = wave(156, noise=0.1)
    kept = [
        each
        for at, each in enumerate(points[:144])
        if (chance.random() > 0.2 and not 60 <= at < 72) or at == 143
    ]
    got = found(kept, 720)
    for (t, v), expected in zip(points[144:], got.steps, strict=True):
        assert (expected.at, expected.value) == pytest.approx((t, v), abs=1.0)


def test_zero_is_a_value_and_no_gap() -> None:
    """A service that was switched off."""
    got = found(timed([10.0, 20.0] * 20 + [0.0] * 40), 2)
    assert [each.value for each in got.steps] == pytest.approx([0, 0], abs=0.5)


def test_the_order_of_the_points_does_not_matter() -> None:
    points = wave(60)
    shuffled = points.copy()
    random.Random(1).shuffle(shuffled)
    assert found(shuffled, 720) == found(points, 720)


def test_points_beside_their_step_are_taken_for_it() -> None:
    chance = random.Random(2)
    points = [(t + chance.uniform(-20, 20), v) for t, v in wave(60, noise=0.0)]
    for offset in (0.0, 17.0, 30.0):
        got = found([(t + offset, v) for t, v in points], 720)
        assert got.deviation < 0.01


def test_a_stamp_far_in_the_future_makes_no_endless_series() -> None:
    points = [*wave(60), (1e12, 1.0)]
    assert forecast(points, period=720) == NotEnoughData(0, 36)


@pytest.mark.parametrize("size", [0, 1])
def test_one_value_has_no_season(size: int) -> None:
    assert forecast(wave(size), period=720) == NotEnoughData(size, 6)


@pytest.mark.parametrize("size", [2, 12, 24, 35])
def test_fewer_than_three_seasons_are_not_enough(size: int) -> None:
    answer = forecast(wave(size), period=720)
    assert isinstance(answer, NotEnoughData)
    assert answer.need == 36


@given(
    st.lists(
        st.tuples(st.floats() | st.integers(0, 40).map(float), st.floats() | st.floats(-1, 1)),
        max_size=60,
    )
)
def test_nothing_raises(points: list[Point]) -> None:
    got = forecast(points, period=4, step=1, ahead=3)
    if isinstance(got, Forecast):
        assert all(each.low <= each.value <= each.high for each in got.steps)


@pytest.mark.parametrize(
    ("field", "value"),
    [("period", 0), ("period", math.nan), ("period", 60.0), ("period", 1e9), ("step", 0),
     ("step", math.inf), ("coverage", 1), ("coverage", math.nan), ("ahead", 0), ("ahead", 10**6),
     ("weights", (0.5, -0.1, 0.1)), ("weights", (math.nan, 0.1, 0.1))],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(field: str, value: object) -> None:
    options: dict[str, object] = {"period": 720, field: value}
    with pytest.raises(ConfigurationError, match=field):
        forecast(wave(60), **options)  # type: ignore[arg-type]
