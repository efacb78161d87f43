"""The token bucket holds its guarantee, whatever is asked of it and whenever."""

from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, State
from mobius_infra.ratelimit import Rate, TokenBucket
from mobius_infra.ratelimit._bucket import take

RATES = st.sampled_from([0.1, 1 / 3, 1.0, 7.0, 1e4])
BURSTS = st.sampled_from([1.0, 2.0, 10.5, 1000.0])
CALLS = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0, 1e-3), st.floats(0, 20)),  # seconds since the last
        st.sampled_from([0.0, 0.5, 1.0, 3.0]),  # cost
    ),
    max_size=60,
)


@given(RATES, BURSTS, CALLS)
def test_no_stretch_of_time_lets_more_through_than_it_says(
    rate: float, burst: float, calls: list[tuple[float, float]]
) -> None:
    state: State | None = None
    passed: list[tuple[float, float]] = []
    now = 1e9
    for gap, cost in calls:
        now += gap
        state, (allowed, *_), _ = take(state, now, rate, burst, cost)
        if allowed:
            passed.append((now, cost))
    for first, (start, _) in enumerate(passed):
        for (end, _), total in zip(
            passed[first:], accumulate(cost for _, cost in passed[first:]), strict=True
        ):
            assert total <= burst + rate * (end - start) + 1e-6


@given(RATES, BURSTS, CALLS)
def test_it_decides_as_an_exact_model_does(
    rate: float, burst: float, calls: list[tuple[float, float]]
) -> None:
    state: State | None = None
    exact, seen = Fraction(burst), Fraction(0)
    now = 0.0
    for gap, cost in calls:
        now += gap
        exact = min(Fraction(burst), exact + (Fraction(now) - seen) * Fraction(rate))
        seen = Fraction(now)
        state, (allowed, tokens, wait, reset), _ = take(state, now, rate, burst, cost)
        if abs(exact - Fraction(cost)) > Fraction(1, 10**6):  # else floats may say either
            assert allowed == (exact >= cost)
        if allowed:
            exact -= Fraction(cost)
        assert tokens == pytest.approx(float(exact), abs=1e-6)
        assert wait == pytest.approx(
            0 if allowed else float((cost - exact) / Fraction(rate)), abs=1e-4
        )
        assert reset == pytest.approx(float((Fraction(burst) - exact) / Fraction(rate)), abs=1e-4)


@given(RATES, BURSTS, st.floats(0, 1000))
def test_who_waits_as_long_as_told_passes(rate: float, burst: float, start: float) -> None:
    state, _, _ = take(None, start, rate, burst, burst)
    state, (allowed, _, wait, _), _ = take(state, start, rate, burst, 1.0)
    assert not allowed
    assert take(state, start + wait, rate, burst, 1.0)[1][0]


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing_away() -> None:
    state, _, _ = take(None, 100.0, 1.0, 5.0, 5.0)
    state, (allowed, tokens, *_), _ = take(state, 50.0, 1.0, 5.0, 1.0)
    assert (allowed, tokens) == (False, 0.0)
    assert take(state, 101.0, 1.0, 5.0, 1.0)[1][0]


def test_a_full_bucket_need_not_be_kept() -> None:
    assert take(None, 0.0, 2.0, 10.0, 4.0)[2] == 2.0


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("5/second", 5.0),
        ("90 per minute", 1.5),
        ("10/5 seconds", 2.0),
        ("0.5/second", 0.5),
        ("36/Hour", 0.01),
    ],
)
def test_rates_are_read(text: str, per_second: float) -> None:
    assert Rate.parse(text).per_second == per_second


@pytest.mark.parametrize("text", ["", "5", "5/fortnight", "-1/second", "0/second", "5/0 seconds"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Rate.parse(text)


def test_the_burst_is_what_the_rate_gives_in_its_period_unless_said() -> None:
    assert TokenBucket("100/minute").burst == 100
    assert TokenBucket(0.2).burst == 1
    assert repr(TokenBucket("30/minute", 5)) == "TokenBucket(rate=0.5, burst=5)"
    with pytest.raises(ConfigurationError, match="burst"):
        TokenBucket(1, 0.5)
    with pytest.raises(ConfigurationError, match="rate"):
        TokenBucket(float("nan"))
