"""Async generators under a breaker."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from inspect import isasyncgenfunction
from typing import Any, assert_type

import pytest

from mobius_infra.breaker import Calls, CircuitBreaker, CircuitOpenError, KeyedBreaker, State
from mobius_infra.core import ConfigurationError
from mobius_infra.testing import ManualClock
from tests.breaker.support import DependencyError, fail, make, state_of, trip

Numbers = Callable[[int], AsyncGenerator[int, str | None]]


def numbers_under(breaker: CircuitBreaker) -> Numbers:
    """Counts from 0; `athrow` and `asend` are answered, and `error` is raised at the end."""

    @breaker
    async def numbers(most: int, error: Exception | None = None) -> AsyncGenerator[int, str | None]:
        for number in range(most):
            try:
                sent = yield number
            except LookupError:
                yield -1
            else:
                if sent is not None:
                    yield len(sent)
        if error is not None:
            raise error

    return numbers


async def test_one_that_is_exhausted_is_one_success(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    numbers = numbers_under(breaker)
    assert isasyncgenfunction(numbers)
    stream = numbers(3)
    assert breaker.stats().probes == 0
    assert [each async for each in stream] == [0, 1, 2]
    stats = breaker.stats()
    assert (stats.successes, stats.failures, stats.neutral) == (1, 0, 0)


async def test_one_that_raises_is_a_failure(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    numbers: Any = numbers_under(breaker)
    for _ in range(2):
        with pytest.raises(DependencyError):
            async for _ in numbers(2, DependencyError()):
                pass
    assert state_of(breaker) is State.OPEN
    with pytest.raises(CircuitOpenError):
        await anext(numbers(2))


async def test_it_asks_for_its_permit_with_the_first_item(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    stream = numbers_under(breaker)(3)
    breaker.isolate()
    with pytest.raises(CircuitOpenError):
        await anext(stream)


async def test_what_is_sent_and_thrown_in_reaches_it(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    stream = numbers_under(breaker)(9)
    assert await anext(stream) == 0
    assert await stream.asend("four") == 4
    assert await anext(stream) == 1
    assert await stream.athrow(LookupError()) == -1
    with pytest.raises(DependencyError):
        await stream.athrow(DependencyError())
    assert breaker.stats().failures == 1
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_closing_it_half_way_is_neutral_and_runs_its_end(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    await trip(breaker, manual_clock)
    ended = []

    @breaker
    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    stream: Any = items()
    await anext(stream)
    assert breaker.stats().probes == 1
    with pytest.raises(CircuitOpenError):
        await anext(items())
    await stream.aclose()
    assert (ended, breaker.stats().neutral, breaker.stats().probes) == ([True], 1, 0)
    assert state_of(breaker) is State.HALF_OPEN
    assert [each async for each in items()] == [1, 2]
    assert state_of(breaker) is State.CLOSED


async def test_one_that_is_forgotten_half_way_gives_its_slot_back(
    manual_clock: ManualClock,
) -> None:
    breaker = make(manual_clock)
    await trip(breaker, manual_clock)
    stream = numbers_under(breaker)(3)
    await anext(stream)
    del stream
    await manual_clock.advance(0)  # the event loop closes it
    assert (breaker.stats().neutral, breaker.stats().probes) == (1, 0)


async def test_one_that_is_cancelled_is_neutral_and_after_long_it_is_slow(
    manual_clock: ManualClock,
) -> None:
    breaker = make(manual_clock, slow_rate=1.0, slow_after=2.0, window=Calls(1), minimum_calls=1)

    @breaker
    async def hang() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    for seconds, slow in ((1.0, 0), (2.5, 1)):
        stream: Any = hang()
        await anext(stream)
        manual_clock.tick(100)  # the consumer's own time
        task = asyncio.ensure_future(anext(stream))
        await manual_clock.advance(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert breaker.stats().slow == slow
    assert state_of(breaker) is State.OPEN


async def test_its_slowness_is_the_longest_wait_for_an_item(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock, slow_rate=1.0, slow_after=2.0)

    @breaker
    async def items(waits: list[float]) -> AsyncIterator[float]:
        for each in waits:
            manual_clock.tick(each)
            yield each

    async for _ in items([1.0] * 10):
        manual_clock.tick(60)
    assert breaker.stats().slow == 0
    assert [each async for each in items([1.0, 2.5, 1.0])] == [1.0, 2.5, 1.0]
    assert breaker.stats().slow == 1


async def test_a_probes_lease_begins_anew_with_each_item(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock, probe_timeout=30.0)
    await trip(breaker, manual_clock)
    stream = numbers_under(breaker)(5)
    for number in range(5):
        assert await anext(stream) == number
        manual_clock.tick(25)
        with pytest.raises(CircuitOpenError, match="half-open"):
            breaker.admit()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert state_of(breaker) is State.CLOSED


async def test_a_probe_whose_consumer_went_away_loses_its_lease(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock, probe_timeout=30.0)
    await trip(breaker, manual_clock)
    stream = numbers_under(breaker)(1)
    await anext(stream)
    manual_clock.tick(30)
    with pytest.raises(CircuitOpenError):
        breaker.admit()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)  # the stream itself is not disturbed
    assert (state_of(breaker), breaker.stats().overdue) == (State.OPEN, 1)


async def test_methods_and_keys(manual_clock: ManualClock) -> None:
    per_host = KeyedBreaker("x", key="host", consecutive_failures=1, clock=manual_clock)

    class Client:
        @per_host
        async def lines(self, host: str) -> AsyncIterator[str]:
            if host == "down":
                raise DependencyError
            yield host

        @staticmethod
        @per_host
        async def all(host: str) -> AsyncGenerator[str, None]:
            yield host

    assert_type(Client().lines("up"), AsyncIterator[str])
    assert_type(Client.all("up"), AsyncGenerator[str, None])
    assert [each async for each in Client().lines("up")] == ["up"]
    assert [each async for each in Client.all("up")] == ["up"]
    for error in (DependencyError, CircuitOpenError):
        with pytest.raises(error):
            await anext(Client().lines("down"))


async def test_a_context_manager_goes_on_top(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    on_top: Any = breaker

    @asynccontextmanager
    async def session() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigurationError, match="@asynccontextmanager"):
        on_top(session)
    await fail(breaker)


async def test_a_consumers_pause_before_it_leaves_makes_nothing_slow(
    manual_clock: ManualClock,
) -> None:
    breaker = make(manual_clock, slow_rate=1.0, slow_after=1.0)

    @breaker
    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            raise asyncio.CancelledError

    stream = items()
    assert await anext(stream) == 1
    manual_clock.tick(10)
    with pytest.raises(asyncio.CancelledError):
        await stream.aclose()
    assert (breaker.stats().neutral, breaker.stats().slow) == (1, 0)
