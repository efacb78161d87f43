"""Every Lua twin decides as its Python step does, to the last bit."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobius_infra.core import Scalar, Script, State
from mobius_infra.core._lease import LEASE
from tests.servers.redis import RedisServer
from tests.twins import run_twin

TIMES = st.floats(1.7e9, 1.8e9) | st.integers(0, 10).map(float)
OWNERS = st.sampled_from(["me", "you", "ключ"])
SPANS = st.floats(0.001, 1e6)

# One server answers all examples: starting one for each would test nothing more.
one_server = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=150,
)


def assert_equal(
    server: RedisServer, script: Script[Any, Any], state: State | None, now: float, *args: Scalar
) -> None:
    expected = script.step(copy.deepcopy(state), now, *args)
    found = run_twin(server, script, state, now, *args)
    assert found == (expected[0], tuple(expected[1]), expected[2])


@one_server
@given(
    state=st.none() | st.tuples(OWNERS, TIMES, st.integers(0, 2**52)).map(list),
    now=TIMES,
    op=st.sampled_from(["acquire", "renew", "release"]),
    owner=OWNERS,
    ttl=SPANS,
)
def test_leases(
    redis_server: RedisServer, state: State | None, now: float, op: str, owner: str, ttl: float
) -> None:
    assert_equal(redis_server, LEASE, state, now, op, owner, ttl)


def test_the_comparison_can_fail(redis_server: RedisServer) -> None:
    wrong = Script("wrong", LEASE.step, "return function(state, now) return state, {true}, nil end")
    with pytest.raises(AssertionError):
        assert_equal(redis_server, wrong, None, 1.0, "acquire", "me", 1.0)
