from math import ceil, inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mobius_infra.breaker._latency import GROWTH, KEPT, Latency

durations = st.lists(st.floats(1e-5, 90.0), min_size=1, max_size=200)


@given(durations, st.floats(0.01, 1.0))
@example([1.0, 2.0], 0.5)
@example([1.0], 1.0)
def test_a_percentile_is_at_most_a_tenth_above_the_exact_one(
    seconds: list[float], share: float
) -> None:
    latency = Latency()
    for each in seconds:
        latency.add(each)
    exact = sorted(seconds)[ceil(share * len(seconds)) - 1]
    found = latency.percentile(share)
    assert exact <= found * (1 + 1e-9)
    assert found <= exact * GROWTH * (1 + 1e-9)


def test_nothing_is_known_before_the_first() -> None:
    assert Latency().percentile(0.5) == inf


@pytest.mark.parametrize(("seconds", "found"), [(0.0, 1e-5), (-1.0, 1e-5), (1e9, 98.9)])
def test_what_is_out_of_range_is_counted_at_its_end(seconds: float, found: float) -> None:
    latency = Latency()
    latency.add(seconds)
    assert latency.percentile(0.5) == pytest.approx(found, rel=0.01)


def test_it_follows_what_changes() -> None:
    latency = Latency()
    for _ in range(10 * KEPT):
        latency.add(0.01)
    for _ in range(KEPT):
        latency.add(1.0)
    assert latency.percentile(0.5) == pytest.approx(1.0, rel=GROWTH - 1)
    assert latency.total < KEPT
