"""Pauses: grown, clamped, then jittered."""

from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.breaker._backoff import Backoff, Jitter
from mobius_infra.core import ConfigurationError

JITTERS = get_args(Jitter)
draws = st.floats(0, 1, exclude_max=True)


def test_without_jitter_each_pause_doubles_up_to_the_bound() -> None:
    backoff = Backoff(1.0, 10.0, jitter="none")
    assert [backoff.pause(attempt, 0.3) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("jitter", "least", "most"), [("full", 0.0, 8.0), ("equal", 4.0, 8.0), ("none", 8.0, 8.0)]
)
def test_jitter_covers_its_range(jitter: Jitter, least: float, most: float) -> None:
    backoff = Backoff(1.0, 60.0, jitter=jitter)
    assert backoff.pause(4, 0.0) == most
    assert backoff.pause(4, 1 - 1e-12) == pytest.approx(least, abs=1e-9)


@pytest.mark.parametrize("jitter", ["full", "equal"])
def test_late_pauses_still_differ(jitter: Jitter) -> None:
    """Jitter before the clamp would make every one of them exactly `most`."""
    backoff = Backoff(1.0, 60.0, jitter=jitter)
    assert len({backoff.pause(50, draw / 100) for draw in range(100)}) == 100


def test_decorrelated_pauses_depend_on_the_previous_one_alone() -> None:
    backoff = Backoff(1.0, 60.0, jitter="decorrelated")
    assert backoff.pause(1, 0.0) == backoff.pause(9, 0.0) == 1.0
    assert backoff.pause(1, 0.5, previous=5.0) == 8.0  # halfway from 1 to 15
    assert len({backoff.pause(50, draw / 100, previous=60.0) for draw in range(100)}) == 100


@given(
    jitter=st.sampled_from(JITTERS),
    first=st.floats(1e-3, 1e3),
    times=st.floats(1, 1e3),
    factor=st.floats(1, 100),
    attempt=st.integers(1, 100_000),
    draw=draws,
    previous=st.floats(0, 1e6),
)
def test_a_pause_is_positive_and_never_exceeds_the_bound(
    jitter: Jitter, first: float, times: float, factor: float, attempt: int, draw: float,
    previous: float,
) -> None:  # fmt: skip
    backoff = Backoff(first, first * times, factor, jitter)
    assert 0 < backoff.pause(attempt, draw, previous) <= backoff.most


@given(jitter=st.sampled_from(["full", "equal", "none"]), draw=draws)
def test_the_same_draw_never_gives_a_shorter_pause_later(jitter: Jitter, draw: float) -> None:
    backoff = Backoff(jitter=jitter)
    pauses = [backoff.pause(attempt, draw) for attempt in range(1, 2000)]
    assert all(earlier <= later for earlier, later in pairwise(pauses))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"first": 0}, "first"),
        ({"first": -1.0}, "first"),
        ({"first": float("nan")}, "first"),
        ({"first": True}, "first"),
        ({"first": "1"}, "first"),
        ({"most": 0.5}, "most"),
        ({"most": float("inf")}, "most"),
        ({"factor": 0.9}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"jitter": "some"}, "jitter"),
    ],
)
def test_values_out_of_range_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Backoff(**options)
    assert caught.value.field == field
