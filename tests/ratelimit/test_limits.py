"""Rates and limits as they are written, and what is refused."""

from typing import Any

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.ratelimit import (
    GCRA,
    FixedWindow,
    LeakyBucket,
    LeakyQueue,
    Limit,
    PermitLease,
    Rate,
    RateLimiter,
    RateLimiterConfig,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
    parse_limits,
)

BAD = [0, -1, float("nan"), float("inf"), True, "", "5", "5/fortnight", "-1/second", "0/second",
       "5/0 seconds", "1/second; x", None, "5 per", "5//second"]  # fmt: skip


@pytest.mark.parametrize("rate", BAD)
@pytest.mark.parametrize(
    "made", [TokenBucket, GCRA, LeakyBucket, LeakyQueue, FixedWindow, SlidingWindowCounter,
             SlidingWindowLog]
)  # fmt: skip
def test_what_is_no_rate_is_refused(rate: Any, made: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(rate)
    assert caught.value.field == "rate"


@pytest.mark.parametrize("burst", [0, -1, 1.5, float("nan"), True, "5"])
def test_what_is_no_burst_is_refused(burst: Any) -> None:
    for made in (TokenBucket, GCRA, LeakyBucket, LeakyQueue):
        with pytest.raises(ConfigurationError):
            made("1/second", burst)


def test_what_would_not_be_exact_is_refused() -> None:
    for made in (
        lambda: TokenBucket("999983/week", 10**9),
        lambda: LeakyQueue("999983/week", 10**9),
        lambda: SlidingWindowLog(f"5/{10**10} weeks"),
        lambda: SlidingWindowCounter(f"{10**10}/week"),
    ):
        with pytest.raises(ConfigurationError, match=r"2\^52"):
            made()


@pytest.mark.parametrize(
    ("text", "amount", "micros"),
    [
        ("5/second", 5, 10**6),
        ("90 per minute", 90, 60 * 10**6),
        ("10 per 5 minutes", 10, 300 * 10**6),
        ("10/5 seconds", 10, 5 * 10**6),
        (" 36/Hour ", 36, 3600 * 10**6),
        ("7/d", 7, 86400 * 10**6),
        ("7 per 2 weeks", 7, 14 * 86400 * 10**6),
        ("3/ms", 3, 1000),
        ("3/10ms", 3, 10_000),
        ("3/min", 3, 60 * 10**6),
    ],
)
def test_rates_are_read(text: str, amount: int, micros: int) -> None:
    rate = Rate.parse(text)
    assert (rate.amount, rate.micros) == (amount, micros)
    assert Rate.parse(str(rate)) == rate


def test_several_limits_are_read_at_once() -> None:
    limits = parse_limits("5/second; 100 per minute, 1000/day", SlidingWindowLog)
    assert [repr(each) for each in limits] == [
        "SlidingWindowLog('5/second')",
        "SlidingWindowLog('100/minute')",
        "SlidingWindowLog('1000/day')",
    ]
    with pytest.raises(ConfigurationError, match="rate is ' 5/x'"):
        parse_limits("5/second; 5/x")


def test_numbers_are_taken_for_what_they_mean() -> None:
    assert TokenBucket(0.1).rule[1:3] == (1, 10_000_000)
    assert TokenBucket(1 / 3).rule[1:3] == (1, 3_000_000)
    assert TokenBucket(2.5).burst == 2
    assert TokenBucket("100/minute").burst == 100
    assert TokenBucket(0.2).burst == 1
    assert GCRA("100/minute").burst == 1
    assert repr(LeakyBucket("30/minute", 5)) == "LeakyBucket('30/minute', capacity=5)"
    assert repr(LeakyQueue(10)) == "LeakyQueue('10/second', capacity=10)"
    assert TokenBucket("60/minute", 2) == TokenBucket("1/second", 2)
    assert hash(TokenBucket("60/minute", 2)) == hash(TokenBucket("1/second", 2))


@pytest.mark.parametrize(
    ("limit", "whole", "window"),
    [
        (TokenBucket("10/second", 20), "TokenBucket('2/second', burst=5)", 2.0),
        (GCRA("1/second"), "GCRA('1/4 seconds', burst=1)", 1.0),
        (LeakyBucket("8/second", 4), "LeakyBucket('2/second', capacity=1)", 0.5),
        (LeakyQueue("8/second", 4), "LeakyQueue('2/second', capacity=1)", 0.5),
        (FixedWindow("100/minute"), "FixedWindow('25/minute')", 60.0),
        (SlidingWindowLog("3/minute"), "SlidingWindowLog('1/80 seconds')", 60.0),
    ],
)
def test_a_share_is_of_rate_and_burst_alike(limit: Limit, whole: str, window: float) -> None:
    assert repr(limit.shared(4)) == whole
    assert limit.window == window


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"on_limit": "sleep"}, "on_limit"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": float("nan")}, "max_wait"),
        ({"max_wait": True}, "max_wait"),
        ({"max_waiting": 0}, "max_waiting"),
        ({"max_keys": 0}, "max_keys"),
        ({"on_error": "x"}, "on_error"),
        ({"replicas": 0}, "replicas"),
        ({"limit": []}, "limit"),
        ({"limit": 5}, "limit"),
        ({"limit": ["1/second", 5]}, "limit"),
        ({"limit": [LeakyQueue(1, 5), FixedWindow("1/second")]}, "limit"),
        ({"lease": PermitLease()}, "backend"),
        ({"lease": PermitLease(), "limit": lambda: "1/second"}, "lease"),
    ],
)
def test_values_out_of_range_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RateLimiter(**{"name": "x", "limit": TokenBucket(1), **options})
    assert caught.value.field == field


@pytest.mark.parametrize(("size", "ttl"), [(1, 1), (True, 1), (5, 0), (5, float("nan"))])
def test_a_lease_that_is_none_is_refused(size: Any, ttl: Any) -> None:
    with pytest.raises(ConfigurationError):
        PermitLease(size, ttl)


def test_what_names_no_parameter_is_refused_at_decoration() -> None:
    async def f(user_id: int) -> None: ...

    with pytest.raises(ConfigurationError, match="'chat' is not one"):
        RateLimiter("x", TokenBucket(1), key="{chat}")(f)
    with pytest.raises(ConfigurationError, match="cost is 'size'"):
        RateLimiter("x", TokenBucket(1), cost="size")(f)


def test_it_is_built_from_settings() -> None:
    config = RateLimiterConfig.load(
        {"name": "x", "rate": "60/minute", "burst": 5, "key": "user_id"}
    )
    limiter = RateLimiter.from_config(config, on_limit="wait")
    assert repr(limiter) == "RateLimiter('x', TokenBucket('60/minute', burst=5))"
    several = RateLimiterConfig.load(
        {"name": "x", "rate": "5/second; 9/minute", "algorithm": "sliding_window_log"}
    )
    assert repr(RateLimiter.from_config(several)) == (
        "RateLimiter('x', SlidingWindowLog('5/second'), SlidingWindowLog('9/minute'))"
    )
    with pytest.raises(ConfigurationError, match="burst"):
        RateLimiter.from_config(
            RateLimiterConfig.load(
                {"name": "x", "rate": "5/second", "burst": 2, "algorithm": "fixed_window"}
            )
        )
    with pytest.raises(ConfigurationError, match="algorithm"):
        RateLimiterConfig.load({"name": "x", "rate": 1, "algorithm": "dice"})
