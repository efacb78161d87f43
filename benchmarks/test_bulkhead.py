"""Bulkhead, fallback, hedge and the whole stack where nothing is wrong; and what a rejection costs.

The first of each group is the floor.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress

import pytest

from benchmarks.conftest import Measure
from mobius_infra.breaker import (
    BulkheadFullError,
    CircuitBreaker,
    Percentile,
    RetryBudget,
    bulkhead,
    fallback,
    hedge,
    resilient,
    retry,
    throttle,
    timeout,
)


async def nothing(x: int = 1) -> int:
    return x


async def one_turn() -> None:
    await asyncio.sleep(0)


@pytest.mark.benchmark(group="bulkhead: a slot is free")
class TestBulkhead:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(bulkhead(10)(nothing))

    def test_mobius_infra_one_slot(self, measure: Measure) -> None:
        measure(bulkhead(1)(nothing))

    def test_mobius_infra_block(self, measure: Measure) -> None:
        limiter = bulkhead(10)

        async def limited() -> int:
            async with limiter:
                return await nothing()

        measure(limited)

    def test_asyncio_semaphore_block(self, measure: Measure) -> None:
        semaphore = asyncio.Semaphore(10)

        async def limited() -> int:
            async with semaphore:
                return await nothing()

        measure(limited)


@pytest.mark.benchmark(group="bulkhead: rejection")
class TestRejection:
    def test_the_exception_alone(self, measure: Measure) -> None:
        async def reject() -> None:
            raise BulkheadFullError("x", "full", limit=1, waiting=0, retry_after=None)

        measure(catching(reject))

    def test_mobius_infra(self, measure: Measure, loop: asyncio.AbstractEventLoop) -> None:
        limiter = bulkhead(1)
        loop.run_until_complete(limiter.acquire())
        measure(catching(limiter(nothing)))


@pytest.mark.benchmark(group="bulkhead: a slot is handed over")
class TestHandover:
    """A hundred tasks that share one slot."""

    def test_asyncio_semaphore(self, measure: Measure) -> None:
        measure(contended(asyncio.Semaphore(1)))

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(contended(bulkhead(1, queue=100, max_wait=None)))

    def test_mobius_infra_max_wait(self, measure: Measure) -> None:
        measure(contended(bulkhead(1, queue=100)))


@pytest.mark.benchmark(group="fallback and hedge: not needed")
class TestNotNeeded:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_fallback(self, measure: Measure) -> None:
        measure(fallback(value=0)(nothing))

    def test_hedge(self, measure: Measure) -> None:
        measure(hedge(after=1.0)(nothing))

    def test_hedge_by_percentile(self, measure: Measure) -> None:
        measure(hedge(after=Percentile())(nothing))


@pytest.mark.benchmark(group="hedge: the call waits one turn of the loop")
class TestWaiting:
    def test_bare_await(self, measure: Measure) -> None:
        measure(one_turn)

    def test_hedge(self, measure: Measure) -> None:
        measure(hedge(after=1.0)(one_turn))

    def test_a_task_for_the_first_attempt(self, measure: Measure) -> None:
        """What the hedge would cost at least if it ran the first attempt in a task."""

        async def call() -> None:
            await asyncio.wait([asyncio.create_task(one_turn())], timeout=1.0)

        measure(call)


@pytest.mark.benchmark(group="resilient: all is well")
class TestResilient:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_retry_breaker_bulkhead(self, measure: Measure) -> None:
        stack = resilient(
            retry=retry(on=OSError), breaker=CircuitBreaker("b"), bulkhead=bulkhead(10)
        )
        measure(stack(nothing))

    def test_everything(self, measure: Measure) -> None:
        budget = RetryBudget()
        stack = resilient(
            fallback=fallback(value=0),
            retry=retry(on=OSError, budget=budget),
            hedge=hedge(after=1.0, budget=budget),
            throttle=throttle(on=OSError),
            breaker=CircuitBreaker("b"),
            timeout=timeout(1.0),
            bulkhead=bulkhead(10),
        )
        measure(stack(nothing))


def catching(call: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    async def caught() -> None:
        with suppress(BulkheadFullError):
            await call()

    return caught


def contended(slots: AbstractAsyncContextManager[None]) -> Callable[[], Awaitable[None]]:
    """Return a call that is one of a hundred, all of which want the same slot."""
    waiting = 0

    async def use() -> None:
        async with slots:
            await asyncio.sleep(0)

    async def call() -> None:
        nonlocal waiting
        waiting = (waiting + 1) % 100
        if waiting == 0:
            await asyncio.gather(*(use() for _ in range(100)))

    return call
