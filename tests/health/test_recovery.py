"""Recovery: within its budget, one at a time, verified, and never of what is not one's own."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Event, open_backend
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.health import (
    CheckEvent,
    Health,
    HealthMonitor,
    Pauses,
    RecoveryEscalated,
    RecoveryEvent,
    RecoveryFailed,
    RecoveryHeld,
    RecoveryStarted,
    Restarts,
)
from mobius_infra.health._recovery import _spend
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky, Slow
from tests.health.support import Dependency, listen, report_of, until
from tests.servers.waiting import patient

FEW = Restarts(intensity=3, period=600.0)


class Pool(Dependency):
    """Something one owns: it is down until it has been mended often enough."""

    def __init__(self, clock: ManualClock, mended_by: float = 1) -> None:
        super().__init__(clock)
        self.error = OSError("gone")
        self.mended_by = mended_by
        self.mended: list[float] = []
        self.at_once = self.most_at_once = 0
        self.takes_to_mend = 0.0

    async def mend(self) -> None:
        assert self._clock is not None
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.mended.append(self._clock.monotonic())
        try:
            if self.takes_to_mend:
                await self._clock.sleep(self.takes_to_mend)
        finally:
            self.at_once -= 1
        if len(self.mended) >= self.mended_by:
            self.error = None


def steps(heard: list[Event]) -> list[str]:
    return [type(each).__name__ for each in heard if isinstance(each, RecoveryEvent)]


def watch(monitor: HealthMonitor, pool: Pool, **options: Any) -> list[Event]:
    monitor.check("pool", every=10, jitter=0, owned=True)(pool.check)
    monitor.recover("pool", **{"restarts": FEW, **options})(pool.mend)
    return listen(monitor)


async def test_what_is_down_is_mended_asked_again_and_told_of(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool = Pool(manual_clock)
    heard = watch(monitor, pool)
    async with monitor:
        await manual_clock.advance(3)
        assert pool.mended == [1.0]
        assert report_of(monitor, "pool").state is Health.UP  # nine seconds before it is due
    names = [type(each).__name__ for each in heard]
    assert names == ["CheckFailed", "RecoveryStarted", "CheckRecovered", "RecoverySucceeded"]
    assert all(isinstance(each, CheckEvent) and each.check == "pool" for each in heard)
    started = heard[1]
    assert isinstance(started, RecoveryStarted)
    assert (started.action, started.attempt, started.dry_run) == ("mend", 1, False)


async def test_a_recovery_that_does_not_help_stays_within_its_budget_and_is_given_up(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool = Pool(manual_clock, mended_by=math.inf)
    heard = watch(monitor, pool)
    async with monitor:
        await manual_clock.advance(86_400)
    assert pool.mended == [1.0, 3.0, 7.0]  # after pauses of 1, 2 and 4 s
    assert steps(heard) == ["RecoveryStarted", "RecoveryFailed"] * 3 + ["RecoveryEscalated"]
    failed, escalated = heard[2], heard[-1]
    assert isinstance(failed, RecoveryFailed)
    assert failed.reason == "it was done, but the check says down: OSError: gone"
    assert isinstance(escalated, RecoveryEscalated)
    assert escalated.to is None


async def test_what_used_up_its_restarts_escalates_to_the_next(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool, harder = Pool(manual_clock, mended_by=math.inf), list[float]()
    heard = watch(monitor, pool)

    @monitor.recover("pool", restarts=Restarts(1, 600))
    def rebuild() -> None:
        harder.append(manual_clock.monotonic())
        pool.error = None

    async with monitor:
        await manual_clock.advance(100)
        # The thread's end is not in virtual time.
        await until(lambda: report_of(monitor, "pool").state is Health.UP)
    assert len(pool.mended) == 3
    assert len(harder) == 1
    assert [each.to for each in heard if isinstance(each, RecoveryEscalated)] == ["rebuild"]


async def test_after_it_came_up_by_other_means_it_may_be_mended_again_but_not_more_often(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool = Pool(manual_clock, mended_by=math.inf)
    watch(monitor, pool)
    async with monitor:
        await manual_clock.advance(100)
        assert len(pool.mended) == 3
        pool.error = None
        await manual_clock.advance(10)
        pool.error = OSError()
        await manual_clock.advance(100)
        assert len(pool.mended) == 3  # the period is not over
        pool.error = None
        await manual_clock.advance(600)
        pool.error = OSError()
        await manual_clock.advance(100)
        assert len(pool.mended) == 6


async def test_what_was_given_up_and_then_only_lost_sight_of_is_not_mended_again(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool = Pool(manual_clock, mended_by=math.inf)
    heard = watch(monitor, pool)
    async with monitor:
        await manual_clock.advance(1_000)
        assert len(pool.mended) == 3
        pool.error, pool.answer = None, Health.UNKNOWN
        await manual_clock.advance(60)
        pool.error = OSError()
        await manual_clock.advance(100)
    assert [type(each).__name__ for each in heard[-2:]] == ["CheckUnknown", "CheckFailed"]
    assert len(pool.mended) == 3


@pytest.mark.parametrize("how", ["raises", "hangs", "will not end", "says no"])
async def test_a_recovery_that_fails_or_hangs_stays_within_its_budget(
    how: str, monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool, begun, let_go = Pool(manual_clock), list[float](), asyncio.Event()
    monitor.check("pool", every=10, jitter=0, owned=True)(pool.check)
    heard = listen(monitor)

    @monitor.recover("pool", timeout=5, restarts=FEW)
    async def action() -> object:
        begun.append(manual_clock.monotonic())
        if how == "raises":
            raise RuntimeError("worse")
        if how == "says no":
            return False
        try:
            await let_go.wait()
        except asyncio.CancelledError:
            if how == "will not end":
                await let_go.wait()
        return None

    async with monitor:
        await manual_clock.advance(3_000)
        assert len(begun) == (1 if how == "will not end" else 3)
        assert "RecoverySucceeded" not in steps(heard)
        held = [each.reason for each in heard if isinstance(each, RecoveryHeld)]
        assert held == (["action still runs after 5 s"] if how == "will not end" else [])
        let_go.set()
        await manual_clock.advance(0)


async def test_nothing_is_done_on_the_strength_of_old_news(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool = Pool(manual_clock)
    watch(monitor, pool, pauses=Pauses(5, 5))
    async with monitor:
        await manual_clock.advance(4)
        pool.error = None  # by itself, before it is due again
        await manual_clock.advance(60)
    assert pool.mended == []


async def test_a_look_that_began_before_the_action_ended_does_not_verify_it(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    well, heard = False, listen(monitor)

    @monitor.check("pool", every=60, timeout=10, owned=True)
    async def pool() -> bool:
        seen = well
        await manual_clock.sleep(3)
        return seen

    @monitor.recover("pool")
    async def mend() -> None:
        nonlocal well
        await manual_clock.sleep(2)
        well = True

    async with monitor:
        await manual_clock.advance(8)  # down at 3, asked again from 4 to 7, mended from 7 to 9
        asked = asyncio.create_task(monitor.run("pool"))
        await manual_clock.advance(10)
        await asked
    assert steps(heard) == ["RecoveryStarted", "RecoverySucceeded"]


async def test_a_consequence_is_not_mended_and_what_is_released_is(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    root, pool = Dependency(manual_clock), Pool(manual_clock)
    root.error = OSError()
    monitor.check("network", every=10, jitter=0)(root.check)
    monitor.check("pool", every=10, jitter=0, owned=True, depends_on=["network"])(pool.check)
    monitor.recover("pool")(pool.mend)
    async with monitor:
        await manual_clock.advance(60)
        assert pool.mended == []
        root.error = None
        await manual_clock.advance(15)
        assert len(pool.mended) == 1


async def test_what_turns_out_to_be_a_consequence_before_it_is_its_turn_is_left_alone(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    root, pool = Dependency(manual_clock), Pool(manual_clock)
    monitor.check("network", every=1, jitter=0)(root.check)
    monitor.check("pool", every=10, jitter=0, owned=True, depends_on=["network"])(pool.check)
    monitor.recover("pool", pauses=Pauses(5, 5))(pool.mend)
    async with monitor:
        await manual_clock.advance(2)
        assert report_of(monitor, "pool").consequence_of == ()
        root.error = OSError()
        await manual_clock.advance(60)
        assert pool.mended == []


async def test_a_dry_run_tells_every_step_and_does_nothing(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool = Pool(manual_clock)
    heard = watch(monitor, pool, dry_run=True)
    async with monitor:
        await manual_clock.advance(3_000)
    assert pool.mended == []
    assert steps(heard) == ["RecoveryStarted"] * 3 + ["RecoveryEscalated"]
    assert all(each.dry_run for each in heard if isinstance(each, RecoveryEvent))


async def test_leaving_the_monitor_cancels_a_recovery_and_leaves_nothing(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool = Pool(manual_clock)
    pool.takes_to_mend = 20
    watch(monitor, pool)
    before = asyncio.all_tasks()
    async with monitor:
        await manual_clock.advance(2)
        assert pool.at_once == 1
    await asyncio.sleep(0)
    assert pool.at_once == 0
    assert asyncio.all_tasks() == before
    assert manual_clock.sleepers == 0


async def test_what_was_down_before_the_monitor_began_is_mended_too(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    pool = Pool(manual_clock)
    watch(monitor, pool)
    await monitor.run("pool")
    assert pool.mended == []
    async with monitor:
        await manual_clock.advance(2)
    assert len(pool.mended) == 1


@pytest.mark.parametrize("check", ["other", "part", "nothing"])
def test_what_is_not_ones_own_is_refused(check: str, monitor: HealthMonitor) -> None:
    monitor.check("other")(Dependency().check)
    monitor.component("part", depends_on=["other"])
    with pytest.raises(ConfigurationError) as caught:
        monitor.recover(check)(Dependency().check)
    assert caught.value.field == "check"


# A fleet.


def fleet(backend: MemoryBackend, clock: ManualClock, pool: Pool, size: int) -> list[HealthMonitor]:
    monitors = []
    for number in range(size):
        monitor = HealthMonitor(clock=clock, draw=lambda number=number: number / size)  # type: ignore[misc]
        watch(monitor, pool, backend=backend, timeout=30.0)
        monitors.append(monitor)
    return monitors


async def test_a_fleet_mends_one_at_a_time_and_within_one_budget(
    manual_clock: ManualClock,
) -> None:
    pool = Pool(manual_clock, mended_by=math.inf)
    pool.takes_to_mend = 3
    monitors = fleet(MemoryBackend(clock=manual_clock), manual_clock, pool, 4)
    for each in monitors:
        await each.__aenter__()
    await manual_clock.advance(550)
    for each in monitors:
        await each.__aexit__(None, None, None)
    assert pool.most_at_once == 1
    assert len(pool.mended) == 3  # not three for each of four


async def test_a_budget_of_a_fleet_outlives_a_restart(manual_clock: ManualClock) -> None:
    backend, pool = MemoryBackend(clock=manual_clock), Pool(manual_clock, mended_by=math.inf)
    for _ in range(5):
        (monitor,) = fleet(backend, manual_clock, pool, 1)
        async with monitor:
            await manual_clock.advance(20)
    assert len(pool.mended) == 3


async def test_while_nobody_can_say_whether_another_is_at_it_nothing_is_done(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    backend, pool = Flaky(manual_clock), Pool(manual_clock)
    heard = watch(monitor, pool, backend=backend)
    backend.away = True
    async with monitor:
        await manual_clock.advance(300)
        assert pool.mended == []
        assert steps(heard) == ["RecoveryHeld"]
        backend.away = False
        await manual_clock.advance(61)
        assert len(pool.mended) == 1


async def test_a_lease_is_given_back_at_the_end_and_kept_while_the_action_hangs(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    backend, pool = MemoryBackend(clock=manual_clock), Pool(manual_clock, mended_by=math.inf)
    let_go = asyncio.Event()
    monitor.check("pool", every=10, jitter=0, owned=True)(pool.check)

    @monitor.recover("pool", timeout=5, backend=backend)
    async def hangs() -> None:
        try:
            await let_go.wait()
        except asyncio.CancelledError:
            await let_go.wait()

    (other,) = fleet(backend, manual_clock, pool, 1)
    async with monitor:
        await manual_clock.advance(2)
        async with other:
            await manual_clock.advance(13)  # 15 s of lease: 5 of time-out and 10 of margin
            assert pool.mended == []
            await manual_clock.advance(60)
            assert len(pool.mended) == 3
        let_go.set()
        await manual_clock.advance(0)


async def test_who_gets_the_lease_when_another_has_mended_it_leaves_it_alone(
    manual_clock: ManualClock,
) -> None:
    backend, pool = MemoryBackend(clock=manual_clock), Pool(manual_clock)
    slow = Slow(manual_clock)
    slow._entries, slow._due = backend._entries, backend._due
    ((one,), (two,)) = (fleet(each, manual_clock, pool, 1) for each in (backend, slow))
    heard, gate = listen(two), slow.hold("run")
    async with two:
        await manual_clock.advance(5)  # it has found it down, and asks for the lease
        async with one:
            await manual_clock.advance(5)
            assert len(pool.mended) == 1
            gate.set()
            await manual_clock.advance(30)
    assert len(pool.mended) == 1
    assert steps(heard) == ["RecoveryHeld"]


async def test_a_look_that_outlasts_the_lease_does_not_let_two_at_it_at_once(
    manual_clock: ManualClock,
) -> None:
    backend, pool = MemoryBackend(clock=manual_clock), Pool(manual_clock, mended_by=math.inf)
    pool.takes_to_mend = 4
    monitors = []
    for takes in (20, 0):  # one looks slowly, one quickly
        looked_at = Dependency(manual_clock, takes)
        looked_at.error = OSError()
        monitor = HealthMonitor(clock=manual_clock, draw=lambda: 0.0)
        monitor.check("pool", every=60, timeout=30, jitter=0, owned=True)(looked_at.check)
        options: Any = {"restarts": Restarts(1000, 600), "pauses": Pauses(0.3, 0.3)}
        monitor.recover("pool", timeout=5, backend=backend, **options)(pool.mend)
        monitors.append(monitor)
    async with monitors[0], monitors[1]:
        await manual_clock.advance(600)
    assert len(pool.mended) > 50
    assert pool.most_at_once == 1


async def test_two_processes_over_redis_mend_once(redis_url: str) -> None:
    """On a real server and a real clock: two that notice together, one that acts."""
    pool_is_well, held, mended = False, asyncio.Event(), list[int]()
    monitors = []
    backends = [open_backend(patient(redis_url)) for _ in range(2)]

    def hear(event: Event) -> None:
        if isinstance(event, RecoveryHeld):
            held.set()

    for number, backend in enumerate(backends):
        monitor = HealthMonitor()
        monitor.events.subscribe(hear)

        @monitor.check("pool", every=0.05, owned=True)
        async def pool() -> bool:
            return pool_is_well

        def make(number: int) -> Callable[[], Any]:
            async def mend() -> None:
                nonlocal pool_is_well
                mended.append(number)
                await held.wait()  # until the other has tried
                pool_is_well = True

            return mend

        action = monitor.recover("pool", backend=backend, pauses=Pauses(0.01, 0.05), timeout=60)
        action(make(number))
        monitors.append(monitor)
    async with monitors[0], monitors[1]:
        await until(lambda: all(each.report().state is Health.UP for each in monitors))
    assert len(mended) == 1
    for backend in backends:
        await backend.close()


# The pure steps.


@given(
    intensity=st.integers(0, 5), period=st.floats(1, 100),
    gaps=st.lists(st.floats(0, 60), max_size=60),
)  # fmt: skip
def test_never_more_than_the_intensity_within_any_period(
    intensity: int, period: float, gaps: list[float]
) -> None:
    restarts, spent, now = Restarts(intensity, period), tuple[float, ...](), 0.0
    granted: list[float] = []
    for gap in gaps:
        now += gap
        within = [each for each in granted if each >= now - period]
        allowed, spent = restarts.spend(spent, now)
        # As in OTP: this one is added to those that count, and must not exceed the intensity.
        assert allowed is (len(within) + 1 <= intensity)
        assert len(spent) <= intensity
        if allowed:
            granted.append(now)


def test_a_restart_counts_at_the_very_end_of_its_period_and_not_after() -> None:
    restarts = Restarts(intensity=1, period=60.0)
    assert restarts.spend((0.0,), 60.0) == (False, (0.0,))
    assert restarts.spend((0.0,), 60.001) == (True, (60.001,))


async def test_so_does_a_fleets(manual_clock: ManualClock) -> None:
    restarts, backend = Restarts(intensity=1, period=60.0), MemoryBackend(clock=manual_clock)
    assert await _spend(backend, "pool", restarts)
    manual_clock.tick(60.0)
    assert not await _spend(backend, "pool", restarts)
    manual_clock.tick(0.001)
    assert await _spend(backend, "pool", restarts)


@given(
    first=st.floats(0.01, 10), times=st.floats(1, 100), attempt=st.integers(1, 10_000),
    draw=st.floats(0, 1, exclude_max=True),
)  # fmt: skip
def test_pauses_grow_are_bounded_and_never_nothing(
    first: float, times: float, attempt: int, draw: float
) -> None:
    pauses = Pauses(first, first * times)
    pause = pauses.before(attempt, draw)
    assert first / 2 <= pause <= first * times
    assert pauses.before(attempt + 1, draw) >= pause


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Restarts(-1), "intensity"), (lambda: Restarts(True), "intensity"),
        (lambda: Restarts(1, 0), "period"), (lambda: Restarts(1, math.inf), "period"),
        (lambda: Pauses(0), "first"), (lambda: Pauses(2, 1), "most"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(make: Callable[[], object], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.field == field
