"""Retry and time-out where nothing is wrong, and how jitter spreads those who contend."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from heapq import heapify, heappop, heappush
from statistics import mean

import pytest

from benchmarks.conftest import Measure
from mobius_infra.breaker import Backoff, RetryBudget, deadline, retry, throttle, timeout


async def nothing(x: int = 1) -> int:
    return x


async def one_turn() -> None:
    await asyncio.sleep(0)


@pytest.mark.benchmark(group="retry: first attempt succeeds")
class TestRetry:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(retry(OSError)(nothing))

    def test_mobius_infra_with_a_budget(self, measure: Measure) -> None:
        measure(retry(OSError, budget=RetryBudget())(nothing))

    def test_mobius_infra_within(self, measure: Measure) -> None:
        measure(retry(OSError, within=10.0)(nothing))

    def test_tenacity(self, measure: Measure) -> None:
        import tenacity

        policy = tenacity.retry(
            retry=tenacity.retry_if_exception_type(OSError),
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_random_exponential(0.1),
        )
        measure(policy(nothing))

    def test_stamina(self, measure: Measure) -> None:
        import stamina

        measure(stamina.retry(on=OSError, attempts=3)(nothing))


def by_asyncio(func: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
    async def bounded() -> object:
        async with asyncio.timeout(10):
            return await func()

    return bounded


def by_block(func: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
    limit = timeout(10)

    async def bounded() -> object:
        async with limit:
            return await func()

    return bounded


@pytest.mark.benchmark(group="time-out: the call does not wait")
class TestTimeout:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(timeout(10)(nothing))

    def test_mobius_infra_block(self, measure: Measure) -> None:
        measure(by_block(nothing))

    def test_mobius_infra_deadline(self, measure: Measure) -> None:
        measure(deadline(10)(nothing))

    def test_asyncio(self, measure: Measure) -> None:
        measure(by_asyncio(nothing))


@pytest.mark.benchmark(group="time-out: the call waits one turn of the loop")
class TestTimeoutOfWhatWaits:
    def test_bare_await(self, measure: Measure) -> None:
        measure(one_turn)

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(timeout(10)(one_turn))

    def test_mobius_infra_block(self, measure: Measure) -> None:
        measure(by_block(one_turn))

    def test_asyncio(self, measure: Measure) -> None:
        measure(by_asyncio(one_turn))


@pytest.mark.benchmark(group="throttle: nothing is refused")
class TestThrottle:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(throttle(OSError)(nothing))


class Row:
    """One row under optimistic concurrency control: a write must know the version."""

    def __init__(self) -> None:
        self.version = self.writes = 0

    def write(self, version: int) -> bool:
        self.writes += 1
        fits = version == self.version
        self.version += fits
        return fits


def client(row: Row, backoff: Backoff | None, chance: random.Random) -> Iterator[float]:
    """Update the row once; give the seconds until the next step."""

    def network() -> float:
        return abs(chance.normalvariate(0.010, 0.002))

    attempt, pause = 0, 0.0
    while True:
        yield network()
        version = row.version
        yield network()
        yield network()
        fits = row.write(version)
        yield network()
        if fits:
            return
        attempt += 1
        if backoff is not None:
            pause = backoff.pause(attempt, chance.random(), pause)
            yield pause


def contend(clients: int, backoff: Backoff | None, seed: int) -> tuple[int, float]:
    """Let clients contend in virtual time; return the calls made, and when the last is through."""
    chance, row = random.Random(seed), Row()
    # By number where times are equal; generators can't be compared.
    waiting = [(0.0, number, client(row, backoff, chance)) for number in range(clients)]
    heapify(waiting)
    now = 0.0
    while waiting:
        now, number, steps = heappop(waiting)
        pause = next(steps, None)
        if pause is not None:
            heappush(waiting, (now + pause, number, steps))
    return row.writes, now


# The model's first exponential pause is twice its base of 5 ms; only decorrelated starts at it.
POLICIES: dict[str, Backoff | None] = {
    "no backoff": None,
    "exponential": Backoff(0.010, 2.0, jitter="none"),
    "equal jitter": Backoff(0.010, 2.0, jitter="equal"),
    "full jitter": Backoff(0.010, 2.0, jitter="full"),
    "decorrelated jitter": Backoff(0.005, 2.0, jitter="decorrelated"),
}
"""Pauses of the model: Marc Brooker, "Exponential Backoff And Jitter", AWS blog, 2015."""


def test_jitter_spreads_100_clients_that_contend(
    record_figure: Callable[[str, str], None],
) -> None:
    calls: dict[str, float] = {}
    for name, backoff in POLICIES.items():
        runs = [contend(100, backoff, seed) for seed in range(20)]
        calls[name] = mean(made for made, _ in runs)
        seconds = mean(end for _, end in runs)
        record_figure(name, f"{calls[name]:,.0f} calls, {seconds:.2f} s")
    assert 700 < calls["full jitter"] < 900
    assert calls["full jitter"] < 0.7 * calls["exponential"]
    assert calls["exponential"] < calls["no backoff"]
