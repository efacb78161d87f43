"""The rate limiter, as its users see it."""

import asyncio
from typing import Any, assert_type

import pytest

from mobius_infra.core import (
    BackendUnavailableError,
    ConfigurationError,
    Event,
    Rejected,
    open_backend,
)
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.ratelimit import (
    LimiterDegraded,
    LimiterRestored,
    RateLimitedError,
    RateLimiter,
    RateLimiterConfig,
    TokenBucket,
)
from mobius_infra.testing import ManualClock


class Flaky(MemoryBackend):
    """A backend that can be told to be away."""

    __slots__ = ("away",)

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.away = False

    async def run(self, script: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        if self.away:
            raise BackendUnavailableError(self.name, "run", "away")
        return await super().run(script, key, *args, **kwargs)


async def passed(limiter: RateLimiter, key: str, times: int) -> int:
    count = 0
    for _ in range(times):
        try:
            await limiter.acquire(key)
            count += 1
        except RateLimitedError:
            pass
    return count


@pytest.mark.parametrize("shared", [False, True])
async def test_each_key_has_a_bucket_of_its_own(shared: bool, manual_clock: ManualClock) -> None:
    backend = open_backend("memory://", clock=manual_clock) if shared else None
    limiter = RateLimiter("x", TokenBucket(1, 3), backend=backend, clock=manual_clock)
    assert await passed(limiter, "a", 10) == 3
    assert await passed(limiter, "b", 10) == 3
    manual_clock.tick(2)
    assert await passed(limiter, "a", 10) == 2
    assert limiter.stats().mode == ("shared" if shared else "local")


async def test_a_refusal_says_all_that_a_program_needs(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("per-user", TokenBucket(0.5, 2), clock=manual_clock)
    await passed(limiter, "7", 2)
    with pytest.raises(
        RateLimitedError, match="'per-user' reached for '7'; try again in 2 s"
    ) as caught:
        await limiter.acquire("7")
    assert isinstance(caught.value, Rejected)
    assert caught.value.fields() == {
        "name": "per-user",
        "key": "7",
        "retry_after": 2.0,
        "limit": 2.0,
        "remaining": 0.0,
        "reset": 4.0,
    }


async def test_a_decorated_function_counts_against_the_key_of_its_arguments(
    manual_clock: ManualClock,
) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 1), key="user_id", clock=manual_clock)

    class Bot:
        @limiter
        async def answer(self, user_id: int, text: str = "") -> list[str]:
            return [text]

    bot = Bot()
    assert_type(await bot.answer(1, text="a"), list[str])
    assert await bot.answer(2) == [""]
    with pytest.raises(RateLimitedError):
        await bot.answer(user_id=1)
    stats = limiter.stats()
    assert (stats.allowed, stats.limited, stats.keys) == (2, 1, 2)


async def test_without_a_key_all_calls_share_one_bucket(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 2), clock=manual_clock)

    @limiter
    async def f(x: int) -> int:
        return x

    assert [await f(1), await f(2)] == [1, 2]
    with pytest.raises(RateLimitedError):
        await f(3)


async def test_a_refused_call_can_be_answered_by_a_function(manual_clock: ManualClock) -> None:
    async def slowly(error: RateLimitedError, user_id: int) -> str:
        return f"user {user_id}: again in {error.retry_after} s"

    limiter = RateLimiter(
        "x", TokenBucket(1, 1), key="user_id", on_limit=slowly, clock=manual_clock
    )

    @limiter
    async def answer(user_id: int) -> str:
        return "answer"

    assert [await answer(3), await answer(3)] == ["answer", "user 3: again in 1.0 s"]


async def test_waiting_calls_pass_in_order_and_at_the_rate(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", TokenBucket(2, 1), on_limit="wait", clock=manual_clock)
    seen: list[tuple[int, float]] = []

    async def ask(number: int) -> None:
        await limiter.acquire("k")
        seen.append((number, manual_clock.monotonic()))

    tasks = [asyncio.create_task(ask(number)) for number in range(5)]
    await manual_clock.advance(0)
    assert limiter.stats().waiting == 4
    await manual_clock.advance(10)
    await asyncio.gather(*tasks)
    assert seen == [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0)]
    stats = limiter.stats()
    assert (stats.allowed, stats.waited, stats.waiting, stats.limited) == (5, 4, 0, 0)


async def test_who_stops_waiting_takes_no_token_and_delays_nobody(
    manual_clock: ManualClock,
) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 1), on_limit="wait", clock=manual_clock)
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
    await manual_clock.advance(0.5)
    tasks[1].cancel()
    tasks[2].cancel()
    await manual_clock.advance(0.5)
    assert [task.done() for task in tasks] == [True] * 4
    assert tasks[3].exception() is None
    assert limiter.stats().waiting == 0


async def test_who_would_wait_too_long_is_refused_at_once(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 1), on_limit="wait", max_wait=1.5, clock=manual_clock)
    await limiter.acquire()
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
    await manual_clock.advance(0)
    with pytest.raises(RateLimitedError):
        await limiter.acquire()
    await manual_clock.advance(3)
    assert waiting[0].exception() is None
    assert isinstance(waiting[1].exception(), RateLimitedError)  # its turn came too late


async def test_the_line_is_bounded(manual_clock: ManualClock) -> None:
    limiter = RateLimiter(
        "x", TokenBucket(1, 1), on_limit="wait", max_waiting=2, clock=manual_clock
    )
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
    await manual_clock.advance(5)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, RateLimitedError) for each in results] == [False, False, False, True]


@pytest.mark.parametrize(("on_error", "allowed"), [("local", 2), ("allow", 5), ("deny", 0)])
async def test_without_its_backend_it_does_as_chosen_and_heals(
    on_error: Any, allowed: int, manual_clock: ManualClock
) -> None:
    backend, heard = Flaky(manual_clock), list[Event]()
    limiter = RateLimiter(
        "x", TokenBucket(1, 2), backend=backend, on_error=on_error, clock=manual_clock
    )
    limiter.events.subscribe(heard.append)
    assert await passed(limiter, "k", 1) == 1
    backend.away = True
    assert await passed(limiter, "k", 5) == allowed
    assert limiter.stats().mode == "degraded"
    backend.away = False
    assert await passed(limiter, "k", 5) == 1
    assert [type(event) for event in heard] == [LimiterDegraded, LimiterRestored]
    assert limiter.stats().backend_errors == 5


async def test_two_limiters_share_a_backend(manual_clock: ManualClock) -> None:
    backend = open_backend("memory://", clock=manual_clock)
    one, two = (RateLimiter("x", TokenBucket(1, 4), backend=backend) for _ in range(2))
    assert await passed(one, "k", 3) + await passed(two, "k", 3) == 4
    await one.reset("k")
    assert (await two.peek("k")).remaining == 4


async def test_peeking_takes_nothing(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 1), clock=manual_clock)
    assert (await limiter.peek()).allowed
    await limiter.acquire()
    assert await limiter.peek() == (False, 0.0, 1.0, 1.0)
    await limiter.reset()
    assert (await limiter.peek()).allowed


async def test_keys_are_bounded_and_idle_ones_forgotten(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 1), max_keys=100, clock=manual_clock)
    for number in range(250):
        await limiter.acquire(f"k{number}")
    assert (limiter.stats().keys, limiter.stats().evicted) == (100, 150)
    manual_clock.tick(10)
    for number in range(100):
        await limiter.acquire(f"new{number}")
        manual_clock.tick(1)
    assert limiter.stats().keys <= 2
    assert limiter.stats().evicted == 150


async def test_a_cost_that_could_never_pass_is_refused_clearly() -> None:
    limiter = RateLimiter("x", TokenBucket(1, 5))
    for cost in (6, -1, float("nan")):
        with pytest.raises(ConfigurationError, match="cost"):
            await limiter.acquire(cost=cost)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"on_limit": "drop"}, "on_limit"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_waiting": 0}, "max_waiting"),
        ({"max_keys": 0}, "max_keys"),
        ({"on_error": "x"}, "on_error"),
    ],
)
def test_values_out_of_range_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RateLimiter(**{"name": "x", "limit": TokenBucket(1), **options})
    assert caught.value.field == field


def test_a_key_that_names_no_parameter_is_refused_at_decoration() -> None:
    limiter = RateLimiter("x", TokenBucket(1), key="{chat}")
    with pytest.raises(ConfigurationError, match="'chat' is not one"):

        @limiter
        async def f(user_id: int) -> None: ...


def test_it_is_built_from_settings() -> None:
    config = RateLimiterConfig.load(
        {"name": "x", "rate": "60/minute", "burst": 5, "key": "user_id"}
    )
    limiter = RateLimiter.from_config(config, on_limit="wait")
    assert repr(limiter) == "RateLimiter('x', TokenBucket(rate=1, burst=5))"
