"""What happens where two of the decorators meet, and in the order in which they are stacked."""

import asyncio
from collections.abc import Callable
from typing import Any, assert_type

import pytest

from mobius_infra.breaker import (
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    DeadlineExceededError,
    KeyedBreaker,
    RetryBudget,
    State,
    ThrottledError,
    bulkhead,
    deadline,
    fallback,
    hedge,
    resilient,
    retry,
    throttle,
    timeout,
)
from mobius_infra.core import Clock, ConfigurationError
from mobius_infra.testing import ManualClock


class UpstreamError(Exception):
    pass


class Upstream:
    """Takes some seconds for each answer, and fails when told."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.takes = 0.0
        self.error: Exception | None = None
        self.asked = 0
        self.now = 0
        self.most = 0

    async def ask(self) -> str:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.takes:
                await self.clock.sleep(self.takes)
            if self.error is not None:
                raise self.error
            return f"answer {self.asked}"
        finally:
            self.now -= 1


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(auto_jump=True, settle=5)


@pytest.fixture
def upstream(clock: ManualClock) -> Upstream:
    return Upstream(clock)


def make_breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("upstream", consecutive_failures=3, clock=clock, draw=lambda: 0.0)


async def test_fallback_and_retry_it_answers_only_when_there_are_no_attempts_left(
    upstream: Upstream, clock: ManualClock
) -> None:
    ask = resilient(
        fallback=fallback(value="none", on=UpstreamError),
        retry=retry(on=UpstreamError, attempts=3, clock=clock),
    )(upstream.ask)
    upstream.error = UpstreamError()
    assert await ask() == "none"
    assert upstream.asked == 3


async def test_fallback_and_breaker_an_open_circuit_is_answered(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker = make_breaker(clock)
    ask = resilient(fallback=fallback(value="none"), breaker=breaker)(upstream.ask)
    breaker.isolate()
    assert await ask() == "none"
    assert upstream.asked == 0


async def test_retry_and_breaker_each_attempt_is_counted(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker = make_breaker(clock)
    again = retry(on=Exception, attempts=9, draw=lambda: 0.5, clock=clock)
    upstream.error = UpstreamError()
    with pytest.raises(CircuitOpenError):
        await resilient(retry=again, breaker=breaker)(upstream.ask)()
    # The third failure opened it, and what it rejected was not tried again.
    assert upstream.asked == 3
    assert breaker.stats().rejected == 1


async def test_retry_and_hedge_each_attempt_is_hedged(
    upstream: Upstream, clock: ManualClock
) -> None:
    upstream.takes, upstream.error = 5.0, UpstreamError()
    late = hedge(after=1.0, budget=RetryBudget(9, clock=clock), clock=clock)
    again = retry(on=UpstreamError, attempts=2, clock=clock)
    with pytest.raises(UpstreamError):
        await resilient(retry=again, hedge=late)(upstream.ask)()
    assert upstream.asked == 4


@pytest.mark.parametrize("shared", [True, False])
async def test_retry_and_hedge_a_call_counts_once_in_a_shared_budget(
    shared: bool, upstream: Upstream, clock: ManualClock
) -> None:
    budget, other = RetryBudget(clock=clock), RetryBudget(clock=clock)
    again = retry(on=UpstreamError, budget=budget, clock=clock)
    late = hedge(after=1.0, budget=budget if shared else other, clock=clock)
    ask = resilient(retry=again, hedge=late)(upstream.ask)
    for _ in range(5):
        await ask()
    assert budget.stats().requests == 5
    assert other.stats().requests == (0 if shared else 5)


async def test_retry_and_timeout_each_attempt_has_all_of_the_time(
    upstream: Upstream, clock: ManualClock
) -> None:
    upstream.takes = 5.0
    again = retry(on=TimeoutError, attempts=3, clock=clock)
    with pytest.raises(TimeoutError):
        await resilient(retry=again, timeout=timeout(2.0, clock=clock))(upstream.ask)()
    assert upstream.asked == 3
    assert clock.monotonic() >= 6.0


async def test_retry_and_bulkhead_no_slot_is_held_between_attempts(
    upstream: Upstream, clock: ManualClock
) -> None:
    limiter = bulkhead(1, clock=clock)
    again = retry(on=UpstreamError, attempts=2, draw=lambda: 1.0, clock=clock)
    ask = resilient(retry=again, bulkhead=limiter)(upstream.ask)
    upstream.error = UpstreamError()
    call = asyncio.create_task(ask())
    await asyncio.sleep(0)
    assert (upstream.asked, limiter.in_use) == (1, 0)
    upstream.error = None
    assert await call == "answer 2"


async def test_retry_and_bulkhead_a_rejection_is_not_tried_again(
    upstream: Upstream, clock: ManualClock
) -> None:
    limiter = bulkhead(1, clock=clock)
    again = retry(on=Exception, attempts=5, clock=clock)
    async with limiter:
        with pytest.raises(BulkheadFullError):
            await resilient(retry=again, bulkhead=limiter)(upstream.ask)()
    assert limiter.stats().rejected["full"] == 1


async def test_hedge_and_breaker_a_loser_is_neutral(upstream: Upstream, clock: ManualClock) -> None:
    breaker = make_breaker(clock)
    late = hedge(after=1.0, budget=RetryBudget(9, clock=clock), clock=clock)
    ask = resilient(hedge=late, breaker=breaker)(upstream.ask)
    upstream.takes = 1.5
    for _ in range(10):
        assert await ask()
    stats = breaker.stats()
    assert (stats.successes, stats.neutral, stats.failures) == (10, 10, 0)


@pytest.mark.parametrize("by_key", [False, True])
async def test_hedge_and_breaker_none_is_made_while_the_circuit_is_not_closed(
    by_key: bool, upstream: Upstream, clock: ManualClock
) -> None:
    breaker: CircuitBreaker | KeyedBreaker
    if by_key:
        breaker = KeyedBreaker("hosts", key="host", consecutive_failures=1, permits=2, clock=clock)
        circuit = breaker.breaker("a")
    else:
        breaker = circuit = CircuitBreaker(
            "upstream", consecutive_failures=1, permits=2, clock=clock
        )

    @resilient(hedge=hedge(after=1.0, clock=clock), breaker=breaker)
    async def ask(host: str) -> str:
        return await upstream.ask()

    upstream.error = UpstreamError()
    with pytest.raises(UpstreamError):
        await ask("a")
    assert circuit.stats().opened == 1
    upstream.error, upstream.takes = None, 1.5
    await clock.sleep(60)
    await ask("a")  # a probe, which is late: the other probe's slot is not spent on it
    assert upstream.asked == 2
    assert circuit.state is State.CLOSED
    await ask("a")
    assert upstream.asked == 4


async def test_hedge_and_timeout_each_attempt_has_a_time_of_its_own(
    upstream: Upstream, clock: ManualClock
) -> None:
    upstream.takes = 5.0
    late = hedge(after=1.0, clock=clock)
    with pytest.raises(TimeoutError) as caught:
        await resilient(hedge=late, timeout=timeout(2.0, clock=clock))(upstream.ask)()
    assert upstream.asked == 2
    assert clock.monotonic() == 3.0
    assert len(caught.value.__notes__) == 1


async def test_hedge_and_bulkhead_a_loser_gives_its_slot_back(
    upstream: Upstream, clock: ManualClock
) -> None:
    limiter = bulkhead(2, clock=clock)
    ask = resilient(hedge=hedge(after=1.0, clock=clock), bulkhead=limiter)(upstream.ask)
    upstream.takes = 1.5
    for _ in range(5):
        assert await ask()
        assert limiter.in_use == 0
    assert upstream.most == 2


async def test_hedge_and_bulkhead_a_hedge_that_finds_no_slot_harms_nothing(
    upstream: Upstream, clock: ManualClock
) -> None:
    limiter = bulkhead(1, clock=clock)
    upstream.takes = 1.5
    late = hedge(after=1.0, clock=clock)
    assert await resilient(hedge=late, bulkhead=limiter)(upstream.ask)() == "answer 1"
    assert limiter.stats().rejected["full"] == 1


async def test_retry_and_throttle_a_rejection_is_not_tried_again(
    upstream: Upstream, clock: ManualClock
) -> None:
    brake = throttle(on=UpstreamError, k=1.0, clock=clock, draw=lambda: 0.0)
    again = retry(on=Exception, attempts=9, clock=clock)
    upstream.error = UpstreamError()
    with pytest.raises(ThrottledError):
        await resilient(retry=again, throttle=brake)(upstream.ask)()
    assert (upstream.asked, brake.stats().rejected) == (1, 1)


async def test_throttle_and_breaker_an_open_circuit_is_no_refusal(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker = make_breaker(clock)
    brake = throttle(on=Exception, k=1.0, clock=clock, draw=lambda: 0.0)
    ask = resilient(throttle=brake, breaker=breaker)(upstream.ask)
    breaker.isolate()
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            await ask()
    breaker.reset()
    assert await ask() == "answer 1"


async def test_breaker_and_timeout_what_takes_too_long_has_failed(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker = make_breaker(clock)
    ask = resilient(breaker=breaker, timeout=timeout(2.0, clock=clock))(upstream.ask)
    upstream.takes = 5.0
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await ask()
    assert breaker.state is State.OPEN


async def test_breaker_and_bulkhead_a_rejection_is_neutral(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker, limiter = make_breaker(clock), bulkhead(1, clock=clock)
    ask = resilient(breaker=breaker, bulkhead=limiter)(upstream.ask)
    async with limiter:
        for _ in range(5):
            with pytest.raises(BulkheadFullError):
                await ask()
    stats = breaker.stats()
    assert (stats.neutral, stats.failures, stats.successes) == (5, 0, 0)
    assert breaker.state is State.CLOSED


async def test_breaker_timeout_and_bulkhead_a_timeout_in_the_queue_is_a_rejection(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker, limiter = make_breaker(clock), bulkhead(1, queue=5, max_wait=60.0, clock=clock)
    again = retry(on=Exception, attempts=5, clock=clock)
    ask = resilient(
        retry=again, breaker=breaker, timeout=timeout(2.0, clock=clock), bulkhead=limiter
    )(upstream.ask)
    async with limiter:
        for _ in range(5):
            with pytest.raises(BulkheadFullError) as caught:
                await ask()
    assert upstream.asked == 0
    assert (breaker.stats().neutral, breaker.stats().failures) == (5, 0)
    assert (limiter.in_use, limiter.waiting) == (0, 0)
    assert caught.value.reason == "cancelled"
    chain, each = [], caught.value  # ends, and tells of the time-out
    while each is not None:
        chain.append(type(each))
        each = each.__cause__  # type: ignore[assignment]  # any error
    assert chain[1:] == [type(caught.value.__cause__), asyncio.CancelledError]
    assert issubclass(chain[1], TimeoutError)


async def test_timeout_and_bulkhead_by_hand_do_the_same(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker, limiter = make_breaker(clock), bulkhead(1, queue=5, max_wait=60.0, clock=clock)
    per_key = bulkhead(1, key=lambda: "a", queue=5, max_wait=60.0, clock=clock)
    for part in (limiter, per_key):
        late = timeout(2.0, clock=clock)
        ask = retry(on=Exception, clock=clock)(breaker(late(part(upstream.ask))))
        async with limiter, per_key.slot("a"):
            for _ in range(5):
                with pytest.raises(BulkheadFullError) as caught:
                    await ask()
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert late.stats().expired == 5
    assert upstream.asked == 0
    assert (breaker.stats().neutral, breaker.stats().failures) == (10, 0)


async def test_timeout_and_bulkhead_after_the_queue_it_is_a_timeout(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker, limiter = make_breaker(clock), bulkhead(1, queue=5, clock=clock)
    ask = resilient(breaker=breaker, timeout=timeout(2.0, clock=clock), bulkhead=limiter)(
        upstream.ask
    )
    upstream.takes = 5.0
    await limiter.acquire()
    call = asyncio.create_task(ask())
    await asyncio.sleep(0)
    limiter.release()
    with pytest.raises(TimeoutError):
        await call
    assert breaker.stats().failures == 1
    assert limiter.in_use == 0


async def test_breaker_and_bulkhead_who_is_given_up_in_the_queue_was_not_slow(
    manual_clock: ManualClock,
) -> None:
    clock, upstream = manual_clock, Upstream(manual_clock)
    breaker = CircuitBreaker(
        "upstream", slow_rate=1.0, slow_after=1.0, minimum_calls=2, clock=clock
    )
    limiter = bulkhead(1, queue=5, max_wait=60.0, clock=clock)
    ask = resilient(breaker=breaker, bulkhead=limiter)(upstream.ask)
    async with limiter:
        for _ in range(3):
            call = asyncio.create_task(ask())
            await clock.advance(5)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
    assert upstream.asked == 0
    assert (breaker.stats().neutral, breaker.stats().slow) == (3, 0)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("in_a_task", [False, True])
async def test_breaker_and_timeout_a_deadline_around_both_is_the_callers_impatience(
    in_a_task: bool, upstream: Upstream, clock: ManualClock
) -> None:
    breaker = make_breaker(clock)
    upstream.takes = 1.0
    ask = resilient(breaker=breaker, timeout=timeout(2.0, clock=clock))(upstream.ask)
    calls = []

    async def hurry() -> None:
        if not in_a_task:
            await ask()
        calls.append(asyncio.create_task(ask()))  # cancelled by the time-out, not the deadline
        await asyncio.wait(calls[-1:])

    for _ in range(5):
        with pytest.raises(DeadlineExceededError):
            await deadline(0.1, clock=clock).run(hurry)
    for call in calls:
        with pytest.raises(DeadlineExceededError):
            await call
    assert (breaker.stats().neutral, breaker.stats().failures) == (5, 0)


async def test_breaker_and_deadline_one_inside_the_breaker_is_a_failure(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker = make_breaker(clock)
    upstream.takes = 5.0
    ask = breaker(deadline(1.0, clock=clock)(upstream.ask))
    async with deadline(60.0, clock=clock):
        with pytest.raises(DeadlineExceededError):
            await ask()
    assert breaker.stats().failures == 1


async def test_cancellation_goes_through_all_and_leaves_nothing_behind(
    upstream: Upstream, clock: ManualClock
) -> None:
    breaker, limiter = make_breaker(clock), bulkhead(2, queue=5, clock=clock)
    budget = RetryBudget(9, clock=clock)
    ask = resilient(
        fallback=fallback(value="none", on=Exception),
        retry=retry(on=Exception, budget=budget, clock=clock),
        hedge=hedge(after=1.0, budget=budget, clock=clock),
        breaker=breaker,
        timeout=timeout(1_000.0, clock=clock),
        bulkhead=limiter,
    )(upstream.ask)
    upstream.takes = 500.0
    calls = [asyncio.create_task(ask()) for _ in range(2)]
    while limiter.waiting < 2:  # both hold a slot, and their hedges wait for one
        await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in found] == [asyncio.CancelledError] * 2
    assert (limiter.in_use, limiter.waiting, upstream.now) == (0, 0, 0)
    assert breaker.stats().neutral == 4
    await asyncio.sleep(0)
    assert clock.sleepers == 0
    assert len(asyncio.all_tasks()) == 1


async def test_all_of_it_answers(upstream: Upstream, clock: ManualClock) -> None:
    ask = resilient(
        fallback=fallback(value=None),
        retry=retry(on=UpstreamError, clock=clock),
        hedge=hedge(after=1.0, clock=clock),
        throttle=throttle(on=UpstreamError, clock=clock),
        breaker=make_breaker(clock),
        timeout=timeout(2.0, clock=clock),
        bulkhead=bulkhead(10, clock=clock),
    )(upstream.ask)
    assert await ask() == "answer 1"
    assert_type(await ask(), str | None)


async def test_the_order_is_its_own_however_it_is_written(clock: ManualClock) -> None:
    breaker, limiter = make_breaker(clock), bulkhead(1, clock=clock)
    one = resilient(bulkhead=limiter, breaker=breaker)
    assert one.parts == (breaker, limiter)
    assert repr(one) == f"resilient(breaker={breaker!r}, bulkhead={limiter!r})"

    class Client:
        @one
        async def get(self, path: str) -> bytes:
            return path.encode()

        @one
        @classmethod
        async def make(cls) -> "Client":
            return cls()

    assert_type(await (await Client.make()).get("a"), bytes)
    assert breaker.stats().successes == 2


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "resilient"),
        ({"retry": 3}, "retry"),
        ({"timeout": 2.0}, "timeout"),
        ({"bulkhead": bulkhead}, "bulkhead"),
        ({"breaker": bulkhead(1)}, "breaker"),
        ({"hedge": timeout(1.0)}, "hedge"),
        ({"fallback": "none"}, "fallback"),
    ],
)
def test_parts_of_another_kind_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resilient(**options)
    assert caught.value.field == field


def test_a_sync_function_is_refused_at_decoration() -> None:
    stack: Callable[..., Any] = resilient(bulkhead=bulkhead(1))
    with pytest.raises(ConfigurationError, match="async def"):
        stack(lambda: 1)
