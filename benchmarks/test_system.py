"""What it costs to watch the process, the loop and the collector, and to count users."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from mobius_infra.core._proc import Proc
from mobius_infra.core._psutil import Psutil
from mobius_infra.metrics import (
    ActiveUsers,
    Distinct,
    EventLoop,
    FeatureUse,
    Funnel,
    GarbageCollector,
    Machine,
    Process,
)
from mobius_infra.testing import ManualClock

CALLS = 1_000


def run(benchmark: Any, call: Callable[[], object], *, rounds: int = 30) -> None:
    benchmark.extra_info["calls"] = CALLS
    benchmark.pedantic(
        lambda: [call() for _ in range(CALLS)], rounds=rounds, warmup_rounds=2, iterations=1
    )


@pytest.mark.benchmark(group="one reading")
class TestReading:
    """Read anew each time; in a service at most once a second."""

    @pytest.mark.parametrize("source", [Proc(), Psutil()], ids=["proc", "psutil"])
    @pytest.mark.parametrize("kind", [Process, Machine])
    def test_of(self, benchmark: Any, kind: type[Process | Machine], source: Any) -> None:
        component = kind(source=source)
        moments = iter(range(10**9))
        benchmark.pedantic(lambda: component._read(next(moments)), rounds=300, warmup_rounds=3)


@pytest.mark.benchmark(group="a look at the event loop")
def test_look(benchmark: Any) -> None:
    """All that it does in a quarter of a second, and the turns of the loop that it takes."""
    clock, loop = ManualClock(settle=3), asyncio.new_event_loop()

    async def looks() -> None:
        async with EventLoop(interval=1, clock=clock):
            await clock.advance(CALLS)

    benchmark.extra_info["calls"] = CALLS
    benchmark.pedantic(lambda: loop.run_until_complete(looks()), rounds=20, warmup_rounds=2)
    loop.close()


@pytest.mark.benchmark(group="a collection of the youngest generation")
class TestCollection:
    def test_alone(self, benchmark: Any) -> None:
        run(benchmark, lambda: gc.collect(0))

    def test_watched(self, benchmark: Any) -> None:
        with GarbageCollector():
            run(benchmark, lambda: gc.collect(0))


@pytest.mark.benchmark(group="a user is counted")
class TestUser:
    def measure(self, benchmark: Any, count: Callable[[int], object]) -> None:
        users = iter(range(10**9))
        run(benchmark, lambda: count(next(users)))

    def test_set_of_ids_which_is_not_bounded(self, benchmark: Any) -> None:
        self.measure(benchmark, set[int]().add)

    def test_distinct(self, benchmark: Any) -> None:
        self.measure(benchmark, Distinct().add)

    def test_active_users(self, benchmark: Any) -> None:
        self.measure(benchmark, ActiveUsers().seen)

    def test_funnel(self, benchmark: Any) -> None:
        funnel = Funnel("f", ["a", "b"])
        self.measure(benchmark, lambda user: funnel.reach("a", user))

    def test_feature(self, benchmark: Any) -> None:
        features = FeatureUse()
        self.measure(benchmark, lambda _: features.use("price"))


@pytest.mark.benchmark(group="day, week and month are read")
@pytest.mark.parametrize("users", [100, 1_000, 5_000])
def test_windows_of(benchmark: Any, users: int) -> None:
    """A thousand a day is the worst: small enough to be kept one by one, large in sum."""
    clock = ManualClock()
    active = ActiveUsers(clock=clock)
    for day in range(30):
        clock.tick(86_400 if day else 0)
        for user in range(users):
            active.seen(day * users // 2 + user)
    benchmark.pedantic(active.stats, rounds=30, warmup_rounds=2)
