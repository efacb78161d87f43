"""Rates are the formula itself, whenever they are asked."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import Rates
from mobius_infra.testing import ManualClock

SPANS = (60.0, 300.0, 900.0)


def closed_form(events: list[tuple[float, float]], now: float) -> list[float]:
    """Weigh every event by its age, and divide by the weight of all time since 0."""
    return [
        sum(amount * math.exp((at - now) / span) for at, amount in events)
        / (span * (1 - math.exp(-max(now, 1.0) / span)))
        for span in SPANS
    ]


@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(0, 1000)), max_size=30),
    st.floats(0, 10_000),
    st.booleans(),
)
def test_rates_are_the_closed_form_however_often_they_are_read(
    steps: list[tuple[float, float]], more: float, read: bool
) -> None:
    clock, events = ManualClock(), []
    rates = Rates(clock=clock)
    for seconds, amount in steps:
        clock.tick(seconds)
        if read:
            rates.per_second()
        rates.add(amount)
        events.append((clock.monotonic(), amount))
    clock.tick(more)
    expected = closed_form(events, clock.monotonic())
    assert rates.per_second() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_steady_flow_shows_its_rate_from_the_start() -> None:
    """Metrics' meters and the kernel's load averages need spans to get there."""
    clock = ManualClock()
    rates = Rates(clock=clock)
    for tenth in range(1, 20_000):
        clock.tick(0.1)
        rates.add(0.5)
        if tenth in (10, 100, 1_000, 19_999):
            # Counted at the end of each tenth: off by at most half a tenth's weight.
            assert rates.per_second() == pytest.approx((5, 5, 5), rel=0.051)


def test_a_burst_falls_by_the_factor_e_in_each_span() -> None:
    clock = ManualClock()
    clock.tick(100_000)
    rates = Rates(spans=[60], clock=clock)
    clock.tick(100_000)
    rates.add(600)
    assert rates.per_second() == pytest.approx((10,))
    clock.tick(60)
    assert rates.per_second() == pytest.approx((10 / math.e,))


def test_a_poisson_flow_is_measured_without_bias() -> None:
    chance, found = random.Random(1), []
    for _ in range(200):
        clock = ManualClock()
        rates = Rates(clock=clock)
        while clock.monotonic() < 90:
            clock.tick(chance.expovariate(4.0))
            if clock.monotonic() < 90:
                rates.add()
        found.append(rates.per_second())
    for span in range(3):
        assert sum(each[span] for each in found) / len(found) == pytest.approx(4.0, rel=0.03)


def test_one_event_at_the_very_beginning_is_one_a_second() -> None:
    rates = Rates(clock=ManualClock())
    assert rates.per_second() == (0, 0, 0)
    rates.add()
    assert rates.per_second() == pytest.approx((1, 1, 1), rel=0.01)


def test_a_wall_clock_that_jumps_changes_nothing() -> None:
    clock = ManualClock()
    rates = Rates(clock=clock)
    rates.add(60)
    clock.tick(30)
    before = rates.per_second()
    for epoch in (0.0, 4e9):
        clock.set_time(epoch)
        rates.add(0)
        assert rates.per_second() == before


def test_a_clock_that_goes_back_is_taken_to_stand_still() -> None:
    class Broken(ManualClock):
        now = 10.0

        def monotonic(self) -> float:
            return self.now

    clock = Broken()
    rates = Rates(clock=clock)
    rates.add(10)
    clock.now = 5.0
    before = rates.per_second()
    rates.add(0)
    assert rates.per_second() == before == pytest.approx((10, 10, 10), rel=0.01)


def test_years_of_silence_end_at_zero() -> None:
    clock = ManualClock()
    rates = Rates(clock=clock)
    rates.add(1e140)
    clock.tick(1e9)
    assert rates.per_second() == (0, 0, 0)


@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf, 1e141, 10**400])
def test_what_is_no_number_is_counted_and_changes_nothing_else(amount: float) -> None:
    rates = Rates(clock=ManualClock())
    rates.add(2)
    before = rates.per_second()
    rates.add(amount)
    assert (rates.per_second(), rates.refused) == (before, 1)


@pytest.mark.parametrize("spans", [(), (0,), (60, -1), (math.nan,), (math.inf,)])
def test_spans_that_make_no_sense_are_refused(spans: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="spans"):
        Rates(spans)


def test_it_says_its_rates() -> None:
    rates = Rates([60], clock=ManualClock())
    assert repr(rates) == "Rates(0/s over 60 s)"
