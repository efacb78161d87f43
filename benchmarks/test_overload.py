"""What limits cost where nothing is refused, and a fair queue whatever waits in it.

The first of each group is the floor: a bare await of a no-op coroutine function.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter

import pytest

from benchmarks.conftest import Measure
from mobius_infra.ratelimit import (
    AdaptiveLimiter,
    FairQueue,
    LoadShedder,
    fair,
)
from tests.ratelimit.overload import GUARDS, simulate


async def nothing(user_id: int = 1) -> int:
    return user_id


class Calm:
    """A signal that is never high."""

    name = "calm"

    def value(self) -> float:
        return 0.1


@pytest.mark.benchmark(group="overload: a slot is free")
class TestFree:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_fair(self, measure: Measure) -> None:
        measure(fair(10, tenant="user_id")(nothing))

    def test_load_shedder(self, measure: Measure) -> None:
        measure(LoadShedder("s", [Calm()])(nothing))

    def test_adaptive_limiter(self, measure: Measure) -> None:
        measure(AdaptiveLimiter("a")(nothing))

    def test_asyncio_semaphore(self, measure: Measure) -> None:
        semaphore = asyncio.Semaphore(10)

        async def limited() -> int:
            async with semaphore:
                return await nothing()

        measure(limited)


@pytest.mark.parametrize("guard", GUARDS)
def test_four_times_the_capacity(guard: str, record_figure: Callable[[str, str], None]) -> None:
    """The simulation of `tests/ratelimit/overload.py`, for longer than the test has time."""
    unloaded = simulate("unguarded", 0.5, seconds=120)
    peak = max(simulate(guard, load, seconds=120).goodput for load in (1.0, 1.5, 2.0, 3.0))
    result = simulate(guard, 4.0, seconds=120)
    record_figure("goodput, of its peak", f"{result.goodput / peak:.3f}")
    record_figure("p99 of admitted, of unloaded", f"{result.p99 / unloaded.p99:.2f} x")


@pytest.mark.parametrize("tenants", [1, 100])
def test_a_fair_queue_costs_the_same_whatever_waits(
    tenants: int, record_figure: Callable[[str, str], None]
) -> None:
    """Nanoseconds of a push and a pop, with 10² to 10⁵ items waiting."""
    for waiting in (100, 1_000, 10_000, 100_000):
        queue: FairQueue[int] = FairQueue(per_tenant=10**6, capacity=10**6)
        names = [f"t{number % tenants}" for number in range(waiting)]
        for item, name in enumerate(names):
            queue.push(name, item)
        best = min(_round(queue, names) for _ in range(20))
        record_figure(f"{waiting:,} waiting, push and pop", f"{best:,.0f} ns")


def _round(queue: FairQueue[int], names: list[str]) -> float:
    """Return the nanoseconds of one push and one pop, as a mean of a thousand."""
    begun = perf_counter()
    for number in range(1_000):
        item = queue.pop()
        assert item is not None
        queue.push(names[number % len(names)], item)
    return (perf_counter() - begun) * 1e6
