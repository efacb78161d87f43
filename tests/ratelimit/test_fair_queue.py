"""Fair queues: turns, bounds, shards, and CoDel."""

import random
from collections import Counter, defaultdict, deque
from itertools import pairwise
from math import inf, sqrt
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mobius_infra.core import ConfigurationError
from mobius_infra.ratelimit import (
    FairQueue,
)
from mobius_infra.ratelimit._fair_codel import Codel
from mobius_infra.ratelimit._fair_queue import deal


def drain(queue: FairQueue[Any]) -> list[Any]:
    popped = []
    while (item := queue.pop()) is not None:
        popped.append(item)
    return popped


# The queue


class WaitQueue(Protocol):
    """What a bulkhead asks of a queue: the application plugs one in where slots are shared."""

    def push(self, tenant: str, item: object, /) -> bool: ...

    def pop(self) -> object | None: ...

    def remove(self, item: object, /) -> bool: ...

    def __len__(self) -> int: ...


def test_it_is_a_queue_for_whatever_hands_out_slots() -> None:
    queue: WaitQueue = FairQueue[object]()
    items = [object() for _ in range(3)]
    assert all(queue.push("a", item) for item in items)
    assert queue.remove(items[1])
    assert (queue.pop(), queue.pop(), queue.pop(), len(queue)) == (items[0], items[2], None, 0)


def test_tenants_take_turns_each_in_its_own_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        assert queue.push(item[0], item)
    assert drain(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert queue.pop() is None


def test_one_call_beside_ten_thousand_waits_at_most_one_round() -> None:
    queue: FairQueue[str] = FairQueue(per_tenant=10_000, capacity=20_000)
    for number in range(10_000):
        queue.push("flood", f"f{number}")
    for number in range(10):
        queue.pop()
        queue.push("alone", f"a{number}")
        assert f"a{number}" in (queue.pop(), queue.pop())


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 50), (2.5, 71), (3.0, 75), (9.0, 90)])
def test_a_weight_is_how_many_times_the_share_of_others(weight: float, expected: int) -> None:
    queue: FairQueue[int] = FairQueue(weights={"paid": weight}, per_tenant=1_000, capacity=2_000)
    for number in range(1_000):
        queue.push("paid", number)
        queue.push("free", -1 - number)
    served = [queue.pop() for _ in range(100)]
    assert sum(item is not None and item >= 0 for item in served) == pytest.approx(expected, abs=1)


def test_weights_may_be_a_function() -> None:
    queue: FairQueue[int] = FairQueue(weights=lambda tenant: 2 if tenant == "paid" else 1)
    for number in range(10):
        queue.push("paid", number)
        queue.push("free", -1 - number)
    assert [item >= 0 for item in drain(queue)[:6]] == [True, True, False] * 2


def test_dear_calls_are_paid_for() -> None:
    queue: FairQueue[str] = FairQueue(quantum=10)
    for number in range(50):
        queue.push("dear", f"d{number}", 10)
        queue.push("cheap", f"c{number}", 2)
    served = Counter(item[0] for item in drain(queue)[:30])
    assert served == {"c": 25, "d": 5}


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0.01, 5.0)), min_size=40, max_size=300),
    st.dictionaries(st.sampled_from("abcd"), st.floats(1, 8)),
)
@settings(deadline=None)
def test_while_two_tenants_wait_neither_is_ahead_by_more_than_a_turn_or_two(
    calls: list[tuple[str, float]], weights: dict[str, float]
) -> None:
    """Shreedhar and Varghese's bound: three quanta between any two, in what each was served."""
    quantum = 5.0
    queue: FairQueue[int] = FairQueue(weights=weights, per_tenant=300, quantum=quantum)
    costs = {}
    for number, (tenant, cost) in enumerate(calls):
        queue.push(tenant, number, cost)
        costs[number] = cost / weights.get(tenant, 1.0)
    served: dict[str, float] = defaultdict(float)
    waiting = {tenant for tenant, _ in calls}
    for item in iter(queue.pop, None):
        assert item is not None
        tenant = calls[item][0]
        served[tenant] += costs[item]
        waiting = {each for each in waiting if queue.waiting(each)}
        shares = [served[each] for each in waiting]
        if shares:
            assert max(shares) - min(shares) <= 3 * quantum + 1e-6


def test_too_much_of_one_tenant_or_in_all_is_refused_and_changes_nothing() -> None:
    queue: FairQueue[int] = FairQueue(per_tenant=2, capacity=3)
    assert [queue.push("a", n) for n in range(3)] == [True, True, False]
    assert queue.push("b", 10)
    assert not queue.push("c", 20)
    assert len(queue) == 3
    assert drain(queue) == [0, 10, 1]
    assert queue.push("c", 20)


def test_an_idle_tenant_saves_nothing_up() -> None:
    queue: FairQueue[str] = FairQueue(quantum=4)
    for number in range(20):
        queue.push("busy", f"b{number}", 4)
        queue.push("rare", f"r{number}", 0.1)  # leaves most of its turn unused each time
        assert queue.remove(f"r{number}")
    for number in range(20):
        queue.push("rare", f"R{number}", 4)
    served = Counter(item[0] for item in drain(queue)[:20])
    assert abs(served["R"] - served["b"]) <= 1


@pytest.mark.parametrize("shards", [None, 8])
def test_nothing_is_kept_of_what_does_not_wait(shards: int | None) -> None:
    queue: FairQueue[int] = FairQueue(shards=shards)
    for number in range(5_000):
        queue.push(f"t{number}", number)
        if number % 2:
            assert queue.remove(number)
            assert not queue.remove(number)
        else:
            queue.pop()
    assert (len(queue), queue.tenants) == (0, 0)
    assert not queue._lanes
    assert not queue._tenants
    assert not queue._waiting


class AgainstLists(RuleBasedStateMachine):
    """Pushes, pops and removals in any order, beside a list for each tenant."""

    shards: int | None = None

    def __init__(self) -> None:
        super().__init__()
        weights = {"b": 2.0, "c": 3.5}
        self.queue: FairQueue[int] = FairQueue(
            weights=weights, per_tenant=4, capacity=10, quantum=3, shards=self.shards, seed=b"s"
        )
        self.model: dict[str, list[int]] = defaultdict(list)
        self.number = 0

    @property
    def all(self) -> list[int]:
        return [item for items in self.model.values() for item in items]

    @rule(tenant=st.sampled_from("abcdefg"), cost=st.floats(0.1, 3))
    def push(self, tenant: str, cost: float) -> None:
        self.number += 1
        room = len(self.model[tenant]) < 4 and len(self.all) < 10
        assert self.queue.push(tenant, self.number, cost) == room
        if room:
            self.model[tenant].append(self.number)

    @rule()
    def pop(self) -> None:
        item = self.queue.pop()
        if item is None:
            assert not self.all
            return
        first = self.shards is None
        owner = next(name for name, items in self.model.items() if item in items)
        assert not first or self.model[owner][0] == item
        self.model[owner].remove(item)

    @precondition(lambda self: self.all)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.all))
        assert self.queue.remove(item)
        for items in self.model.values():
            if item in items:
                items.remove(item)

    @rule()
    def remove_what_is_not_there(self) -> None:
        assert not self.queue.remove(-1)

    @invariant()
    def they_agree(self) -> None:
        assert len(self.queue) == len(self.all)
        assert self.queue.tenants == sum(map(bool, self.model.values()))
        for tenant, items in self.model.items():
            assert self.queue.waiting(tenant) == len(items)
        for lane in self.queue._lanes.values():
            assert lane.costs
            assert 0 <= lane.deficit < 6


class AgainstListsSharded(AgainstLists):
    shards = 3


AgainstLists.TestCase.settings = settings(max_examples=60, deadline=None)
AgainstListsSharded.TestCase.settings = settings(max_examples=60, deadline=None)
TestFairQueue = AgainstLists.TestCase
TestShardedFairQueue = AgainstListsSharded.TestCase


def test_what_is_void_is_taken_out_and_costs_its_tenant_no_turn() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "b2"):
        queue.push(item[0], item)
    void = {"a1", "b2"}.__contains__
    popped = [queue.pop(void) for _ in range(3)]
    assert popped == ["a2", "b1", "a3"]
    assert queue.pop(void) is None
    assert len(queue) == 0


# Shuffle sharding


@settings(max_examples=50)
@given(st.text(), st.integers(1, 200), st.integers(1, 8), st.binary(max_size=64))
def test_a_hand_is_of_different_lanes_and_always_the_same(
    tenant: str, shards: int, hand: int, seed: bytes
) -> None:
    hand = min(hand, shards)
    dealt = deal(tenant, shards, hand, seed)
    assert len(set(dealt)) == hand
    assert all(0 <= lane < shards for lane in dealt)
    assert dealt == deal(tenant, shards, hand, seed)


def test_every_hand_is_as_likely() -> None:
    hands = Counter(tuple(sorted(deal(f"t{n}", 5, 2, b"seed"))) for n in range(20_000))
    assert len(hands) == 10
    assert all(abs(count - 2_000) < 200 for count in hands.values())
    assert deal("t1", 1_000, 2, b"seed") != deal("t1", 1_000, 2, b"other")


def test_of_very_many_tenants_few_meet_a_flood_in_all_of_their_lanes() -> None:
    queue: FairQueue[str] = FairQueue(per_tenant=10_000, capacity=40_000, shards=64, seed=b"seed")
    for number in range(10_000):
        queue.push("flood", f"f{number}")
    for number in range(1_000):
        queue.push(f"t{number}", f"t{number}")
    assert len(queue._lanes) <= 64
    # A round serves one of each lane. Without shards it would be 1,001 pops; with one lane, 11,000.
    served = [item for item in drain(queue)[: 64 * 40] if item[0] == "t"]
    assert len(served) >= 995


# CoDel


class Reference:
    """CoDel as section 5 of RFC 8289 writes it, on a queue of (arrival) times."""

    def __init__(self, target: float, interval: float) -> None:
        self.target, self.interval = target, interval
        self.first_above_time = self.drop_next = 0.0
        self.count = self.lastcount = 0
        self.dropping = False
        self.queue: deque[float] = deque()
        self.dropped: list[float] = []

    def dodequeue(self, now: float) -> tuple[float | None, bool]:
        if not self.queue:
            self.first_above_time = 0.0
            return None, False
        arrived = self.queue.popleft()
        if now - arrived < self.target or not self.queue:
            self.first_above_time = 0.0
        elif self.first_above_time == 0:
            self.first_above_time = now + self.interval
        elif now >= self.first_above_time:
            return arrived, True
        return arrived, False

    def control_law(self, at: float, count: int) -> float:
        return at + self.interval / sqrt(count)

    def dequeue(self, now: float) -> float | None:
        arrived, ok_to_drop = self.dodequeue(now)
        if self.dropping:
            if not ok_to_drop:
                self.dropping = False
            while now >= self.drop_next and self.dropping:
                assert arrived is not None
                self.dropped.append(arrived)
                self.count += 1
                arrived, ok_to_drop = self.dodequeue(now)
                if not ok_to_drop:
                    self.dropping = False
                else:
                    self.drop_next = self.control_law(self.drop_next, self.count)
        elif ok_to_drop:
            assert arrived is not None
            self.dropped.append(arrived)
            arrived, ok_to_drop = self.dodequeue(now)
            self.dropping = True
            delta = self.count - self.lastcount
            self.count = 1
            if delta > 1 and now - self.drop_next < 16 * self.interval:
                self.count = delta
            self.drop_next = self.control_law(now, self.count)
            self.lastcount = self.count
        return arrived


@given(seed=st.integers(0, 10_000), load=st.floats(0.7, 2.5), pace=st.floats(0.002, 0.02))
@settings(max_examples=60, deadline=None)
def test_codel_drops_what_the_rfc_drops(seed: int, load: float, pace: float) -> None:
    chance = random.Random(seed)
    reference, codel = Reference(0.005, 0.1), Codel()
    queue: deque[float] = deque()
    dropped = []
    now, arrival = 1.0, 1.0
    for _ in range(1_500):
        now += pace
        while arrival <= now:
            queue.append(arrival)
            reference.queue.append(arrival)
            arrival += chance.expovariate(load / pace)
        served = None
        while queue and served is None:
            served = queue.popleft()
            if codel.drops(now - served if queue else 0.0, now):
                dropped.append(served)
                served = None
        assert served == reference.dequeue(now)
        assert dropped == reference.dropped
    assert dropped or load < 1.5


def test_a_queue_that_empties_within_an_interval_loses_nothing() -> None:
    codel = Codel()
    for round_ in range(50):
        for waiting in range(9, -1, -1):
            now = round_ + (9 - waiting) / 100
            assert not codel.drops(0.05 if waiting else 0.0, now)


def test_codel_waits_for_a_whole_interval_and_then_drops_ever_faster() -> None:
    codel = Codel(target=0.005, interval=0.1)
    times = [n / 1000 for n in range(2_000) if codel.drops(0.006, n / 1000)]
    assert times[0] == 0.1
    gaps = [late - early for early, late in pairwise(times)]
    expected = [0.1 / sqrt(count) for count in range(1, len(gaps) + 1)]
    assert gaps == pytest.approx(expected, abs=0.002)
    assert len(times) > 80


NAN = float("nan")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"weights": {"a": 0}}, "weights['a']"),
        ({"weights": {"a": 0.5}}, "weights['a']"),
        ({"weights": {"a": NAN}}, "weights['a']"),
        ({"weights": {"a": inf}}, "weights['a']"),
        ({"weights": {"a": True}}, "weights['a']"),
        ({"per_tenant": 0}, "per_tenant"),
        ({"per_tenant": True}, "per_tenant"),
        ({"capacity": 0}, "capacity"),
        ({"quantum": 0}, "quantum"),
        ({"quantum": NAN}, "quantum"),
        ({"shards": 0}, "shards"),
        ({"shards": 1}, "hand"),
        ({"shards": 64, "hand": 9}, "hand"),
        ({"seed": bytes(65)}, "seed"),
    ],
)
def test_bad_queues_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FairQueue(**options)
    assert caught.value.field == field


@pytest.mark.parametrize("cost", [0, -1, NAN, inf, True, 1.5])
def test_bad_costs_are_refused_and_change_nothing(cost: float) -> None:
    queue: FairQueue[int] = FairQueue()
    with pytest.raises(ConfigurationError) as caught:
        queue.push("a", 1, cost)
    assert caught.value.field == "cost"
    assert len(queue) == 0


def test_what_waits_already_and_a_weight_that_turns_bad_are_refused() -> None:
    queue: FairQueue[int] = FairQueue(weights=lambda tenant: 0.0)
    with pytest.raises(ConfigurationError, match="weights"):
        queue.push("a", 1)
    assert (len(queue), queue.tenants) == (0, 0)
    queue = FairQueue()
    queue.push("a", 1)
    with pytest.raises(ConfigurationError, match="not waiting already"):
        queue.push("b", 1)
    assert len(queue) == 1
