"""Quantiles keep their bound for any values, in any order, merged in any way."""

import math
import random
import sys
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mobius_infra.core import CodecError, ConfigurationError
from mobius_infra.metrics import Sketch

QS = [0.0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0]
TINY = sys.float_info.min

floats = st.floats(allow_nan=False, allow_infinity=False)
lists = st.lists(floats | st.integers(-(10**9), 10**9).map(float), max_size=200)


def sketch_of(values: Iterable[float], error: float = 0.01, max_bins: int = 1 << 20) -> Sketch:
    sketch = Sketch(error, max_bins=max_bins)
    for value in values:
        sketch.add(value)
    return sketch


def state(sketch: Sketch) -> tuple[object, ...]:
    """All that must not depend on the order of adding and merging; a float's sum does."""
    return (
        sketch._positive.counts,
        sketch._negative.counts,
        sketch._zeros,
        sketch.min,
        sketch.max,
        sketch.refused,
    )


def assert_bound(sketch: Sketch, values: list[float]) -> None:
    ordered = sorted(values)
    for q in QS:
        true = ordered[math.floor(q * (len(ordered) - 1))]
        found = sketch.quantile(q)
        assert found is not None
        # Where a value lies on the end of a bin, a float's logarithm may round across it.
        allowed = sketch.relative_error * abs(true) * (1 + 1e-9) + TINY
        assert abs(found - true) <= allowed


@given(lists.filter(bool), st.sampled_from([0.001, 0.01, 0.1, 0.5]))
@example([sys.float_info.max, -sys.float_info.max], 0.001)
@example([TINY, 5e-324, 0.0, -0.0, -5e-324, -TINY], 0.01)
@example([1.0], 0.01)
def test_every_quantile_is_within_the_relative_error(values: list[float], error: float) -> None:
    assert_bound(sketch_of(values, error), values)


@pytest.mark.parametrize(
    "draw",
    [
        lambda chance: chance.lognormvariate(-3, 2),
        lambda chance: chance.paretovariate(1),
        lambda chance: chance.gauss(0, 1),
        lambda chance: chance.uniform(1, 2),
    ],
)
def test_the_default_sketch_keeps_the_bound_on_usual_distributions(draw: object) -> None:
    assert callable(draw)
    chance = random.Random(1)
    values = [draw(chance) for _ in range(20_000)]
    sketch = sketch_of(values, max_bins=2048)
    assert_bound(sketch, values)
    assert len(sketch) < 2048


@given(lists)
def test_count_sum_min_and_max_are_exact(values: list[float]) -> None:
    sketch = sketch_of(values)
    total = 0.0
    for value in values:
        total += value
    assert sketch.count == len(values)
    assert sketch.sum == total or math.isnan(total)
    assert sketch.min == min(values, default=math.inf)
    assert sketch.max == max(values, default=-math.inf)


@given(lists, lists, lists, st.sampled_from([1, 2, 5, 1 << 20]))
def test_merging_is_associative_and_commutative_and_equal_to_adding(
    a: list[float], b: list[float], c: list[float], max_bins: int
) -> None:
    """Also where bins have collapsed."""

    def merged(*groups: list[float]) -> Sketch:
        whole = sketch_of(groups[0], max_bins=max_bins)
        for group in groups[1:]:
            whole.merge(sketch_of(group, max_bins=max_bins))
        return whole

    left = merged(a, b, c)
    right = sketch_of(a, max_bins=max_bins)
    right.merge(merged(b, c))
    assert state(left) == state(right) == state(merged(c, a, b))
    assert state(left) == state(sketch_of([*a, *b, *c], max_bins=max_bins))
    assert state(left) == state(sketch_of(sorted([*c, *b, *a]), max_bins=max_bins))
    if a + b + c and max_bins > 5:
        assert_bound(left, a + b + c)


def test_a_sketch_may_be_merged_into_itself() -> None:
    sketch = sketch_of([1.0, -2.0, 0.0])
    sketch.merge(sketch)
    assert (sketch.count, sketch.quantile(0.5)) == (6, 0.0)


def test_without_values_there_is_no_quantile() -> None:
    sketch = Sketch()
    assert sketch.quantile(0.5) is None
    assert sketch.quantiles([0, 0.5, 1]) == [None, None, None]
    sketch.merge(Sketch())
    assert (sketch.count, sketch.sum, len(sketch)) == (0, 0.0, 0)


@pytest.mark.parametrize("value", [7.0, -7.0, 0.0, 1e-300])
@pytest.mark.parametrize("times", [1, 2, 1000])
def test_a_constant_series_has_its_value_at_every_quantile(value: float, times: int) -> None:
    assert sketch_of([value] * times).quantiles(QS) == [value] * len(QS)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_what_is_no_finite_number_is_counted_and_changes_nothing_else(value: float) -> None:
    sketch = sketch_of([1.0, 2.0])
    before = (sketch.count, sketch.sum, sketch.quantiles(QS))
    sketch.add(value)
    assert (sketch.count, sketch.sum, sketch.quantiles(QS)) == before
    assert sketch.refused == 1


def test_a_sum_that_overflows_is_infinite_and_harms_no_quantile() -> None:
    sketch = sketch_of([1.5e308, 1.5e308, 1.0])
    assert sketch.sum == math.inf
    assert sketch.quantile(0) == 1.0
    assert_bound(sketch, [1.5e308, 1.5e308, 1.0])


def test_the_bins_are_bounded_and_the_high_quantiles_keep_the_bound() -> None:
    chance = random.Random(2)
    values = [10 ** chance.uniform(-300, 300) * chance.choice([1, -1]) for _ in range(20_000)]
    sketch = sketch_of(values, max_bins=100)
    assert len(sketch) <= 200
    # A hundred bins of 1 % span a factor of seven from each end.
    ordered = sorted(values)
    for q in (0.0001, 0.9999):
        true = ordered[math.floor(q * (len(ordered) - 1))]
        assert sketch.quantile(q) == pytest.approx(true, rel=0.01)
    assert sketch.count == len(values)


def test_values_below_a_collapsed_bin_make_no_new_ones() -> None:
    sketch = sketch_of([1e9, 1e6, 1e3, 1.0], max_bins=2)
    for _ in range(100):
        sketch.add(1e-9)
    assert (len(sketch), sketch.count, sketch.min) == (2, 104, 1e-9)
    assert sketch.quantile(0.5) == pytest.approx(1e6, rel=0.01)
    assert sketch.quantile(1) == 1e9


def test_a_count_beyond_what_floats_can_tell_apart_has_quantiles() -> None:
    sketch = sketch_of([1.0, 2.0, 3.0])
    for _ in range(60):
        sketch.merge(sketch)
    assert sketch.count == 3 << 60
    assert sketch.quantile(math.nextafter(1, 0)) == pytest.approx(3.0, rel=0.01)


@given(lists, st.sampled_from([1, 2, 1 << 20]))
def test_bytes_bring_everything_back(values: list[float], max_bins: int) -> None:
    sketch = sketch_of([*values, math.nan], max_bins=max_bins)
    again = Sketch.from_bytes(sketch.to_bytes())
    assert state(again) == state(sketch)
    assert again.sum == sketch.sum or math.isnan(sketch.sum)
    for each in (again, sketch):
        for value in (1e-5, -1e-5, 1e5, 0.0):
            each.add(value)
    assert state(again) == state(sketch)


GOOD = sketch_of([0.5, -2.0], max_bins=10).to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\xff\x00",
        b"[" * 100_000,
        GOOD.replace(b'"version":1', b'"version":2'),
        GOOD.replace(b'"zeros":0', b'"zeros":-1'),
        GOOD.replace(b'"zeros":0', b'"zeros":0.5'),
        GOOD.replace(b'"zeros":0', b'"zeros":1' + b"0" * 400),
        GOOD.replace(b'"max_bins":10', b'"max_bins":0'),
        GOOD.replace(b'"relative_error":0.01', b'"relative_error":NaN'),
        GOOD.replace(b'"min":-2.0', b'"min":NaN'),
        GOOD.replace(b'"min":-2.0', b'"min":3.0'),
        GOOD.replace(b'"positive":[[-34,1]]', b'"positive":[[-34,-1]]'),
        GOOD.replace(b'"positive":[[-34,1]]', b'"positive":[[99999999999999,1]]'),
        GOOD.replace(
            b'"positive":[[-34,1]]',
            b'"positive":[' + b",".join(b"[%d,1]" % at for at in range(11)) + b"]",
        ),
    ],
)
def test_damaged_bytes_are_refused(data: bytes) -> None:
    assert data != GOOD
    with pytest.raises(CodecError, match="sketch"):
        Sketch.from_bytes(data)


@pytest.mark.parametrize("error", [0, 1, -0.01, math.nan, math.inf, 1e-9, True])
def test_an_error_that_can_not_be_kept_is_refused(error: float) -> None:
    with pytest.raises(ConfigurationError, match="relative_error"):
        Sketch(error)


@pytest.mark.parametrize("bins", [0, -1, True, 1.5, 1 << 24])
def test_a_number_of_bins_that_makes_no_sense_is_refused(bins: int) -> None:
    with pytest.raises(ConfigurationError, match="max_bins"):
        Sketch(max_bins=bins)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_beyond_0_and_1_is_refused(q: float) -> None:
    with pytest.raises(ConfigurationError, match="q is"):
        sketch_of([1.0]).quantile(q)


def test_sketches_of_different_make_are_not_merged() -> None:
    with pytest.raises(ConfigurationError, match="relative_error"):
        Sketch(0.01).merge(Sketch(0.02))
    with pytest.raises(ConfigurationError, match="max_bins"):
        Sketch(max_bins=10).merge(Sketch(max_bins=20))


def test_it_says_what_it_holds() -> None:
    assert repr(sketch_of([1, 2, 2, 0])) == "Sketch(relative_error=0.01, count=4, bins=3)"


@settings(max_examples=20)
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=50), st.integers(1, 5))
def test_parts_merged_through_bytes_are_as_the_whole(values: list[float], parts: int) -> None:
    """As processes would do it."""
    whole = Sketch(max_bins=1 << 20)
    for part in range(parts):
        whole.merge(Sketch.from_bytes(sketch_of(values[part::parts]).to_bytes()))
    assert state(whole) == state(sketch_of(values))
