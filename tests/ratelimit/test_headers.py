"""The header fields of the IETF's draft."""

import pytest

from mobius_infra.ratelimit import (
    RateLimitedError,
    RateLimiter,
    SlidingWindowLog,
    TokenBucket,
    headers,
)
from mobius_infra.testing import ManualClock


async def test_a_call_that_passes_is_told_of_every_limit(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", "5/second; 100/minute", clock=manual_clock)
    permit = await limiter.acquire("k", 2)
    assert headers(permit.decision) == {
        "RateLimit-Policy": '"5/second";q=5;w=1, "100/minute";q=100;w=60',
        "RateLimit": '"5/second";r=3;t=1, "100/minute";r=98;t=2',
    }


async def test_a_refused_one_when_to_come_back(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", "1/second; 2/minute", clock=manual_clock)
    await limiter.acquire("k")
    manual_clock.tick(1)
    await limiter.acquire("k")
    manual_clock.tick(0.4)
    with pytest.raises(RateLimitedError) as caught:
        await limiter.acquire("k")
    assert headers(caught.value.decision) == {
        "RateLimit-Policy": '"1/second";q=1;w=1, "2/minute";q=2;w=60',
        # What is said of the limit that refused it is the same point in time as Retry-After.
        "RateLimit": '"1/second";r=0;t=29, "2/minute";r=0;t=59',
        "Retry-After": "29",
    }
    manual_clock.tick(28.6)  # rounded up: it is not too early
    await limiter.acquire("k")


async def test_windows_of_less_than_a_second_and_limits_of_one_rate(
    manual_clock: ManualClock,
) -> None:
    limits = [TokenBucket("3/10 ms"), SlidingWindowLog("3/10 ms")]
    permit = await RateLimiter("x", limits, clock=manual_clock).acquire()
    assert headers(permit.decision) == {
        "RateLimit-Policy": '"3/10 milliseconds";q=3, "3/10 milliseconds (2)";q=3',
        "RateLimit": '"3/10 milliseconds";r=2;t=1, "3/10 milliseconds (2)";r=2;t=1',
    }
