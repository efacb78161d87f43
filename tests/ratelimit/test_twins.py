"""The Lua twin decides as the Python step does, over whole histories on a real server."""

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, example, given, reject, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, State
from mobius_infra.ratelimit import (
    GCRA,
    LeakyQueue,
    Limit,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.ratelimit._limits import limits_of
from mobius_infra.ratelimit._policy import Policy
from mobius_infra.ratelimit._step import DECIDE, OWN, TAKE_OF_BUCKET, micros, written
from mobius_infra.testing import ManualClock
from tests.ratelimit.models import BUCKETS, COSTS, LIMITS, START, STEPS
from tests.servers.redis import RedisServer
from tests.twins import run_twin

one_server = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=300,
)

HISTORY = st.lists(
    st.tuples(
        STEPS,
        st.sampled_from(["take", "take", "take", "peek", "refund"]),
        COSTS,
        st.sampled_from([0, 0, 1, 5]),  # how many more, if they are there
        st.sampled_from([OWN, 0, 1, 10**6, 10**8]),  # patience
    ),
    min_size=1,
    max_size=20,
)
WIDE: list[Limit] = [  # numbers close to what a double holds
    TokenBucket("999983/day", 40_000),
    TokenBucket(rate=123_456.789, burst=9),
    GCRA("1000000/ms", 10**9),
    LeakyQueue("7/week", 3000),
    SlidingWindowLog("7/week"),
    SlidingWindowCounter("1000000/day"),
    SlidingWindowCounter("2/100000 seconds"),
]


QUEUED = [(0, "take", 1, 0, 0), (100_000, "take", 1, 0, 0), (1_000, "peek", 1, 0, 0)]
# All there is; refused; the whole burst ahead of its time, to the microsecond; after a long pause.
DRAINED = [
    (0, "take", 1, 5, 0),
    (0, "take", 1, 0, 0),
    (1, "take", 2, 0, 10**6),
    (10**10, "take", 1, 5, 0),
]


def taker_of(limits: list[Limit]) -> Any:
    return Policy(limits, max_keys=1, clock=ManualClock()).taker


def test_one_bucket_alone_is_taken_of_by_a_twin_of_its_own() -> None:
    one = TokenBucket("1/second", 2)
    assert taker_of([one]) is TAKE_OF_BUCKET
    assert taker_of([one, GCRA("1/second", 3)]) is taker_of([LeakyQueue("1/second", 2)]) is DECIDE


@one_server
@example(limits=[LeakyQueue("3/second", 1)], history=QUEUED)  # more in it than its length
@example(limits=[TokenBucket("3/second", 2)], history=DRAINED)
@given(
    limits=st.lists(LIMITS | st.sampled_from(WIDE), min_size=1, max_size=3)
    | st.lists(BUCKETS | st.sampled_from(WIDE[:3]), min_size=1, max_size=1),  # a twin of its own
    history=HISTORY,
)
def test_histories_are_the_same(
    redis_server: RedisServer, limits: list[Limit], history: list[Any]
) -> None:
    try:
        limits_of(limits)
    except ConfigurationError:
        reject()  # not exact together, and so refused when they are made
    rules = [limit.rule for limit in limits]
    taker = taker_of(limits)
    state: State | None = None
    now, at, taken = START, START, 0
    marks: Sequence[int] = [0] * len(limits)
    for step, op, want, more, patience in history:
        now += step
        cost = min(want, *(limit.quota for limit in limits))
        give = min(cost, taken) if op == "refund" else cost
        asked: Any = (op, give, give + more, patience, at, *written(rules, marks))
        expected = DECIDE.step(copy.deepcopy(state), now / 1e6, *asked)
        for script in (DECIDE, taker) if op == "take" else (DECIDE,):
            assert run_twin(redis_server, script, state, now / 1e6, *asked) == expected
        state, result, _ = expected
        assert result[2] == now  # a time in seconds comes back as the microseconds it was
        if op == "take" and result[0] >= 0:
            at, taken, marks = now, result[0], result[5::3]


@given(st.integers(0, 4_000_000_000), st.integers(0, 999_999))
def test_a_servers_time_is_read_to_the_microsecond(seconds: int, rest: int) -> None:
    assert micros(seconds + rest / 1_000_000) == seconds * 1_000_000 + rest


@given(LIMITS)
def test_a_state_is_kept_a_moment_longer_than_it_says_anything(limit: Limit) -> None:
    _, told, ttl = DECIDE.step(None, START / 1e6, "take", 1, 1, 0, 0, *written([limit.rule]))
    assert ttl is not None
    # A server counts milliseconds, of which some of the first may have passed.
    assert ttl >= told[4] / 1e6 + 0.001
