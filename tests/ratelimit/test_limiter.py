"""The rate limiter in one process, as its users see it."""

from typing import Any, assert_type

import pytest

from mobius_infra.core import ConfigurationError, MobiusError, Rejected
from mobius_infra.ratelimit import (
    GCRA,
    CostAboveLimitError,
    FixedWindow,
    LeakyBucket,
    Limit,
    RateLimitedError,
    RateLimiter,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.testing import ManualClock

ALL: list[Limit] = [
    TokenBucket("3/second"),
    GCRA("1/second", burst=3),
    LeakyBucket("1/second", capacity=3),
    FixedWindow("3/second"),
    SlidingWindowCounter("3/second"),
    SlidingWindowLog("3/second"),
]
every_limit = pytest.mark.parametrize("limit", ALL, ids=lambda each: type(each).__name__)


async def passed(limiter: RateLimiter, key: str, times: int, cost: int = 1) -> int:
    count = 0
    for _ in range(times):
        try:
            await limiter.acquire(key, cost)
            count += 1
        except RateLimitedError:
            pass
    return count


@every_limit
async def test_each_key_has_a_limit_of_its_own(limit: Limit, manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", limit, clock=manual_clock)
    assert await passed(limiter, "a", 10) == 3
    assert await passed(limiter, "b", 10) == 3
    manual_clock.tick(10)
    assert await passed(limiter, "a", 10) == 3
    assert limiter.stats().mode == "local"


@every_limit
async def test_decorated_and_by_hand_it_is_the_same_limit(
    limit: Limit, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", limit, key="user", clock=manual_clock)

    @limiter
    async def answer(user: object) -> str:
        return str(user)

    assert [await answer(7), await answer("7")] == ["7", "7"]
    assert await passed(limiter, "7", 5) == 1
    for same in (7, "7"):
        with pytest.raises(RateLimitedError):
            await answer(same)
    assert await answer(True) == "True"  # no 1
    assert await answer("07") == "07"
    assert await answer(-100) == "-100"
    assert await passed(limiter, "-100", 5) == 2
    assert await passed(limiter, "1", 5) == 3
    stats = limiter.stats()
    assert (stats.allowed, stats.keys) == (11, 5)


async def test_a_refusal_says_all_that_a_program_needs(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("per-user", TokenBucket(0.5, 2), clock=manual_clock)
    await passed(limiter, "7", 2)
    with pytest.raises(
        RateLimitedError, match="'per-user' reached for '7'; try again in 2 s"
    ) as caught:
        await limiter.acquire("7")
    assert isinstance(caught.value, Rejected)
    fields = caught.value.fields()
    assert fields.pop("decision") == await limiter.peek("7")
    assert fields == {
        "name": "per-user",
        "key": "7",
        "retry_after": 2.0,
        "limit": 2,
        "remaining": 0,
        "reset": 4.0,
        "policy": "1/2 seconds",
    }


async def test_a_decorated_method_counts_against_the_key_of_its_arguments(
    manual_clock: ManualClock,
) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 1), key="user_id", clock=manual_clock)

    class Bot:
        @limiter
        async def answer(self, user_id: int, /, *rest: int, text: str = "", **more: int) -> Any:
            return [text, rest, more]

    bot = Bot()
    assert await bot.answer(1, 2, text="a", n=3) == ["a", (2,), {"n": 3}]
    assert await bot.answer(2) == ["", (), {}]
    with pytest.raises(RateLimitedError):
        await bot.answer(1)
    stats = limiter.stats()
    assert (stats.allowed, stats.limited, stats.keys) == (2, 1, 2)


async def test_types_are_kept(manual_clock: ManualClock) -> None:
    @RateLimiter("x", TokenBucket(1, 9), clock=manual_clock)
    async def f(user_id: int, text: str = "") -> list[str]:
        return [text]

    assert_type(await f(1, text="a"), list[str])


@pytest.mark.parametrize(
    ("key", "separate"),
    [
        (None, False),
        ("user", True),
        ("{user}:{command}", True),
        (lambda user, command: f"{user}", True),
    ],
)
async def test_the_key_says_whose_limit_it_is(
    key: Any, separate: bool, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 1), key=key, clock=manual_clock)

    @limiter
    async def f(user: int, command: str) -> None: ...

    await f(1, "a")
    if separate:
        await f(2, "a")
    with pytest.raises(RateLimitedError):
        await f(1, "a")


async def test_a_refused_call_is_dropped_or_answered_by_a_function(
    manual_clock: ManualClock,
) -> None:
    async def slowly(error: RateLimitedError, user_id: int) -> str:
        return f"user {user_id}: again in {error.retry_after} s"

    answers: list[tuple[Any, Any]] = [
        ("drop", None),
        (slowly, "user 3: again in 1.0 s"),
        (lambda error, user_id: user_id, 3),
    ]
    for on_limit, answer in answers:
        limiter = RateLimiter(
            "x", TokenBucket(1, 1), key="user_id", on_limit=on_limit, clock=manual_clock
        )

        @limiter
        async def f(user_id: int) -> Any:
            return "answer"

        assert [await f(3), await f(3)] == ["answer", answer]
        assert (limiter.stats().allowed, limiter.stats().limited) == (1, 1)


async def test_an_error_from_within_is_not_answered_for(manual_clock: ManualClock) -> None:
    inner = RateLimiter("inner", TokenBucket(1, 1), clock=manual_clock)
    outer = RateLimiter("outer", TokenBucket(1, 5), on_limit="drop", clock=manual_clock)

    @outer
    @inner
    async def f() -> int:
        return 1

    assert await f() == 1
    with pytest.raises(RateLimitedError, match="inner"):
        await f()


async def test_several_limits_are_passed_all_or_none_is_spent(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", "2/second; 3/minute", key="user", clock=manual_clock)

    @limiter
    async def f(user: int) -> None: ...

    assert await passed(limiter, "1", 5) == 2
    first = await limiter.peek("1")
    assert [each.remaining for each in first.limits] == [0, 1]
    with pytest.raises(RateLimitedError) as caught:
        await f(1)
    assert (caught.value.policy, caught.value.retry_after) == ("2/second", 0.5)
    manual_clock.tick(1)
    await f(1)
    with pytest.raises(RateLimitedError) as caught:
        await f(1)
    assert caught.value.policy == "3/minute"
    assert caught.value.retry_after == 19.0  # the largest
    manual_clock.tick(5)
    assert [each.remaining for each in (await limiter.peek("1")).limits] == [2, 0]


@pytest.mark.parametrize("cost", ["size", lambda user, size=4: size])
async def test_the_cost_may_be_in_the_arguments(cost: Any, manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 10), key="user", cost=cost, clock=manual_clock)

    @limiter
    async def f(user: int, size: int = 4) -> None: ...

    await f(1)
    await f(1, 6)
    with pytest.raises(RateLimitedError):
        await f(1, size=1)
    await f(1, 0)
    with pytest.raises(CostAboveLimitError):
        await f(1, 11)
    with pytest.raises(ConfigurationError, match="cost is -1"):
        await f(1, -1)


async def test_quotas_by_tier_are_known_at_the_call(manual_clock: ManualClock) -> None:
    tiers = {"free": TokenBucket(1, 1), "pro": TokenBucket(1, 3)}
    limiter = RateLimiter("x", lambda user, tier: tiers[tier], key="user", clock=manual_clock)

    @limiter
    async def f(user: int, tier: str) -> None: ...

    await f(1, "free")
    with pytest.raises(RateLimitedError):
        await f(1, "free")
    for _ in range(3):
        await f(2, "pro")
    with pytest.raises(RateLimitedError):
        await f(2, "pro")
    assert (await limiter.peek("2", limit=TokenBucket(1, 3))).remaining == 0
    with pytest.raises(ConfigurationError, match="depends on the call"):
        await limiter.acquire("2")
    assert await passed(RateLimiter("y", ["1/second"], clock=manual_clock), "a", 3) == 1


async def test_too_many_tiers_are_a_mistake(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", lambda n: TokenBucket(1, n), clock=manual_clock)

    @limiter
    async def f(n: int) -> None: ...

    for n in range(1, 1001):
        await f(n)
    with pytest.raises(ConfigurationError, match="at most 1000"):
        await f(1001)


@every_limit
async def test_peeking_takes_nothing_and_reset_gives_all_back(
    limit: Limit, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", limit, clock=manual_clock)
    assert (await limiter.peek()).allowed
    assert (await limiter.peek()).remaining == 3
    assert await passed(limiter, "", 3) == 3
    refused = await limiter.peek()
    assert (refused.allowed, refused.remaining, refused.limit) == (False, 0, 3)
    assert 0 < refused.retry_after <= refused.reset
    assert refused == await limiter.peek()
    await limiter.reset()
    await limiter.reset("nobody")
    assert await passed(limiter, "", 5) == 3


@pytest.mark.parametrize("limit", [*ALL[:3], ALL[5]], ids=lambda each: type(each).__name__)
async def test_what_is_reserved_counts_and_can_be_given_back(
    limit: Limit, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", limit, clock=manual_clock)
    assert await passed(limiter, "", 3) == 3
    first = await limiter.reserve(max_delay=5)
    assert 0 < first.delay <= 1
    second = await limiter.reserve(max_delay=5)
    assert second.delay >= first.delay
    with pytest.raises(RateLimitedError):
        await limiter.reserve(max_delay=first.delay / 2)
    assert repr(first) == f"Permit(key='', cost=1, delay={first.delay:g})"
    before = await limiter.peek()
    await second.cancel()
    after = await limiter.peek()
    assert after.retry_after <= before.retry_after
    await second.cancel()
    assert await limiter.peek() == after
    with pytest.raises(ConfigurationError, match="max_delay"):
        await limiter.reserve(max_delay=float("nan"))


@every_limit
async def test_a_permit_is_given_back_once_and_no_more_than_it_cost(
    limit: Limit, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", limit, clock=manual_clock)
    permit = await limiter.acquire(cost=3)
    for amount in (4, -1, True, 1.0, float("nan")):
        with pytest.raises(ConfigurationError, match="amount"):
            await permit.refund(amount)  # type: ignore[arg-type]  # what is refused
    await permit.refund(2)
    await permit.refund(1)
    assert (await limiter.peek()).remaining == 2
    whole = await limiter.acquire(cost=2)
    await whole.cancel()
    assert (await limiter.peek()).remaining == 2


async def test_counted_windows_can_not_be_reserved(manual_clock: ManualClock) -> None:
    for limit in (FixedWindow("1/second"), SlidingWindowCounter("1/second")):
        with pytest.raises(ConfigurationError, match="to reserve"):
            await RateLimiter("x", limit, clock=manual_clock).reserve(max_delay=1)


@every_limit
async def test_a_cost_that_is_none_is_refused_before_anything_changes(
    limit: Limit, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", limit, clock=manual_clock)
    await limiter.acquire()
    before = await limiter.peek()
    for cost in (-1, -1000, True, 1.5, float("nan"), float("inf"), "1"):
        for ask in (limiter.acquire, limiter.peek):
            with pytest.raises(ConfigurationError, match="cost"):
                await ask(cost=cost)  # type: ignore[arg-type]  # what is refused
        if cost != "1":  # which would be a parameter
            with pytest.raises(ConfigurationError):
                RateLimiter("x", limit, cost=cost)  # type: ignore[arg-type]
    assert await limiter.peek() == before
    await limiter.acquire(cost=0)
    assert await limiter.peek() == before


@every_limit
async def test_a_cost_that_could_never_pass_is_an_error_of_its_own(
    limit: Limit, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", limit, on_limit="wait", clock=manual_clock)
    with pytest.raises(CostAboveLimitError, match="cost is 4; it must be at most 3") as caught:
        await limiter.acquire("a", 4)
    assert not isinstance(caught.value, Rejected)  # or a retry would go on for ever
    assert isinstance(caught.value, MobiusError)
    assert caught.value.limit == 3
