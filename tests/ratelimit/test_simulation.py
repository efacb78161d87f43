"""The overload simulation: what the limits are for."""

import random

import pytest

from mobius_infra.ratelimit import LoadShedder, LoadShedderStats
from tests.ratelimit.overload import GUARDS, WARM_UP, QueueDelay, Shed, World, simulate

LOADS = [0.5, 1.0, 2.0, 4.0]
OURS = [name for name in GUARDS if name != "unguarded"]


def test_without_a_guard_goodput_collapses() -> None:
    goodput = [simulate("unguarded", load, seconds=20).goodput for load in LOADS]
    assert max(goodput) > 0.8
    assert goodput[-1] < 0.05 * max(goodput)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("guard", OURS)
def test_at_four_times_the_capacity_goodput_stays_at_its_peak_and_latency_low(
    guard: str, seed: int
) -> None:
    unloaded = simulate("unguarded", 0.5, seconds=20, seed=seed).p99
    results = [simulate(guard, load, seconds=20, seed=seed) for load in LOADS]
    peak = max(result.goodput for result in results)
    assert peak > 0.9
    assert results[-1].goodput >= 0.9 * peak
    for result in results:
        assert result.p99 <= 2 * unloaded


@pytest.mark.parametrize("guard", OURS)
def test_below_capacity_next_to_nothing_is_refused(guard: str) -> None:
    result = simulate(guard, 0.5, seconds=60)
    assert result.refused < 0.01 * len(result.latencies)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_overload_costs_the_background_first_and_the_critical_last(seed: int) -> None:
    world = World(3.0, seconds=40, seed=seed)
    world.priorities = ("critical", "normal", "background", "background", "background")
    draw = random.Random(seed).random
    shedder = LoadShedder("x", [QueueDelay(world)], clock=world.clock, draw=draw)
    world.guard = Shed(shedder)
    warm: list[LoadShedderStats] = []
    world.after(WARM_UP, lambda: warm.append(shedder.stats()))
    assert world.run().goodput > 0.9
    before, stats = warm[0], shedder.stats()
    share = {}
    for name in stats.shed:
        shed, passed = (
            stats.shed[name] - before.shed[name],
            stats.passed[name] - before.passed[name],
        )
        share[name] = shed / (shed + passed)
    assert share["background"] > 0.9
    assert 0.3 < share["normal"] < 0.9
    assert share["critical"] < 0.05
