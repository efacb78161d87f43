"""One limit for many processes, on every backend."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.core import Backend, open_backend
from mobius_infra.ratelimit import (
    GCRA,
    FixedWindow,
    LeakyBucket,
    LeakyQueue,
    Limit,
    RateLimitedError,
    RateLimiter,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.ratelimit._step import DECIDE, written
from mobius_infra.testing import ManualClock
from tests.conformance.conftest import url_of
from tests.conformance.summary import HOMES
from tests.ratelimit.test_limiter import passed
from tests.servers.redis import RedisServer
from tests.servers.waiting import patient

ROOT = Path(__file__).parents[2]

# So slow that nothing comes back while a test runs.
HUNDRED: list[Limit] = [
    TokenBucket("1/day", 100),
    GCRA("1/day", 100),
    LeakyBucket("1/day", 100),
    LeakyQueue("1/day", 100),
    FixedWindow("100 per 1000 weeks"),
    SlidingWindowCounter("100 per 1000 weeks"),
    SlidingWindowLog("100 per 10 weeks"),
]
every_limit = pytest.mark.parametrize("limit", HUNDRED, ids=lambda each: type(each).__name__)


@pytest.fixture(params=HOMES)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_backend(url_of(request.param, request, tmp_path)) as backend:
        yield backend


async def granted(limiter: RateLimiter, key: str) -> bool:
    try:
        await limiter.reserve(key, max_delay=1e9) if _queued(limiter) else await limiter.acquire(
            key
        )
    except RateLimitedError:
        return False
    return True


def _queued(limiter: RateLimiter) -> bool:
    return "LeakyQueue" in repr(limiter)


# Every algorithm where the Python runs, and where the Lua does; elsewhere it is one of the two.
EVERYWHERE = [
    pytest.param(home, limit, id=f"{home}-{type(limit).__name__}")
    for home in HOMES
    for limit in (HUNDRED if home in ("memory", "redis") else (HUNDRED[0], HUNDRED[-1]))
]


@pytest.mark.parametrize(("backend", "limit"), EVERYWHERE, indirect=["backend"])
async def test_of_250_at_once_exactly_100_pass(limit: Limit, backend: Backend) -> None:
    limiters = [RateLimiter("x", limit, backend=backend) for _ in range(2)]
    answers = await asyncio.gather(*(granted(limiters[number % 2], "k") for number in range(250)))
    # A queue lets in the one that is served, and its capacity behind it.
    assert sum(answers) == 100 + _queued(limiters[0])


@every_limit
async def test_of_250_at_once_exactly_100_pass_in_one_process(limit: Limit) -> None:
    limiter = RateLimiter("x", limit)
    answers = await asyncio.gather(*(granted(limiter, "k") for _ in range(250)))
    assert sum(answers) == 100 + _queued(limiter)


async def test_a_denial_spends_nothing_of_any_limit(backend: Backend) -> None:
    limiter = RateLimiter("x", ["5/day", SlidingWindowLog("9/day"), FixedWindow("7/week")],
                          backend=backend)  # fmt: skip
    assert await passed(limiter, "k", 20) == 5
    remaining = [each.remaining for each in (await limiter.peek("k")).limits]
    assert remaining == [0, 4, 2]
    assert await passed(limiter, "other", 1, cost=3) == 1


async def test_it_peeks_gives_back_reserves_and_resets_there(backend: Backend) -> None:
    one, two = (RateLimiter("x", TokenBucket("1/day", 5), backend=backend) for _ in range(2))
    permit = await one.acquire("k", 4)
    assert (await two.peek("k")).remaining == 1
    await permit.refund(3)
    await permit.refund(3)
    assert (await two.peek("k")).remaining == 4
    ahead = await two.reserve("k", 5, max_delay=10 * 86400)
    assert ahead.delay == pytest.approx(86400, abs=60)
    await ahead.cancel()
    await one.reset("k")
    assert (await two.peek("k")).remaining == 5
    assert await passed(one, "k", 3) + await passed(two, "k", 5) == 5


async def test_another_set_of_limits_is_another_state(backend: Backend) -> None:
    """As in a deployment that changes a limit: old numbers would mean something else."""
    old = RateLimiter("x", TokenBucket("1/day", 5), backend=backend)
    new = RateLimiter("x", TokenBucket("7/hour", 2), backend=backend)
    assert await passed(old, "k", 9) == 5
    assert await passed(new, "k", 9) == 2


async def test_many_wait_there_in_order(backend: Backend) -> None:
    limiter = RateLimiter("x", TokenBucket("200/second", 1), on_limit="wait", backend=backend)
    order: list[int] = []

    async def one(number: int) -> None:
        await limiter.acquire("k")
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(20)))
    assert order == list(range(20))


@every_limit
async def test_a_key_lives_at_least_until_its_limit_is_fresh(
    limit: Limit, redis_server: RedisServer, redis_url: str
) -> None:
    async with open_backend(patient(redis_url)) as backend:
        limiter = RateLimiter("x", limit, backend=backend)
        await limiter.acquire("k")
        keys: Any = redis_server.call("KEYS", "*")
        (key,) = keys
        left: Any = redis_server.call("PTTL", key)
        assert left / 1000 >= (await limiter.peek("k")).reset
    # And is gone by itself: nothing is kept of a limit that is as fresh.
    assert DECIDE.step(None, 1.0, "peek", 0, 0, 0, 0, *written([limit.rule]))[0] is None


async def test_the_servers_time_counts_not_the_callers(redis_url: str) -> None:
    async with open_backend(patient(redis_url)) as backend:
        limiter = RateLimiter("x", TokenBucket("1/day", 3), backend=backend)
        wrong = ManualClock(epoch=4_000_000_000.0)
        ahead = RateLimiter("x", TokenBucket("1/day", 3), backend=backend, clock=wrong)
        assert await passed(limiter, "k", 5) == 3
        assert await passed(ahead, "k", 5) == 0
        assert await passed(limiter, "k", 5) == 0


async def test_eight_processes_get_what_one_would(redis_url: str) -> None:
    """Never one more than promised, and not fewer either."""
    command = [sys.executable, "-m", "tests.ratelimit.worker", patient(redis_url), "150"]
    pipe = asyncio.subprocess.PIPE
    workers = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe) for _ in range(8)
    ]
    totals: dict[str, int] = {}
    for worker in workers:
        out, _ = await worker.communicate()
        for name, count in json.loads(out).items():
            totals[name] = totals.get(name, 0) + count
    assert set(totals.values()) == {1000}
    assert len(totals) == 5
