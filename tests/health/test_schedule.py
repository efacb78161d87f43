"""When checks are due: no drift, no overlap, no burst, and never later than promised."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.health import Health, HealthMonitor
from mobius_infra.health._schedule import Schedule
from mobius_infra.testing import ManualClock
from tests.health.support import Dependency, report_of, states

draws = st.floats(0, 1, exclude_max=True)


@given(
    every=st.floats(0.01, 1e4), jitter=st.floats(0, 0.9),
    took=st.lists(st.tuples(draws, draws), max_size=50),
)  # fmt: skip
def test_due_times_lie_an_interval_apart_or_less_whatever_runs_take(
    every: float, jitter: float, took: list[tuple[float, float]]
) -> None:
    schedule = Schedule(every, jitter, 0.0)
    for number, (share, draw) in enumerate(took):
        before = schedule.due
        schedule.advance(before + share * every * (1 - jitter) * 0.99, draw)
        least = 0.0 if number == 0 and jitter else every * (1 - jitter)
        assert before + least * 0.999 <= schedule.due <= before + every * 1.001


@given(every=st.floats(0.1, 100), late=st.floats(0, 1e6), draw=draws)
def test_a_run_that_took_too_long_skips_what_it_missed(
    every: float, late: float, draw: float
) -> None:
    schedule = Schedule(every, 0.0, 0.0)
    schedule.advance(late, draw)
    assert late * (1 - 1e-9) <= schedule.due <= late + every * 1.001


@given(every=st.floats(0.1, 100), late=st.floats(0, 1e6), draw=draws)
def test_one_that_overslept_waits_once_for_a_moment_of_its_own(
    every: float, late: float, draw: float
) -> None:
    schedule = Schedule(every, 0.1, 0.0)
    overslept = late >= min(1.0, every)
    assert schedule.woke(late, draw) is not overslept
    if overslept:
        assert late <= schedule.due < late + every * 1.001
        assert schedule.woke(schedule.due + late, draw)  # however late: it must run some time


async def test_intervals_do_not_drift_by_what_runs_take(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    slow = Dependency(manual_clock, takes=0.7)
    monitor.check("slow", every=10, jitter=0)(slow.check)
    async with monitor:
        await manual_clock.advance(10_000)
    assert slow.asked == [10 * each for each in range(1_001)]


async def test_a_check_slower_than_its_interval_never_overlaps_itself(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    slow = Dependency(manual_clock, takes=2.5)
    monitor.check("slow", every=1, timeout=5, jitter=0)(slow.check)
    async with monitor:
        await manual_clock.advance(12.1)
        assert slow.asked == [0, 3, 6, 9, 12]
        assert states(monitor) == {"slow": "up"}


async def test_after_a_suspend_checks_do_not_fire_in_a_burst(manual_clock: ManualClock) -> None:
    monitor = HealthMonitor(clock=manual_clock, draw=random.Random(1).random)
    checks = [Dependency(manual_clock) for _ in range(200)]
    for number, each in enumerate(checks):
        monitor.check(str(number), every=30)(each.check)
    async with monitor:
        await manual_clock.advance(100)
        before = sum(each.calls for each in checks)
        manual_clock.tick(3_600)
        await manual_clock.advance(0)
        assert sum(each.calls for each in checks) == before
        await manual_clock.advance(31)
        assert all(each.asked[-1] > 3_700 for each in checks)
        seconds = [int(at) for each in checks for at in each.asked if at > 3_700]
        assert max(seconds.count(each) for each in seconds) < 25


async def test_a_wall_clock_that_jumps_changes_nothing(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    dependency = Dependency(manual_clock)
    monitor.check("db", every=10, jitter=0)(dependency.check)
    async with monitor:
        await manual_clock.advance(15)
        manual_clock.set_time(0.0)
        await manual_clock.advance(20)
        manual_clock.set_time(4e9)
        await manual_clock.advance(10)
        assert dependency.asked == [0, 10, 20, 30, 40]
        assert states(monitor) == {"db": "up"}


async def test_checks_spread_over_the_interval_after_the_first_run(
    manual_clock: ManualClock,
) -> None:
    monitor = HealthMonitor(clock=manual_clock, draw=random.Random(1).random)
    checks = [Dependency(manual_clock) for _ in range(100)]
    for number, each in enumerate(checks):
        monitor.check(str(number), every=10)(each.check)
    async with monitor:
        await manual_clock.advance(50)
    assert {each.asked[0] for each in checks} == {0.0}
    second = sorted(each.asked[1] for each in checks)
    assert second[0] < 1
    assert second[-1] > 9
    gaps = [later - at for each in checks for at, later in pairwise(each.asked[1:])]
    assert 9 <= min(gaps) < 9.1
    assert 9.9 < max(gaps) <= 10


async def test_an_outage_is_detected_within_interval_and_timeout(
    manual_clock: ManualClock,
) -> None:
    chance = random.Random(1)
    for _ in range(20):
        monitor = HealthMonitor(clock=manual_clock, draw=chance.random)
        dependency = Dependency(manual_clock)
        monitor.check("db", every=10, timeout=2)(dependency.check)
        async with monitor:
            await manual_clock.advance(30 + chance.random() * 10)
            dependency.takes = 1e9
            await manual_clock.advance(12)
            assert states(monitor) == {"db": "down"}


async def test_without_a_result_for_two_and_a_half_intervals_nothing_is_known(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    """Whoever asks is told, also when nothing runs any more that could notice it."""
    monitor.check("db", every=10)(Dependency().check)
    await monitor.run("db")
    manual_clock.tick(24.9)
    assert states(monitor) == {"db": "up"}
    assert monitor.report().ready
    manual_clock.tick(0.1)
    report = report_of(monitor, "db")
    assert (report.state, report.known) == (Health.UNKNOWN, Health.UNKNOWN)
    assert report.evidence == "stale"
    assert report.reason == "no result for 25 s"
    assert not monitor.report().ready
    assert monitor.report().started  # that is over, and stays so
    assert (await monitor.run("db")).state is Health.UP


async def test_runs_that_learn_nothing_do_not_keep_a_state_fresh(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    dependency = Dependency(manual_clock)
    dependency.error = OSError()
    monitor.check("db", every=10, jitter=0, timeout=1)(dependency.check)
    async with monitor:
        await manual_clock.advance(1)
        dependency.error, dependency.answer = None, Health.UNKNOWN
        await manual_clock.advance(20)
        assert states(monitor) == {"db": "down"}  # nothing has contradicted it
        await manual_clock.advance(10)
        assert states(monitor) == {"db": "unknown"}
