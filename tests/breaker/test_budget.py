"""The retry budget: a share of requests and a floor, over a sliding window."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.breaker import RetryBudget, RetryBudgetSpent
from mobius_infra.breaker._budget import BATCH
from mobius_infra.breaker._ring import BUCKETS, Ring
from mobius_infra.core import ConfigurationError, Event
from mobius_infra.testing import ManualClock


def take_all(budget: RetryBudget) -> int:
    taken = 0
    while budget.withdraw():
        taken += 1
    return taken


def make(manual_clock: ManualClock, **options: Any) -> RetryBudget:
    return RetryBudget(clock=manual_clock, **{"floor": 0.0, **options})


@pytest.mark.parametrize(
    ("requests", "options", "allowed"),
    [
        (100, {}, 20),
        (100, {"ratio": 0.29}, 29),  # 28.999999999999996 in floating point
        (4, {}, 0),
        (5, {}, 1),
        (0, {"floor": 1.0}, 10),
        (100, {"floor": 1.0}, 30),
        (100, {"floor": 0.5, "window": 4.0}, 22),
        (100, {"ratio": 0.0}, 0),
        (100, {"ratio": 2.0}, 200),
    ],
)
def test_retries_are_a_share_of_requests_and_a_floor(
    manual_clock: ManualClock, requests: int, options: dict[str, float], allowed: int
) -> None:
    budget = make(manual_clock, **options)
    for _ in range(requests):
        budget.request()
    assert take_all(budget) == allowed


def test_by_default_a_fifth_of_requests_and_one_a_second(manual_clock: ManualClock) -> None:
    budget = RetryBudget(clock=manual_clock)
    for _ in range(1000):
        budget.request()
    assert take_all(budget) == 200 + 10


def test_requests_and_retries_are_forgotten_together(manual_clock: ManualClock) -> None:
    budget = make(manual_clock)
    for _ in range(100):
        budget.request()
    assert take_all(budget) == 20
    manual_clock.tick(8.9)
    assert not budget.withdraw()
    manual_clock.tick(1.1)
    assert budget.stats().balance == 0
    for _ in range(50):
        budget.request()
    assert take_all(budget) == 10


def test_old_requests_allow_nothing(manual_clock: ManualClock) -> None:
    budget = make(manual_clock)
    for _ in range(BATCH * 10):
        budget.request()
    manual_clock.tick(10)
    assert take_all(budget) == 0


def test_only_the_last_batch_of_requests_can_be_taken_for_newer(manual_clock: ManualClock) -> None:
    budget = make(manual_clock, ratio=1.0)
    for _ in range(BATCH * 10 - 1):
        budget.request()
    manual_clock.tick(1000)
    assert take_all(budget) == BATCH - 1


def test_a_new_budget_on_a_machine_long_up_starts_empty(manual_clock: ManualClock) -> None:
    manual_clock.tick(1e7)
    budget = make(manual_clock, floor=1.0)
    assert take_all(budget) == 10


def test_it_tells_once_that_it_is_spent(manual_clock: ManualClock) -> None:
    budget = make(manual_clock, floor=0.1)
    heard: list[Event] = []
    budget.events.subscribe(heard.append)
    assert take_all(budget) == 1
    assert not budget.withdraw()
    spent = RetryBudgetSpent(source="retries", at=manual_clock.time(), requests=0, retries=1)
    assert heard == [spent]
    manual_clock.tick(10)
    assert take_all(budget) == 1
    assert len(heard) == 2


def test_its_numbers(manual_clock: ManualClock) -> None:
    budget = make(manual_clock, name="shop")
    for _ in range(10):
        budget.request()
    assert budget.stats().balance == 2
    take_all(budget)
    stats = budget.stats()
    assert (stats.requests, stats.withdrawn, stats.refused, stats.balance) == (10, 2, 1, 0)
    assert repr(budget) == "RetryBudget('shop', ratio=0.2, floor=0/s, window=10 s)"


@given(
    steps=st.lists(
        st.one_of(
            st.just("request"),
            st.just("withdraw"),
            st.floats(0, 25).map(lambda seconds: round(seconds, 2)),
        ),
        max_size=200,
    ),
    ratio=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    floor=st.sampled_from([0.0, 0.1, 0.35]),
)
def test_it_agrees_with_a_model_that_remembers_everything(
    steps: list[str | float], ratio: float, floor: float
) -> None:
    clock = ManualClock()
    budget = make(clock, ratio=ratio, floor=floor)
    requests: list[float] = []
    retries: list[float] = []
    unread = 0
    for step in steps:
        now = clock.monotonic()
        if step == "request":
            budget.request()
            unread += 1
        elif step != "withdraw":
            clock.tick(float(step))
            continue
        if unread == BATCH or step == "withdraw":
            requests += [now] * unread
            unread = 0
        if step == "withdraw":
            oldest = now // 1.0 - BUCKETS  # a bucket is a second wide
            recent = sum(at // 1.0 > oldest for at in requests)
            taken = sum(at // 1.0 > oldest for at in retries)
            allowed = round(ratio * recent + floor * 10 - taken, 9) >= 1
            assert budget.withdraw() is allowed
            retries += [now] * allowed


@given(gaps=st.lists(st.floats(0, 40), max_size=100))
def test_a_ring_counts_between_nine_tenths_of_the_window_and_all_of_it(gaps: list[float]) -> None:
    ring, now, times = Ring(10.0), 0.0, list[float]()
    for gap in gaps:
        now += gap
        ring.roll(now)
        ring.add(1, 0)
        times.append(now)
        # One ulp aside: the edge of a bucket falls where division says.
        assert sum(at > now - 9.0 + 1e-9 for at in times) <= ring.asked
        assert ring.asked <= sum(at > now - 10.0 - 1e-9 for at in times)


def test_a_clock_that_goes_back_changes_nothing() -> None:
    ring = Ring(10.0)
    ring.roll(100.0)
    ring.add(3, 1)
    ring.roll(5.0)
    assert (ring.asked, ring.granted) == (3, 1)
    ring.roll(109.0)
    assert (ring.asked, ring.granted) == (3, 1)
    ring.roll(110.0)
    assert (ring.asked, ring.granted) == (0, 0)


def test_its_memory_does_not_grow_with_traffic(manual_clock: ManualClock) -> None:
    budget = make(manual_clock)
    for _ in range(2000):
        budget.request()
        budget.withdraw()
        manual_clock.tick(0.5)
    assert len(budget._ring._asked) == len(budget._ring._granted) == BUCKETS
    assert sys.getsizeof(budget._ring._asked) < 200


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"ratio": -0.1}, "ratio"),
        ({"ratio": float("nan")}, "ratio"),
        ({"ratio": True}, "ratio"),
        ({"floor": -1.0}, "floor"),
        ({"floor": float("inf")}, "floor"),
        ({"window": 0.0}, "window"),
        ({"window": float("inf")}, "window"),
        ({"name": ""}, "name"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RetryBudget(**options)
    assert caught.value.field == field
