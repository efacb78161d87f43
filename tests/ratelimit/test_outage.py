"""What holds while the backend is away, and how it comes back."""

import asyncio
from fractions import Fraction
from typing import Any

import pytest

from mobius_infra.core import Event, open_backend
from mobius_infra.ratelimit import (
    LimiterDegraded,
    LimiterRestored,
    RateLimitedError,
    RateLimiter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.testing import ManualClock
from tests.conftest import OwnRedisServer
from tests.ratelimit.models import assert_bounded
from tests.ratelimit.support import Flaky
from tests.ratelimit.test_limiter import passed
from tests.servers.waiting import eventually, patient


async def heal(limiter: RateLimiter, clock: ManualClock) -> None:
    """Let the probes be answered that it takes to trust a backend again."""
    for _ in range(3):
        clock.tick(0.5)
        await passed(limiter, "probe", 1)


@pytest.mark.parametrize(("on_error", "allowed"), [("local", 2), ("open", 9), ("closed", 0)])
async def test_it_does_as_chosen_says_so_and_heals(
    on_error: Any, allowed: int, manual_clock: ManualClock
) -> None:
    backend, heard = Flaky(manual_clock), list[Event]()
    limiter = RateLimiter(
        "x", TokenBucket("1/hour", 8), backend=backend, on_error=on_error, replicas=4,
        clock=manual_clock,
    )  # fmt: skip
    limiter.events.subscribe(heard.append)
    assert await passed(limiter, "k", 1) == 1
    backend.away = True
    assert await passed(limiter, "k", 9) == allowed
    stats = limiter.stats()
    assert (stats.mode, stats.backend_errors) == ("degraded", 1)
    backend.away = False
    await heal(limiter, manual_clock)
    assert limiter.stats().mode == "shared"
    assert [type(event) for event in heard] == [LimiterDegraded, LimiterRestored]
    lost, back = heard
    assert isinstance(lost, LimiterDegraded)
    assert "away" in lost.reason
    assert isinstance(back, LimiterRestored)
    assert back.down_for == 1.5
    manual_clock.tick(61)  # shares no longer hold beside it
    assert await passed(limiter, "k", 20) == 7


async def test_a_backend_that_is_away_is_asked_seldom(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket(1, 1), backend=backend, clock=manual_clock)
    backend.away = True
    for _ in range(100):
        await passed(limiter, "k", 1)
    assert backend.asked == 1
    for _ in range(100):
        manual_clock.tick(0.1)
        await passed(limiter, "k", 1)
    assert backend.asked <= 1 + 20


async def test_a_call_that_is_refused_anyway_probes_and_spends_nothing(
    manual_clock: ManualClock,
) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/day", 8), backend=backend, replicas=4,
                          clock=manual_clock)  # fmt: skip
    backend.away = True
    assert await passed(limiter, "k", 9) == 2
    backend.away = False
    for _ in range(3):
        manual_clock.tick(0.5)
        assert await passed(limiter, "k", 5) == 0
    assert limiter.stats().mode == "shared"
    another = RateLimiter("x", TokenBucket("1/day", 8), backend=backend, clock=manual_clock)
    assert (await another.peek("k")).remaining == 8


async def test_one_answer_among_failures_restores_nothing(manual_clock: ManualClock) -> None:
    backend, heard = Flaky(manual_clock), list[Event]()
    limiter = RateLimiter("x", TokenBucket(1, 9), backend=backend, on_error="open",
                          clock=manual_clock)  # fmt: skip
    limiter.events.subscribe(heard.append)
    for number in range(12):
        backend.away = number % 3 != 2  # flapping
        manual_clock.tick(0.5)
        await passed(limiter, "k", 1)
    assert [type(event) for event in heard] == [LimiterDegraded]
    assert limiter.stats().mode == "degraded"


async def test_shares_together_are_no_more_than_the_limit(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    backend.away = True
    fleet = [
        RateLimiter("x", ["12/second", SlidingWindowLog("12/second")], backend=backend,
                    replicas=4, clock=manual_clock)
        for _ in range(4)
    ]  # fmt: skip
    out: list[tuple[int, int]] = []
    for step in range(300):
        for limiter in fleet:
            out += [(step * 10_000, 1)] * await passed(limiter, "k", 1)
        manual_clock.tick(0.01)
    assert_bounded(out, Fraction(12, 1_000_000), 12)
    assert len(out) >= 36 - 12


async def test_a_return_is_no_second_burst(manual_clock: ManualClock) -> None:
    """The backend was emptied meanwhile: to it, every bucket is full."""
    backend = Flaky(manual_clock)
    fleet = [
        RateLimiter("x", TokenBucket("4/minute", 40), backend=backend, replicas=4,
                    clock=manual_clock)
        for _ in range(4)
    ]  # fmt: skip
    backend.away = True
    during = sum([await passed(each, "k", 40) for each in fleet])
    assert during == 40  # four shares of ten
    backend.away = False
    for limiter in fleet:
        await heal(limiter, manual_clock)
    assert {each.stats().mode for each in fleet} == {"shared"}
    after = sum([await passed(each, "k", 40) for each in fleet])
    assert after <= 4  # what the shares had gained


@pytest.mark.parametrize("on_error", ["local", "open", "closed"])
async def test_waiting_goes_on_without_it(on_error: Any, manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket(1, 1), on_limit="wait", backend=backend,
                          on_error=on_error, clock=manual_clock)  # fmt: skip
    await limiter.acquire()
    backend.away = True
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await manual_clock.advance(5)
    errors = [task.exception() for task in tasks]
    assert [isinstance(each, RateLimitedError) for each in errors] == [on_error == "closed"] * 3


async def test_a_permit_of_a_lost_backend_is_let_go(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/hour", 2), backend=backend, clock=manual_clock)
    permit = await limiter.acquire()
    backend.away = True
    await permit.cancel()
    local = await limiter.acquire()
    await local.cancel()
    assert (await limiter.peek()).remaining == 2
    assert limiter.stats().mode == "degraded"


async def test_what_costs_more_than_a_share_takes_all_of_it(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    backend.away = True
    limiter = RateLimiter("x", TokenBucket("1/hour", 4), backend=backend, replicas=4,
                          clock=manual_clock)  # fmt: skip
    assert await passed(limiter, "k", 3, cost=4) == 1


@pytest.mark.parametrize("fault", ["killed", "paused", "emptied", "forgot its scripts"])
async def test_a_real_server_that_fails(fault: str, own_redis_server: OwnRedisServer) -> None:
    server = own_redis_server()
    hangs = fault == "paused"
    url = f"{server.url}?timeout=2&connect_timeout=2" if hangs else patient(server.url)
    async with open_backend(url) as backend:
        limiter = RateLimiter("x", TokenBucket("1/day", 20), backend=backend, replicas=2)
        assert await passed(limiter, "k", 5) == 5
        if fault == "forgot its scripts":
            server.call("SCRIPT", "FLUSH")
            assert await passed(limiter, "k", 50) == 15
            assert limiter.stats().backend_errors == 0
            return
        if fault == "emptied":
            server.flush()
            assert await passed(limiter, "k", 50) == 20  # it knows of nothing before
            return
        server.kill() if fault == "killed" else server.pause()
        assert await passed(limiter, "k", 50) == 10  # this process's share
        assert limiter.stats().mode == "degraded"
        server.start() if fault == "killed" else server.resume()

        async def restored() -> bool:
            await passed(limiter, "other", 1)
            return limiter.stats().mode == "shared"

        await eventually(restored, timeout=60, what="the backend is trusted again")
        assert await passed(limiter, "k", 50) == 0  # the share was spent, and still holds


async def test_who_waits_after_a_return_waits_for_the_share_too(
    manual_clock: ManualClock,
) -> None:
    """The backend was emptied meanwhile, and would let them all through at once."""
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/second", 10), on_limit="wait", max_wait=60,
                          backend=backend, clock=manual_clock)  # fmt: skip
    backend.away = True
    assert await passed(limiter, "k", 10) == 10
    backend.away = False
    await heal(limiter, manual_clock)
    assert limiter.stats().mode == "shared"
    tasks = [asyncio.create_task(limiter.acquire("k")) for _ in range(10)]
    await manual_clock.advance(3)
    assert sum(task.done() for task in tasks) <= 5  # what the share had gained, 1.5 + 3
    await manual_clock.advance(10)
    assert all(task.done() for task in tasks)


async def test_a_peek_after_a_return_says_what_a_call_would_get(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/minute", 1), backend=backend, clock=manual_clock)
    backend.away = True
    assert await passed(limiter, "k", 1) == 1
    backend.away = False
    await heal(limiter, manual_clock)
    told = await limiter.peek("k")
    assert (told.allowed, told.remaining) == (False, 0)
    assert told.retry_after == pytest.approx(58.5)
    assert await passed(limiter, "k", 1) == 0


async def test_nothing_is_given_back_to_a_backend_that_is_away(manual_clock: ManualClock) -> None:
    """Each would cost a time-out, and put off the next probe."""
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/hour", 99), backend=backend, clock=manual_clock)
    permits = [await limiter.acquire("k") for _ in range(9)]
    backend.away = True
    await passed(limiter, "k", 1)
    asked = backend.asked
    for permit in permits:
        await permit.cancel()
    assert backend.asked == asked


@pytest.mark.parametrize("limit", [SlidingWindowLog("20/minute"), TokenBucket("20/minute", 20)])
async def test_with_a_mirror_a_loss_is_no_second_burst(
    limit: Any, manual_clock: ManualClock
) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", limit, backend=backend, mirror=True, clock=manual_clock)
    assert await passed(limiter, "k", 30) == 20
    backend.away = True
    assert await passed(limiter, "k", 30) == 0
    manual_clock.tick(60)
    assert await passed(limiter, "k", 30) == 20
