"""Many keys in bounded memory, and no way to have a limit reset."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import SystemClock, open_backend
from mobius_infra.ratelimit import (
    FixedWindow,
    Limit,
    RateLimiter,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.ratelimit._table import Meters, States, key_of
from mobius_infra.testing import ManualClock
from tests.ratelimit.models import BUCKETS, COSTS, FORWARD
from tests.ratelimit.test_limiter import passed

LIMITS: list[Limit] = [
    TokenBucket("1/second", 2),
    SlidingWindowLog("2 per 2 seconds"),
    SlidingWindowCounter("2/second"),
    FixedWindow("2 per 2 seconds"),
]
every_limit = pytest.mark.parametrize("limit", LIMITS, ids=lambda each: type(each).__name__)


@every_limit
async def test_touching_other_keys_resets_nobody(limit: Limit, manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", limit, max_keys=1000, clock=manual_clock)
    assert await passed(limiter, "victim", 5) == 2
    for number in range(5_000):
        await passed(limiter, f"other{number}", 1)
    assert await passed(limiter, "victim", 5) == 0
    stats = limiter.stats()
    assert stats.keys == 1000
    assert stats.overflowed > 0


@every_limit
async def test_when_there_is_no_room_new_keys_share_a_limit(
    limit: Limit, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", limit, max_keys=10, clock=manual_clock)
    for number in range(10):
        await limiter.acquire(f"old{number}")
    assert sum([await passed(limiter, f"new{number}", 1) for number in range(20)]) == 2
    assert await passed(limiter, "old3", 5) == 1  # whoever was there has their own
    manual_clock.tick(100)
    assert sum([await passed(limiter, f"later{number}", 1) for number in range(10)]) == 10
    assert limiter.stats().keys <= 10


@every_limit
async def test_who_spent_in_the_overflow_does_not_begin_afresh(
    limit: Limit, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", limit, max_keys=2, clock=manual_clock)
    await limiter.acquire("a")
    await limiter.acquire("b")
    manual_clock.tick(0.5)
    assert await passed(limiter, "new", 5) == 2  # of the overflow
    await limiter.reset("a")  # makes room
    assert await passed(limiter, "new", 5) == 0
    manual_clock.tick(4)
    assert await passed(limiter, "new", 5) == 2


@every_limit
async def test_idle_keys_are_forgotten(limit: Limit, manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", limit, key="key", clock=manual_clock)

    @limiter
    async def f(key: int) -> None: ...

    for number in range(500):
        await f(number)
    assert limiter.stats().keys == 500
    manual_clock.tick(10)
    for number in range(250):  # each new one looks at two old ones
        await f(1000 + number)
    assert limiter.stats().keys == 250
    for _ in range(256 * 16):  # calls of a known key look at some now and then, too
        manual_clock.tick(1)
        await f(1249)
    assert limiter.stats().keys == 1


@every_limit
async def test_who_takes_nothing_takes_no_room(limit: Limit, manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", limit, max_keys=1, clock=manual_clock)
    for number in range(5):
        await limiter.acquire(f"free{number}", 0)
        await limiter.peek(f"peeked{number}")
    assert limiter.stats().keys == 0
    await limiter.acquire("a")
    assert await passed(limiter, "b", 3) == 2
    await limiter.reset("a")
    assert await passed(limiter, "c", 3) == 0  # refused, for what the overflow has spent
    assert limiter.stats().keys == 1


async def test_a_refund_to_the_overflow_is_one(manual_clock: ManualClock) -> None:
    for limit in LIMITS:
        limiter = RateLimiter("x", limit, max_keys=1, clock=manual_clock)
        await limiter.acquire("a")
        permit = await limiter.acquire("b", 2)
        assert await passed(limiter, "c", 1) == 0
        await permit.cancel()
        assert await passed(limiter, "c", 1) == 1


def test_keys_that_are_the_same_are_kept_as_the_same() -> None:
    assert [key_of(text) for text in ("7", "-7", "0")] == [7, -7, 0]
    odd = [
        "07",
        "-0",
        "--7",
        "+7",
        "7 ",
        "\N{FULLWIDTH DIGIT SEVEN}",
        "1.0",
        "True",
        "",
        "-",
        "1_0",
        "9" * 101,
    ]
    assert [key_of(text) for text in odd] == odd


@pytest.mark.parametrize(
    "key", ["x" * 5000, "9" * 5000, "\N{FULLWIDTH DIGIT SEVEN}" * 201, "\ud800"]
)
async def test_no_key_of_a_stranger_is_too_long_or_odd(key: str, manual_clock: ManualClock) -> None:
    for backend in (None, open_backend("memory://", clock=manual_clock)):
        limiter = RateLimiter("x", TokenBucket("1/second", 2), key="key", backend=backend,
                              clock=manual_clock)  # fmt: skip

        @limiter
        async def f(key: str) -> None: ...

        await f(key)
        assert await passed(limiter, key, 5) == 1
        assert await passed(limiter, f"{key}x", 5) == 2
        assert all(len(str(each)) < 100 for each in limiter._given(None).policy.table.room.values)


OPERATIONS = st.lists(
    st.tuples(
        FORWARD,
        st.sampled_from(["take", "take", "peek", "give_back", "reset"]),
        st.sampled_from(["a", "b", "c"]),
        COSTS,
        st.sampled_from([0, 0, 1, 4]),
        st.sampled_from([0, 0, 10**6]),
    ),
    max_size=40,
)


@given(BUCKETS, OPERATIONS, st.integers(1, 3))
def test_the_compact_table_decides_as_the_step(limit: Any, todo: list[Any], most: int) -> None:
    clock = ManualClock(start=0.0, epoch=0.0)
    compact, plain = Meters(limit.rule, most, clock), States([limit.rule], most, clock)
    taken: dict[str, Any] = {}
    for step, op, key, asked, more, patience in todo:
        clock.tick(step / 1e6)
        cost = min(asked, limit.quota)
        if op == "take":
            found = [each.take(key, cost, cost + more, patience) for each in (compact, plain)]
            if found[0].granted >= 0:
                taken[key] = found
        elif op == "peek":
            found = [each.peek(key, cost) for each in (compact, plain)]
        elif op == "reset":
            compact.reset(key)
            plain.reset(key)
            continue
        elif key in taken:
            one, two = taken.pop(key)
            compact.give_back(key, min(cost, one.granted), one)
            plain.give_back(key, min(cost, two.granted), two)
            continue
        else:
            continue
        one, two = found
        assert (one.granted, one.wait, list(one.left)) == (two.granted, two.wait, two.left)


def test_many_keys_take_little_memory() -> None:
    """A dict's place, an integer for the time, one for the key, and a place in the ring."""
    table = Meters(TokenBucket("1/hour", 9).rule, 40_000, SystemClock())
    tracemalloc.start()
    for key in range(1_000_000, 1_020_000):
        table.take(key, 1, 1, 0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == 20_000
    assert held / 20_000 < 150
