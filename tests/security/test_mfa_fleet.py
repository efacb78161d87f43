"""The steps' Lua twins, and one code typed into many processes at once."""

import asyncio
import copy
import multiprocessing
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobius_infra.core import State, open_backend
from mobius_infra.security import Cipher, Key, Mfa, Totp
from mobius_infra.security._mfa_attempts import ATTEMPTS
from mobius_infra.security._mfa_attempts import step as attempt
from mobius_infra.security._mfa_step import KNOWN_SOURCES, MFA, step
from tests.security.workers import try_codes
from tests.servers.redis import RedisServer
from tests.twins import run_twin

START = 1_790_000_000.5
PAUSES = st.sampled_from([0.0, 0.5, 3.0, 60.0, 900.0, 86_400.0, -2.0])
SOURCES = st.sampled_from([f"source {number}" for number in range(KNOWN_SOURCES + 2)])
SECRETS, CODES = st.sampled_from(["", "s1", "s2"]), st.lists(st.sampled_from(["c1", "c2", "c3"]))
OPS = st.one_of(
    st.tuples(st.just("offer"), SECRETS),
    st.tuples(st.just("confirm"), SECRETS, st.integers(0, 3), st.just("c1"), st.just("c2")),
    st.tuples(st.just("begin"), SOURCES, st.just(3), st.just(86_400.0)),
    st.tuples(st.just("take"), SECRETS, st.integers(0, 50), SOURCES, st.sampled_from(["s1", "s2"])),
    st.tuples(st.just("spend"), st.sampled_from(["c1", "c2", "c3"]), SOURCES),
    CODES.map(lambda codes: ("codes", *codes)),
    st.tuples(st.just("read")),
)
on_a_server = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@on_a_server
@given(history=st.lists(st.tuples(PAUSES, OPS), min_size=1, max_size=25))
def test_the_twin_decides_as_the_step_does(redis_server: RedisServer, history: Any) -> None:
    state: State | None = ["s1", "", 0, 0, START, ["c1"], ["source 1"]]
    now = START
    for pause, (op, *args) in history:
        now += pause
        told = run_twin(redis_server, MFA, state, now, op, *args)
        state, answer, ttl = step(copy.deepcopy(state), now, op, *args)
        assert told == (state, answer, ttl)


def test_the_twin_forgets_the_source_of_longest_ago_too(redis_server: RedisServer) -> None:
    state: State | None = ["s1", "", 0, 0, START, [], []]
    for number in range(KNOWN_SOURCES + 3):
        args = ("take", "s1", number + 1, f"source {number}", "s1")
        told = run_twin(redis_server, MFA, state, START, *args)
        state, answer, ttl = step(copy.deepcopy(state), START, *args)
        assert told == (state, answer, ttl)
    assert state is not None
    assert state[6] == [f"source {number}" for number in range(3, KNOWN_SOURCES + 3)]


def test_only_what_was_offered_last_is_confirmed() -> None:
    """Another may have been offered, or confirmed, since the code was looked at."""
    state, *_ = step(None, START, "offer", "s1")
    state, *_ = step(state, START, "offer", "s2")
    state, answer, _ = step(state, START, "confirm", "s1", 7, "c1")
    assert answer == (False,)
    state, answer, _ = step(state, START, "confirm", "s2", 7, "c1")
    assert answer == (True,)
    state, answer, _ = step(state, START, "confirm", "s2", 1, "c2")
    assert answer == (False,)
    assert state is not None
    assert state[:3] == ["s2", "", 7]


@on_a_server
@given(
    pauses=st.lists(PAUSES, min_size=1, max_size=20),
    free=st.integers(1, 3),
    base=st.sampled_from([0.3, 1.0, 7.0]),
)
def test_the_twin_of_attempts_decides_as_the_step_does(
    redis_server: RedisServer, pauses: list[float], free: int, base: float
) -> None:
    state: State | None = None
    now = START
    for pause in pauses:
        now += pause
        args = (free, base, 300.0, 3_600.0)
        told = run_twin(redis_server, ATTEMPTS, state, now, *args)
        state, answer, ttl = attempt(state, now, *args)
        assert told == (state, answer, ttl)


async def test_one_code_is_good_once_over_many_processes(redis_url: str) -> None:
    processes, key, url = 3, Key.generate(), f"{redis_url}?timeout=30&connect_timeout=30"
    async with open_backend(url) as backend:
        mfa = Mfa("bot", backend, Cipher([Key.parse(key)]))
        phone = Totp.parse((await mfa.offer("7", account="ada")).text)
        recovery = await mfa.confirm("7", phone.code(phone.step_at(time.time())))
        # Of the periods to come that are within the drift, and a recovery code.
        now = phone.step_at(time.time())
        codes = [phone.code(now + 1), phone.code(now + 2), recovery[0]]
        spawn = multiprocessing.get_context("spawn")
        together, told = spawn.Barrier(processes), spawn.Queue()
        workers = [
            spawn.Process(target=try_codes, args=(url, key, codes, number, together, told))
            for number in range(processes)
        ]
        for worker in workers:
            worker.start()
        right = [await asyncio.to_thread(told.get, timeout=300) for _ in workers]
        for worker in workers:
            await asyncio.to_thread(worker.join)
        assert sorted(code for each in right for code in each) == sorted(codes)
