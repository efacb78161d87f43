"""Policies: bounded, consistent, and good at what they are made for."""

import random
from collections.abc import Callable, Iterable

import cachetools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.cache import Cache, MemoryTier
from mobius_infra.cache._lirs import AdaptiveLirs, Lirs
from mobius_infra.cache._policy import POLICIES
from mobius_infra.core import ConfigurationError
from mobius_infra.testing import ManualClock


def read(memory: MemoryTier, key: str) -> bool:
    """Read a key as the cache does; say whether it was a hit."""
    entry = memory.entries.get(key)
    if entry is None:
        memory.put(key, key)
        return False
    if not entry.visited:
        memory.note(entry)
    return True


def hit_rate(policy: str, capacity: int, keys: Iterable[int]) -> float:
    memory = MemoryTier(capacity, policy=policy)
    hits = [read(memory, f"k{key}") for key in keys]
    return sum(hits) / len(hits)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["read", "put", "drop"]), st.integers(0, 12)), max_size=120
)


@pytest.mark.parametrize("policy", POLICIES)
@given(capacity=st.integers(0, 6), operations=OPERATIONS)
def test_whatever_is_done_the_bound_holds_and_what_is_held_is_right(
    policy: str, capacity: int, operations: list[tuple[str, int]]
) -> None:
    memory = MemoryTier(capacity, policy=policy)
    for number, (operation, name) in enumerate(operations):
        key = f"k{name}"
        if operation == "read":
            read(memory, key)
        elif operation == "put":
            memory.put(key, (key, number))
        else:
            memory.drop(key)
            assert key not in memory.entries
        assert len(memory.entries) <= capacity
        assert all(entry.key == held for held, entry in memory.entries.items())
    memory.clear()
    for name in range(20):  # the policy has forgotten what was dropped, too
        memory.put(f"n{name}", name)
    assert len(memory.entries) == capacity


@given(
    weights=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), max_size=60),
    most=st.integers(1, 60),
)
def test_weights_never_exceed_their_bound(weights: list[tuple[int, int]], most: int) -> None:
    memory = MemoryTier(5, max_bytes=most, weigher=lambda key, value: value)
    for name, weight in weights:
        memory.put(f"k{name}", weight)
        assert memory.weight == sum(entry.value for entry in memory.entries.values()) <= most


class StackLirs:
    """LIRS as the paper has it, slowly: one stack of all keys, in lists."""

    def __init__(self, capacity: int, most_hot: int) -> None:
        self.capacity, self.most_hot = capacity, most_hot
        self.stack: list[str] = []
        self.hot: set[str] = set()
        self.queue: list[str] = []

    def read(self, key: str) -> str | None:
        """Read a key; return what is evicted for it."""
        if key in self.hot:
            self.on_top(key)
            self.prune()
            return None
        there_is_room = len(self.hot) < self.most_hot and not self.queue
        held, in_stack = key in self.queue, key in self.stack
        if held:
            self.queue.remove(key)
        self.on_top(key)
        if in_stack or (there_is_room and not held):
            self.hot.add(key)
            if len(self.hot) > self.most_hot:
                self.cool()
        else:
            self.queue.append(key)
        if len(self.hot) + len(self.queue) <= self.capacity:
            return None
        return self.queue.pop(0)

    def on_top(self, key: str) -> None:
        if key in self.stack:
            self.stack.remove(key)
        self.stack.append(key)

    def cool(self) -> None:
        key = self.stack.pop(0)
        self.hot.remove(key)
        self.queue.append(key)
        self.prune()

    def prune(self) -> None:
        while self.stack[0] not in self.hot:
            self.stack.pop(0)


@given(
    capacity=st.integers(2, 10),
    share=st.sampled_from([0.01, 0.3, 0.6]),
    keys=st.lists(st.integers(0, 14), max_size=40),
)
def test_numbers_of_reads_stand_for_the_stack_of_the_paper(
    capacity: int, share: float, keys: list[int]
) -> None:
    lirs = Lirs(capacity, share)
    paper = StackLirs(capacity, capacity - max(1, int(capacity * share)))
    evicted = 0
    for key in map(str, keys):
        if evicted == 2 * capacity:  # from here on the first of the evicted may be forgotten
            break
        victim = None
        if key in lirs:
            lirs.touch(key)
        else:
            lirs.add(key)
            victim = lirs.victim() if len(lirs) > capacity else None
        evicted += victim is not None
        assert victim == paper.read(key)


def test_what_is_remembered_of_evicted_keys_is_bounded() -> None:
    lirs = Lirs(50, 0.3)
    for number in range(5_000):
        lirs.add(str(number))
        if len(lirs) > 50:
            lirs.victim()
        assert len(lirs._gone) + len(lirs._gone_before) <= 2 * 50


@pytest.mark.parametrize("policy", ["adaptive", "w-tinylfu"])
def test_a_loop_longer_than_the_cache_still_hits(policy: str) -> None:
    loop = [number % 150 for number in range(15_000)]
    assert hit_rate("lru", 100, loop) == 0
    assert hit_rate(policy, 100, loop) > 0.55  # the best possible is 0.66


@pytest.mark.parametrize("policy", ["adaptive", "w-tinylfu", "sieve"])
def test_a_scan_does_not_flush_what_is_used(policy: str) -> None:
    chance = random.Random(1)
    keys = []
    for number in range(20_000):
        keys += [chance.randrange(80), 1_000 + number]
    assert hit_rate(policy, 100, keys) > 0.4  # of 0.5: every second key is new
    assert hit_rate("fifo", 100, keys) < 0.3


def test_where_recency_is_all_that_counts_the_default_becomes_lru() -> None:
    turn = [*range(400), *range(399, -1, -1)]
    keys = turn * 40
    assert hit_rate("adaptive", 100, keys) > 0.9 * hit_rate("lru", 100, keys) > 0.2
    policy = AdaptiveLirs(100)
    held: set[str] = set()
    for key in map(str, keys):
        if key in held:
            policy.touch(key)
        else:
            policy.add(key)
            held.add(key)
            if len(held) > 100:
                held.discard(policy.victim())
    assert policy.share == 1.0


def test_a_class_of_cachetools_and_a_function_are_policies_too() -> None:
    memory = MemoryTier(2, policy=cachetools.LRUCache)
    for key in ("a", "b", "a", "c"):
        read(memory, key)
    assert set(memory.entries) == {"a", "c"}
    memory = MemoryTier(2, policy=POLICIES["fifo"])
    for key in ("a", "b", "a", "c"):
        read(memory, key)
    assert set(memory.entries) == {"b", "c"}


def fail(key: str, value: object) -> int:
    raise ValueError(key)


def big(key: str, value: object) -> int:
    return 1_000


@pytest.mark.parametrize(("weigher", "cause"), [(fail, "unweighable"), (big, "oversize")])
async def test_a_value_that_can_not_be_weighed_or_is_too_large_is_returned_and_not_held(
    weigher: Callable[[str, object], int], cause: str
) -> None:
    cache = Cache("c", tiers=[MemoryTier(max_bytes=100, weigher=weigher)])
    calls = []

    @cache.cached()
    async def get(x: int) -> int:
        calls.append(x)
        return x

    assert [await get(1), await get(1)] == [1, 1]
    assert calls == [1, 1]
    assert cache.stats().evictions == {cause: 2}


async def test_what_is_evicted_while_it_is_found_by_its_arguments_is_gone(
    manual_clock: ManualClock,
) -> None:
    """Also from the index by arguments, which would otherwise grow without bound."""
    cache = Cache("c", tiers=[MemoryTier(3)], clock=manual_clock)
    calls = 0

    @cache.cached()
    async def get(x: int) -> int:
        nonlocal calls
        calls += 1
        return x

    for _ in range(3):
        for number in range(50):
            assert await get(number) == number
    assert cache.stats().entries == 3
    assert calls > 100
    indexes = {id(entry.index): entry.index for entry in cache._memory.entries.values()}
    assert [len(index) for index in indexes.values() if index is not None] == [3]


async def test_equal_arguments_of_other_types_are_never_each_others_value() -> None:
    cache = Cache("c")

    @cache.cached()
    async def get(x: object, y: object = None) -> str:
        return f"{x!r} {y!r}"

    values: list[object] = [1, True, 1.0, "1", 0, False, 0.0, -0.0, None, (1,), (True,), b"1"]
    for _ in range(3):
        for x in values:
            assert await get(x) == f"{x!r} None"
            for y in values:
                assert await get(x, y=y) == f"{x!r} {y!r}"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"policy": "best"}, "policy"),
        ({"max_bytes": 0, "weigher": big}, "max_bytes"),
        ({"max_bytes": 10}, "weigher"),
        ({"max_ttl": 0}, "max_ttl"),
        ({"max_entries": -1}, "max_entries"),
    ],
)
def test_bad_settings_are_refused_by_field(options: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MemoryTier(**options)  # type: ignore[arg-type]  # what is refused
    assert caught.value.field == field
