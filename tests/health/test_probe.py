"""Runs that hang, will not end, block the loop, come too late: told as what they are."""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator

import pytest

from mobius_infra.health import Evidence, Health, HealthMonitor
from mobius_infra.testing import ManualClock
from tests.health.support import Dependency, listen, report_of, states, told, until


class Stubborn:
    """A check that goes on after it was cancelled, until it is let go or the test ends."""

    def __init__(self) -> None:
        self.calls = self.cancelled = 0
        self.let_go = asyncio.Event()
        self.answer: object = None
        self.error: Exception | None = None

    async def check(self) -> object:
        self.calls += 1
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.cancelled > 1:
                    raise
        if self.error is not None:
            raise self.error
        return self.answer


async def test_a_check_that_never_returns_is_cancelled_and_stops_no_other(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    well, cancelled = Dependency(), asyncio.Event()

    @monitor.check("hangs", every=10, timeout=2)
    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    monitor.check("well", every=1)(well.check)
    async with monitor:
        await manual_clock.advance(1.9)
        assert states(monitor) == {"hangs": "unknown", "well": "up"}
        await manual_clock.advance(0.1)
        assert states(monitor) == {"hangs": "down", "well": "up"}
        report = report_of(monitor, "hangs")
        assert (report.evidence, report.reason) == (Evidence.TIMEOUT, "no answer within 2 s")
        assert (report.took, report.runs) == (2.0, 1)
        assert cancelled.is_set()
        await manual_clock.advance(2.5)
        assert well.calls == 5
        assert monitor.stats().stuck == 0


async def test_one_that_ignores_its_cancellation_is_told_of_and_not_started_a_second_time(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    stubborn, well, heard = Stubborn(), Dependency(), listen(monitor)
    monitor.check("stubborn", every=10, timeout=2)(stubborn.check)
    monitor.check("well", every=1)(well.check)
    async with monitor:
        await manual_clock.advance(2)
        assert report_of(monitor, "stubborn").evidence is Evidence.TIMEOUT
        await manual_clock.advance(1)
        assert told(heard) == ["CheckFailed stubborn", "CheckStuck stubborn"]
        await manual_clock.advance(10)
        report = report_of(monitor, "stubborn")
        assert report.reason == "still running after 10 s; it was not started again"
        assert (report.evidence, report.state) == (Evidence.STUCK, Health.DOWN)
        assert report.runs == 1
        await manual_clock.advance(30)
        assert (stubborn.calls, stubborn.cancelled, well.calls) == (1, 1, 44)
        assert monitor.stats().stuck == 1
        assert states(monitor)["stubborn"] == "unknown"
        assert told(heard)[2:] == ["CheckUnknown stubborn"]
        stubborn.answer = True
        stubborn.let_go.set()
        await manual_clock.advance(0.1)
        assert states(monitor)["stubborn"] == "unknown"  # its late answer is ignored
        await manual_clock.advance(10)
        assert states(monitor)["stubborn"] == "up"
        assert (stubborn.calls, monitor.stats().stuck) == (2, 0)


async def test_asking_for_a_stuck_check_by_hand_does_not_start_it_either(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    stubborn = Stubborn()
    monitor.check("stubborn", timeout=2)(stubborn.check)
    first = asyncio.create_task(monitor.run("stubborn"))
    await manual_clock.advance(2)
    assert (await first).state is Health.DOWN
    assert (await monitor.run("stubborn")).evidence is Evidence.STUCK
    assert stubborn.calls == 1
    stubborn.let_go.set()
    await asyncio.sleep(0)


async def test_what_a_left_behind_check_raises_at_last_is_not_told_by_asyncio_either(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, why: complaints.append(why))
    stubborn = Stubborn()
    stubborn.error = OSError("late")
    monitor.check("stubborn", timeout=2)(stubborn.check)
    first = asyncio.create_task(monitor.run("stubborn"))
    await manual_clock.advance(2)
    stubborn.let_go.set()
    await first
    await manual_clock.advance(0)
    del stubborn
    gc.collect()
    assert complaints == []


async def test_a_check_may_clean_up_after_its_cancellation_without_being_called_stuck(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    heard = listen(monitor)

    @monitor.check("tidy", every=10, timeout=2)
    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await manual_clock.sleep(0.3)

    async with monitor:
        await manual_clock.advance(9)
        assert told(heard) == ["CheckFailed tidy"]


async def test_a_check_that_blocks_the_loop_makes_nothing_known_and_blames_nobody(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    @monitor.check("blocks", every=10, timeout=1)
    async def blocks() -> None:
        manual_clock.tick(3)  # time passes, and the loop can do nothing

    report = await monitor.run("blocks")
    assert (report.state, report.evidence) == (Health.UNKNOWN, Evidence.BLOCKED)
    assert report.reason == "the event loop stood still for 2.75 s of its 1 s"


async def test_a_timeout_while_something_else_blocked_the_loop_is_not_the_dependencys_fault(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    dependency = Dependency(manual_clock, takes=0.9)
    monitor.check("db", every=10, timeout=1)(dependency.check)
    await asyncio.gather(monitor.run("db"), manual_clock.advance(1))
    assert states(monitor) == {"db": "up"}
    asked = asyncio.create_task(monitor.run("db"))
    await manual_clock.advance(0.1)
    manual_clock.tick(0.8)  # by somebody else
    dependency.takes = 5
    await manual_clock.advance(0.2)
    report = await asked
    assert report.said is Health.UP  # it came in time, for all the loop could see
    asked = asyncio.create_task(monitor.run("db"))
    await manual_clock.advance(0.1)
    manual_clock.tick(0.8)
    await manual_clock.advance(0.7)
    report = await asked
    assert (report.state, report.evidence) == (Health.UNKNOWN, Evidence.BLOCKED)
    assert report.known is Health.UP
    assert monitor.report().ready  # one run that learned nothing takes nobody out of service


async def test_an_answer_that_came_in_time_counts_though_the_loop_was_late_to_see_it(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    monitor.check("db", timeout=1)(Dependency(manual_clock, takes=0.9).check)
    asked = asyncio.create_task(monitor.run("db"))
    await manual_clock.advance(0.7)
    manual_clock.tick(0.4)
    report = await asked
    assert report.took == pytest.approx(1.1)
    assert (report.state, report.evidence) == (Health.UP, Evidence.ANSWER)


async def test_a_real_outage_on_a_loop_that_is_a_little_late_is_an_outage(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    monitor.check("db", timeout=1)(Dependency(manual_clock, takes=60).check)
    asked = asyncio.create_task(monitor.run("db"))
    await manual_clock.advance(0.2)
    manual_clock.tick(0.2)
    await manual_clock.advance(1)
    assert (await asked).state is Health.DOWN


async def test_one_that_something_else_cancelled_says_nothing(monitor: HealthMonitor) -> None:
    @monitor.check("cancelled")
    async def cancelled() -> None:
        raise asyncio.CancelledError

    report = await monitor.run("cancelled")
    assert (report.state, report.evidence) == (Health.UNKNOWN, Evidence.CANCELLED)


async def test_a_real_clock_does_the_same() -> None:
    """The one test here without a manual clock: what is cancelled, blocked and stuck is real."""
    monitor = HealthMonitor()

    @monitor.check("hangs", timeout=0.02)
    async def hangs() -> None:
        await asyncio.Event().wait()

    @monitor.check("blocks", timeout=0.02)
    async def blocks() -> None:
        time.sleep(0.2)

    assert (await monitor.run("blocks")).evidence is Evidence.BLOCKED
    # Blocked too where the machine was that slow.
    assert (await monitor.run("hangs")).evidence in (Evidence.TIMEOUT, Evidence.BLOCKED)


# Sync checks.


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Give what hanging threads wait for; let go of at the end."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.mark.parametrize(
    ("answer", "state"), [(None, "up"), (False, "down"), (Health.DEGRADED, "degraded")]
)
async def test_a_sync_check_runs_in_a_thread(answer: object, state: str) -> None:
    monitor, threads = HealthMonitor(), list[threading.Thread]()

    @monitor.check("disk", timeout=60)
    def disk() -> object:
        threads.append(threading.current_thread())
        return answer

    assert (await monitor.run("disk")).state == state
    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon  # it does not keep the process from ending
    assert threads[0].name == "check disk"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("full"), "OSError: full"), (SystemExit(1), "SystemExit: 1"),
        (StopIteration(), "RuntimeError: it raised StopIteration()"),
    ],
)  # fmt: skip
async def test_a_sync_check_may_raise_anything(error: BaseException, reason: str) -> None:
    monitor = HealthMonitor()

    @monitor.check("disk", timeout=60)
    def disk() -> None:
        raise error

    assert (await monitor.run("disk")).reason == reason


async def test_a_sync_function_that_returns_a_coroutine_is_told_so() -> None:
    monitor, dependency = HealthMonitor(), Dependency()

    @monitor.check("forgotten", timeout=60)
    def forgotten() -> object:
        return dependency.check()

    report = await monitor.run("forgotten")
    assert (report.evidence, report.state) == (Evidence.NONSENSE, Health.UNKNOWN)
    assert "returned a coroutine" in report.reason
    assert dependency.calls == 0


async def test_a_hanging_thread_is_counted_and_not_joined_by_a_second(
    monitor: HealthMonitor, manual_clock: ManualClock, gate: threading.Event
) -> None:
    calls: list[int] = []

    @monitor.check("hangs", every=10, timeout=1)
    def hangs() -> None:
        calls.append(1)
        gate.wait()

    async with monitor:
        await manual_clock.advance(1)
        assert report_of(monitor, "hangs").evidence is Evidence.TIMEOUT
        assert monitor.stats().hanging_threads == 1
        await manual_clock.advance(10)
        assert report_of(monitor, "hangs").evidence is Evidence.STUCK
        assert calls == [1]
        gate.set()
        await until(lambda: monitor.stats().hanging_threads == 0)
        assert monitor.stats().stuck == 0
        await manual_clock.advance(9)
        await until(lambda: len(calls) == 2)


async def test_so_many_threads_may_hang_and_then_no_more_are_begun(
    manual_clock: ManualClock, gate: threading.Event
) -> None:
    monitor = HealthMonitor(clock=manual_clock, draw=lambda: 0.0, hanging_threads=2)
    calls: list[int] = []

    def hangs() -> None:
        calls.append(1)
        gate.wait()

    for name in ("a", "b", "c"):
        monitor.check(name, timeout=1)(hangs)
    for name in ("a", "b"):
        await asyncio.gather(monitor.run(name), manual_clock.advance(1))
    report = await monitor.run("c")
    assert (report.state, report.evidence) == (Health.UNKNOWN, Evidence.CAPPED)
    assert report.reason == "not run: 2 threads hang in other checks"
    assert len(calls) == 2
    assert monitor.stats().hanging_threads == 2


async def test_a_monitor_that_is_left_does_not_wait_for_a_hanging_thread(
    manual_clock: ManualClock, gate: threading.Event
) -> None:
    monitor = HealthMonitor(clock=manual_clock)
    monitor.check("hangs")(gate.wait)
    async with monitor:
        await manual_clock.advance(0.1)
    assert monitor.stats().hanging_threads == 1


def test_a_thread_that_ends_after_its_loop_disturbs_nobody(gate: threading.Event) -> None:
    monitor = HealthMonitor()
    threads: list[threading.Thread] = []

    @monitor.check("hangs", timeout=0.01)
    def hangs() -> None:
        threads.append(threading.current_thread())
        gate.wait()

    async def look() -> None:
        await monitor.run("hangs")
        await until(lambda: bool(threads))  # a busy machine lets it begin late

    asyncio.run(look())
    gate.set()
    threads[0].join()  # a complaint of a thread fails the test: warnings are errors
