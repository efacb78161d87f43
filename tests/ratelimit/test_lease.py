"""Permits taken ahead: how few round trips, and how much more may pass."""

import asyncio
import random

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.ratelimit import (
    LeakyQueue,
    PermitLease,
    RateLimitedError,
    RateLimiter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.testing import ManualClock
from tests.ratelimit.models import most_in
from tests.ratelimit.support import Flaky, Slow
from tests.ratelimit.test_limiter import passed


async def test_most_decisions_ask_nobody(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/day", 1000), key="user", backend=backend,
                          lease=PermitLease(100, ttl=10), clock=manual_clock)  # fmt: skip

    @limiter
    async def f(user: int) -> int:
        return user

    for _ in range(1000):
        assert await f(7) == 7
    assert backend.asked == 10
    for _ in range(50):
        with pytest.raises(RateLimitedError):
            await f(7)
    assert backend.asked == 11  # a refusal is remembered, too
    assert (limiter.stats().allowed, limiter.stats().limited) == (1000, 50)


async def test_of_250_at_once_exactly_100_pass(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    fleet = [
        RateLimiter("x", TokenBucket("1/day", 100), backend=backend, lease=PermitLease(7, ttl=10),
                    clock=manual_clock)
        for _ in range(3)
    ]  # fmt: skip

    async def one(number: int) -> bool:
        try:
            await fleet[number % 3].acquire("k")
        except RateLimitedError:
            return False
        return True

    assert sum(await asyncio.gather(*(one(number) for number in range(450)))) == 100


@pytest.mark.parametrize("seed", range(3))
async def test_overshoot_is_bounded_by_the_time_to_live(
    seed: int, manual_clock: ManualClock
) -> None:
    """Whatever four processes do: burst + rate * (w + ttl), or N in w + ttl."""
    chance = random.Random(seed)
    for limit in (TokenBucket("50/second", 20), SlidingWindowLog("50/second")):
        backend = Flaky(manual_clock)
        fleet = [
            RateLimiter("x", limit, backend=backend, lease=PermitLease(16, ttl=0.3),
                        clock=manual_clock)
            for _ in range(4)
        ]  # fmt: skip
        out: list[tuple[int, int]] = []
        for _ in range(600):
            manual_clock.tick(chance.choice([0.001, 0.01, 0.05, 0.3]))
            for limiter in fleet:
                count = await passed(limiter, "k", chance.randrange(8))
                out += [(round(manual_clock.monotonic() * 1e6), 1)] * count
        for window in (100_000, 1_000_000, 5_000_000):
            longer = (window + 300_000) / 1e6
            if isinstance(limit, TokenBucket):
                assert most_in(out, window) <= 20 + 50 * longer
            else:
                assert most_in(out, window) <= 50 * (longer // 1 + 1)
        assert len(out) > 0.5 * 50 * manual_clock.monotonic() / 10


async def test_what_is_not_used_goes_back(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    one, two = (
        RateLimiter("x", TokenBucket("1/day", 100), backend=backend, lease=lease,
                    clock=manual_clock)
        for lease in (PermitLease(80, ttl=1), None)
    )  # fmt: skip
    await one.acquire("k")
    assert (await two.peek("k")).remaining == 20
    await one.release()
    assert (await two.peek("k")).remaining == 99
    await one.acquire("k")
    manual_clock.tick(2)  # run out
    await one.acquire("k")  # gives the old lease back, and takes a new one
    assert (await two.peek("k")).remaining == 18
    await one.release()
    assert (await two.peek("k")).remaining == 97


async def test_what_is_refunded_goes_back_into_the_lease(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/day", 10), backend=backend,
                          lease=PermitLease(10, ttl=1), clock=manual_clock)  # fmt: skip
    permits = [await limiter.acquire("k", 2) for _ in range(5)]
    await permits[0].cancel()
    assert backend.asked == 1
    assert await passed(limiter, "k", 5) == 2
    manual_clock.tick(86400)
    assert await passed(limiter, "k", 1) == 1  # of a new lease
    await permits[1].cancel()  # of the old one, which has run out: a token has come back since
    await limiter.release()
    assert (await limiter.peek("k")).remaining == 0


async def test_a_reset_forgets_what_is_held_too(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/day", 10), backend=backend,
                          lease=PermitLease(10, ttl=1), clock=manual_clock)  # fmt: skip
    assert await passed(limiter, "k", 20) == 10
    await limiter.reset("k")
    assert await passed(limiter, "k", 20) == 10


async def test_a_lease_that_has_run_out_lets_nobody_pass(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/day", 100), backend=backend, on_error="closed",
                          lease=PermitLease(80, ttl=1), clock=manual_clock)  # fmt: skip
    await limiter.acquire("k")
    backend.away = True
    assert await passed(limiter, "k", 1) == 1
    manual_clock.tick(1)
    assert await passed(limiter, "k", 1) == 0


async def test_who_is_cancelled_leaves_the_lease_to_the_others(manual_clock: ManualClock) -> None:
    backend = Slow(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/day", 3), backend=backend,
                          lease=PermitLease(3, ttl=10), clock=manual_clock)  # fmt: skip
    tasks = [asyncio.create_task(limiter.acquire("k")) for _ in range(4)]
    await manual_clock.advance(0)
    tasks[0].cancel()
    await manual_clock.advance(0)
    backend.answer()
    await manual_clock.advance(0)
    assert tasks[0].cancelled()
    assert [task.exception() for task in tasks[1:]] == [None] * 3
    assert backend.asked == 1


async def test_a_backend_slower_than_the_lease_is_asked_one_by_one(
    manual_clock: ManualClock,
) -> None:
    backend = Flaky(manual_clock)
    run = backend.run

    async def late(*args: object) -> object:
        found = await run(*args)  # type: ignore[arg-type]
        manual_clock.tick(2)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flaky, "run", lambda self, *args: late(*args))
        limiter = RateLimiter("x", TokenBucket("1/day", 10), backend=backend,
                              lease=PermitLease(5, ttl=1), clock=manual_clock)  # fmt: skip
        assert await passed(limiter, "k", 1) == 1


def test_leases_of_what_has_none_are_refused(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    for options in ({"on_limit": "wait"}, {"limit": LeakyQueue(1, 5)}):
        with pytest.raises(ConfigurationError):
            RateLimiter(**{"name": "x", "limit": "5/second", "backend": backend,
                           "lease": PermitLease(), **options})  # type: ignore[arg-type]  # fmt: skip


async def test_a_large_cost_that_is_refused_refuses_no_small_one(
    manual_clock: ManualClock,
) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/hour", 100), backend=backend,
                          lease=PermitLease(10, ttl=10), clock=manual_clock)  # fmt: skip
    await limiter.acquire("k", 20)
    assert await passed(limiter, "k", 3, cost=90) == 0
    assert await passed(limiter, "k", 100) == 80
    asked = backend.asked
    assert await passed(limiter, "k", 3, cost=90) == 0
    assert backend.asked == asked  # what refuses one refuses ninety


async def test_a_lease_that_was_given_back_takes_nothing_back_any_more(
    manual_clock: ManualClock,
) -> None:
    backend = Flaky(manual_clock)
    one, two = (
        RateLimiter("x", TokenBucket("1/second", 10), backend=backend, lease=lease,
                    clock=manual_clock)
        for lease in (PermitLease(10, ttl=60), None)
    )  # fmt: skip
    permits = [await one.acquire("k") for _ in range(5)]
    manual_clock.tick(5)  # five have come back by themselves
    await one.release()
    assert await passed(two, "k", 99) == 10
    for permit in permits:
        await permit.cancel()
    await one.release()
    assert await passed(two, "k", 99) == 0


async def test_keys_of_strangers_take_no_more_memory_than_others(
    manual_clock: ManualClock,
) -> None:
    backend = Flaky(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/day", 10), key="key", backend=backend,
                          lease=PermitLease(10, ttl=60), clock=manual_clock)  # fmt: skip

    @limiter
    async def f(key: str) -> None: ...

    long = "k" * 100_000
    permit = await limiter.acquire(long)
    await f(long)
    await permit.cancel()
    assert backend.asked == 1
    assert limiter._leases is not None
    assert max(map(len, map(str, limiter._leases._room.values))) < 200
    assert await passed(limiter, long, 99) == 9
    await limiter.reset(long)
    assert await passed(limiter, long, 99) == 10
