"""Moments agree with certified values, merged in any way, and a window forgets in time."""

import math
import statistics
from collections.abc import Iterable
from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import Moments, Window
from mobius_infra.testing import ManualClock

# Michelson's speed of light in air, 1879, less 299 thousand km/s; here in steps of 10 km/s.
MICHELSON = [
    85, 74, 90, 107, 93, 85, 95, 98, 98, 88, 100, 98, 93, 65, 76, 81, 100, 100, 96, 96,
    96, 94, 96, 94, 88, 80, 85, 88, 90, 84, 83, 79, 81, 88, 88, 83, 80, 79, 76, 80,
    88, 88, 88, 86, 72, 72, 62, 86, 97, 95, 88, 91, 85, 87, 84, 84, 85, 84, 84, 84,
    89, 81, 81, 82, 80, 77, 76, 74, 75, 76, 91, 92, 89, 86, 88, 72, 84, 85, 85, 78,
    89, 84, 78, 81, 76, 81, 79, 81, 82, 85, 87, 87, 81, 74, 81, 94, 95, 80, 81, 87,
]  # fmt: skip


def numacc(middle: float) -> list[float]:
    """Give 1,001 values: the middle, then one tenth above and below it by turns."""
    return [middle, *islice(cycle([middle - 0.1, middle + 0.1]), 1000)]


# NIST Statistical Reference Datasets, univariate summary statistics: certified mean and standard
# deviation, and the digits that rounding of the data themselves to floats leaves.
NIST = {
    "Michelso": ([299 + each / 100 for each in MICHELSON], 299.8524, 0.0790105478190518, 1e-12),
    "NumAcc1": ([10000001.0, 10000003.0, 10000002.0], 10000002.0, 1.0, 1e-15),
    "NumAcc2": (numacc(1.2), 1.2, 0.1, 1e-13),
    "NumAcc3": (numacc(1000000.2), 1000000.2, 0.1, 1e-8),
    "NumAcc4": (numacc(10000000.2), 10000000.2, 0.1, 1e-7),
}

values = st.lists(st.floats(-1e6, 1e6), max_size=50)


def moments_of(values: Iterable[float]) -> Moments:
    moments = Moments()
    for value in values:
        moments.add(value)
    return moments


def close(one: Moments, other: Moments) -> bool:
    spread = max(abs(one.min), abs(one.max), 1.0) if one.count else 1.0
    return (
        (one.count, one.min, one.max, one.refused)
        == (other.count, other.min, other.max, other.refused)
        and math.isclose(one.mean, other.mean, rel_tol=1e-9, abs_tol=1e-9 * spread)
        and math.isclose(one.squares, other.squares, rel_tol=1e-9, abs_tol=1e-9 * spread**2)
    )


@pytest.mark.parametrize("name", NIST)
def test_mean_and_deviation_are_the_certified_ones(name: str) -> None:
    data, mean, deviation, error = NIST[name]
    for found in (moments_of(data), Moments()):
        if not found.count:  # the same by parts
            for at in range(0, len(data), 7):
                found.merge(moments_of(data[at : at + 7]))
        assert found.mean == pytest.approx(mean, rel=1e-14)
        assert found.deviation == pytest.approx(deviation, rel=error)


@given(values)
def test_moments_are_those_of_the_standard_library(values: list[float]) -> None:
    found = moments_of(values)
    if len(values) > 1:
        variance = statistics.variance(values)
        assert found.variance == pytest.approx(variance, rel=1e-9, abs=1e-9)
    if values:
        assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-9)
        assert (found.min, found.max) == (min(values), max(values))


@given(values, values, values)
def test_merging_is_associative_and_commutative_and_equal_to_adding(
    a: list[float], b: list[float], c: list[float]
) -> None:
    whole = moments_of([*a, *b, *c])
    left, right, other = moments_of(a), moments_of(b), moments_of(c)
    left.merge(moments_of(b))
    left.merge(moments_of(c))
    right.merge(moments_of(c))
    other.merge(moments_of(b))
    other.merge(moments_of(a))
    first = moments_of(a)
    first.merge(right)
    assert close(left, whole)
    assert close(first, whole)
    assert close(other, whole)


def test_moments_may_be_merged_into_themselves() -> None:
    found = moments_of([1.0, 2.0, 4.0])
    found.merge(found)
    assert close(found, moments_of([1.0, 2.0, 4.0] * 2))


def test_0_1_and_2_values_have_defined_moments() -> None:
    none, one, two = moments_of([]), moments_of([3.0]), moments_of([3.0, 5.0])
    assert (none.count, none.mean, none.variance, none.deviation) == (0, 0.0, None, None)
    assert (one.mean, one.variance, one.min, one.max) == (3.0, None, 3.0, 3.0)
    assert (two.mean, two.variance) == (4.0, 2.0)


@pytest.mark.parametrize("value", [0.1, 1e140, -1e140, 1e-300])
def test_a_constant_series_has_no_variance_at_all(value: float) -> None:
    found = moments_of([value] * 1000)
    found.merge(moments_of([value] * 77))
    assert (found.mean, found.variance) == (value, 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e141, 10**400])
def test_what_is_no_number_or_too_large_is_counted_and_changes_nothing_else(value: float) -> None:
    found = moments_of([1.0, value, 2.0])
    assert (found.count, found.mean, found.refused) == (2, 1.5, 1)


def test_the_largest_values_of_both_signs_overflow_nothing() -> None:
    found = moments_of([1e140, -1e140] * 1000)
    found.merge(moments_of([-1e140] * 1000))
    assert found.variance is not None
    assert math.isfinite(found.variance)
    assert found.variance > 0


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(-10, 10)), max_size=40), st.floats(0, 30))
def test_a_window_holds_the_last_seconds(steps: list[tuple[float, float]], more: float) -> None:
    """Every value younger than the window less a bucket, none older than the window."""
    clock, seen = ManualClock(start=1000.0), []
    window = Window(10, buckets=5, clock=clock)
    for seconds, value in steps:
        clock.tick(seconds)
        window.add(value)
        seen.append((clock.monotonic(), value))
    clock.tick(more)
    now = clock.monotonic()
    kept = [value for at, value in seen if at // 2 > now // 2 - 5]
    assert close(window.read(), moments_of(kept))
    assert {value for at, value in seen if now - at <= 8} <= set(kept)
    assert {at for at, value in seen if at // 2 > now // 2 - 5} <= {
        at for at, _ in seen if now - at <= 10
    }


def test_a_window_with_gaps_and_silence_forgets() -> None:
    clock = ManualClock()
    window = Window(60, clock=clock)
    assert window.read().count == 0
    window.add(1.0)
    clock.tick(59)
    assert window.read().count in (0, 1)
    window.add(2.0)
    clock.tick(1_000_000)
    assert window.read() == Moments()
    window.add(3.0)
    assert window.read().mean == 3.0


def test_reading_a_window_gives_what_is_the_readers_own() -> None:
    window = Window(60, clock=ManualClock())
    window.add(1.0)
    window.read().add(100.0)
    assert window.read().max == 1.0


def test_a_wall_clock_that_jumps_forgets_nothing() -> None:
    clock = ManualClock()
    window = Window(60, clock=clock)
    window.add(1.0)
    clock.set_time(0.0)
    window.add(2.0)
    clock.set_time(4e9)
    assert window.read().count == 2


@pytest.mark.parametrize(
    ("seconds", "buckets", "field"),
    [(0, 5, "seconds"), (-1, 5, "seconds"), (math.nan, 5, "seconds"), (math.inf, 5, "seconds"),
     (60, 0, "buckets"), (60, -3, "buckets"), (60, True, "buckets"), (60, 2.5, "buckets")],
)  # fmt: skip
def test_a_window_that_makes_no_sense_is_refused(seconds: float, buckets: int, field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Window(seconds, buckets=buckets)


def test_it_says_what_it_holds() -> None:
    window = Window(60, clock=ManualClock())
    window.add(1.0)
    assert repr(window) == "Window(seconds=60, count=1)"
