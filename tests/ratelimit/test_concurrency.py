"""How a limit on concurrency is found: the pure steps, and what they share."""

import random
from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.ratelimit import (
    Aimd,
    Algorithm,
    Gradient2,
    Sample,
    Vegas,
)
from mobius_infra.ratelimit._adaptive_control import PROBE, Control

ALGORITHMS: list[Callable[[], Algorithm]] = [Aimd, Vegas, Gradient2]
BY_LATENCY: list[Callable[[], Algorithm]] = [Vegas, Gradient2]

SAMPLES = st.builds(
    Sample,
    rtt=st.one_of(st.just(0.0), st.floats(1e-6, 1e3)),
    inflight=st.integers(0, 2_000),
    dropped=st.integers(0, 5),
    now=st.floats(0, 1e6),
).filter(lambda sample: sample.rtt or sample.dropped)


def control(algorithm: Algorithm, initial: int = 20, **options: Any) -> Control:
    given: dict[str, Any] = {"minimum": 1, "maximum": 1_000, "interval": 30.0, "draw": lambda: 0.5}
    return Control(algorithm, initial, **{**given, **options})


def known(algorithm: Algorithm, baseline: float = 0.1, **options: Any) -> Control:
    """Return a control that has measured its baseline at time 0."""
    made = control(algorithm, **options)
    made.step(Sample(baseline, 1, 0, 0.0))
    made.step(Sample(baseline, 1, 0, 0.0))
    assert not made.probing
    return made


# The pure steps


@pytest.mark.parametrize("make", ALGORITHMS)
@given(limit=st.floats(1, 1e4), baseline=st.floats(1e-6, 10), sample=SAMPLES)
def test_a_step_is_a_sane_number_and_a_drop_never_raises_the_limit(
    make: Callable[[], Algorithm], limit: float, baseline: float, sample: Sample
) -> None:
    found = make().step(limit, baseline, sample)
    assert 0.4 * limit - 1 <= found <= limit + max(100.0, limit)
    assert found < limit or not sample.dropped


@pytest.mark.parametrize("make", BY_LATENCY)
def test_the_limit_grows_where_nothing_queues_and_falls_where_most_does(
    make: Callable[[], Algorithm],
) -> None:
    step = make().step
    assert step(50, 0.1, Sample(0.1, 50, 0, 0.0)) > 50
    assert step(50, 0.1, Sample(0.5, 50, 0, 0.0)) < 50


def test_vegas_rests_between_its_bounds() -> None:
    limit = 100.0  # one decade is two units: it rests with 6 to 12 calls queued
    resting = [
        queued
        for queued in range(1, 30)
        if Vegas().step(limit, 1.0, Sample(1 / (1 - queued / limit), 100, 0, 0.0)) == limit
    ]
    assert set(range(7, 12)) <= set(resting) <= set(range(6, 13))


def test_gradient2_never_more_than_halves_and_smooths() -> None:
    alone = Gradient2(smoothing=1.0)
    assert alone.step(100, 0.1, Sample(100.0, 100, 0, 0.0)) == 100 * 0.5 + 10
    assert alone.step(100, 0.1, Sample(0.149, 100, 0, 0.0)) == 100 + 10  # within the tolerance
    assert Gradient2().step(100, 0.1, Sample(100.0, 100, 0, 0.0)) == pytest.approx(100 - 0.2 * 40)


def test_aimd_takes_latency_above_its_timeout_for_a_drop() -> None:
    assert Aimd(timeout=0.5).step(10, 0.0, Sample(0.6, 10, 0, 0.0)) == 9
    assert Aimd().step(10, 0.0, Sample(0.6, 10, 0, 0.0)) == 11


# What they share


@pytest.mark.parametrize("make", ALGORITHMS)
@given(samples=st.lists(SAMPLES, max_size=60), initial=st.integers(3, 40))
@settings(deadline=None)
def test_the_limit_stays_within_its_bounds_and_does_not_grow_while_hardly_used(
    make: Callable[[], Algorithm], samples: list[Sample], initial: int
) -> None:
    made = control(make(), initial, minimum=3, maximum=40)
    for sample in sorted(samples, key=lambda sample: sample.now):
        before = made.found
        limit = made.step(sample)
        assert 3 <= limit <= made.found <= 40
        if sample.inflight < before / 2:
            assert made.found <= before
            assert made.found == before or sample.dropped


@pytest.mark.parametrize("make", ALGORITHMS)
def test_the_limit_grows_to_its_maximum_and_falls_to_its_minimum(
    make: Callable[[], Algorithm],
) -> None:
    made = control(make(), minimum=2, maximum=30)
    for _ in range(100):
        made.step(Sample(0.1, 30, 0, 0.0))
    assert made.limit == 30
    for _ in range(100):
        made.step(Sample(0.0, 30, 1, 0.0))
    assert made.limit == 2


@pytest.mark.parametrize("make", ALGORITHMS)
def test_half_in_use_is_enough_to_grow_and_less_is_not(make: Callable[[], Algorithm]) -> None:
    made = known(make(), initial=20) if make is not Aimd else control(make())
    made.step(Sample(0.1, 9, 0, 1.0))
    assert made.found == 20
    made.step(Sample(0.1, 10, 0, 1.0))
    assert made.found > 20


@pytest.mark.parametrize("make", BY_LATENCY)
def test_the_baseline_is_measured_under_a_quarter_of_the_limit_once_others_have_ended(
    make: Callable[[], Algorithm],
) -> None:
    made = known(make(), baseline=0.1, initial=40)
    assert (made.limit, made.window) == (40, 40)
    made.step(Sample(0.12, 10, 0, 30.0))
    assert made.probing
    assert (made.limit, made.window) == (10, 10)
    made.step(Sample(0.3, 30, 0, 30.1))  # still of the calls that began before
    made.step(Sample(0.3, 30, 0, 30.25))  # two round trips later: the last that is not counted
    assert made.baseline == 0.1
    assert made.window == PROBE
    made.step(Sample(0.2, 10, 0, 30.5))
    assert made.baseline == 0.2
    assert (made.limit, made.window) == (40, 40)


@pytest.mark.parametrize(("drawn", "after"), [(0.0, 22.5), (0.5, 30.0), (1.0, 37.5)])
def test_the_time_between_measurements_is_jittered(drawn: float, after: float) -> None:
    made = known(Gradient2(), draw=lambda: drawn)
    made.step(Sample(0.1, 1, 0, after - 0.01))
    assert not made.probing
    made.step(Sample(0.1, 1, 0, after))
    assert made.probing


def test_aimd_measures_no_baseline() -> None:
    made = control(Aimd())
    assert made.limit == 20
    for now in range(1_000):
        made.step(Sample(0.1, 1, 0, float(now)))
        assert not made.probing


def test_where_some_calls_time_out_at_every_load_the_baseline_is_still_measured() -> None:
    made = control(Gradient2(), initial=40)
    made.step(Sample(0.1, 10, 1, 0.0))
    made.step(Sample(0.1, 10, 1, 0.1))
    assert not made.probing
    assert made.baseline == 0.1


def test_a_measurement_ends_also_when_nothing_succeeded_for_a_while() -> None:
    made = known(Vegas())
    made.step(Sample(0.1, 1, 0, 31.0))
    for now in range(32, 40):
        made.step(Sample(0.0, 1, 5, float(now)))
        assert made.baseline == 0.1
    made.step(Sample(0.1, 1, 0, 41.0))
    assert not made.probing


@pytest.mark.parametrize("make", BY_LATENCY)
@pytest.mark.parametrize(("workers", "initial"), [(2, 20), (10, 20), (10, 400), (100, 20)])
def test_under_an_overload_that_lasts_the_baseline_does_not_drift(
    make: Callable[[], Algorithm], workers: int, initial: int
) -> None:
    """Every slot is always taken: latency is what queueing makes of it."""
    made = known(make(), initial=initial, draw=random.Random(1).random)
    made.baseline = 0.05 * max(1.0, initial / workers)  # as a start in the midst of overload has it
    now = 1.0
    for _ in range(8_000):
        rtt = 0.05 * max(1.0, made.limit / workers)
        now += made.window / made.limit * rtt
        made.step(Sample(rtt, made.limit, 0, now))
    assert now > 300
    assert made.baseline == pytest.approx(0.05)
    assert workers <= made.found < 1.5 * workers + 2 * workers**0.5 + 6


def test_a_dependency_that_became_slower_for_good_is_measured_anew() -> None:
    made = known(Gradient2(), baseline=0.05)
    now = 1.0
    for _ in range(1_000):
        now += 0.2 * made.window / made.limit
        made.step(Sample(0.2, made.limit, 0, now))
    assert made.baseline == pytest.approx(0.2)
    assert made.found > 100  # nothing queues: only its work takes longer


NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Aimd(backoff=1.0), "backoff"),
        (lambda: Aimd(backoff=NAN), "backoff"),
        (lambda: Aimd(timeout=0), "timeout"),
        (lambda: Aimd(timeout=NAN), "timeout"),
        (lambda: Vegas(low=0), "low"),
        (lambda: Vegas(low=6, high=6), "high"),
        (lambda: Vegas(high=inf), "high"),
        (lambda: Vegas(backoff=0), "backoff"),
        (lambda: Gradient2(tolerance=0.9), "tolerance"),
        (lambda: Gradient2(tolerance=5), "tolerance"),
        (lambda: Gradient2(smoothing=0), "smoothing"),
        (lambda: Gradient2(smoothing=True), "smoothing"),
        (lambda: Gradient2(backoff=2), "backoff"),
    ],
)
def test_bad_algorithms_are_refused_by_field(make: Callable[[], object], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.field == field
