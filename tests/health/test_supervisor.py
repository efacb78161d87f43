"""Background tasks that crash: restarted, within a budget, and then not any more."""

import asyncio
import gc
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError, Event
from mobius_infra.health import (
    Degraded,
    Health,
    HealthMonitor,
    Pauses,
    Restarts,
    RestartsExhaustedError,
    Supervisor,
    TaskCrashed,
    TaskStuck,
)
from mobius_infra.testing import ManualClock


class Worker:
    """Crashes after each of the given seconds, and then goes on for ever."""

    def __init__(self, clock: ManualClock, *crashes: float) -> None:
        self._clock = clock
        self._crashes = list(crashes)
        self.starts: list[float] = []
        self.running = 0

    async def work(self) -> None:
        self.starts.append(self._clock.monotonic())
        self.running += 1
        try:
            if self._crashes:
                await self._clock.sleep(self._crashes.pop(0))
                raise OSError("crashed")
            await asyncio.Event().wait()
        finally:
            self.running -= 1


def make(clock: ManualClock, **options: Any) -> tuple[Supervisor, list[Event]]:
    supervisor = Supervisor(
        **{"clock": clock, "draw": lambda: 0.0, "pauses": Pauses(1, 8), **options}
    )
    heard: list[Event] = []
    supervisor.events.subscribe(heard.append)
    return supervisor, heard


async def test_a_crashed_task_is_started_again_and_the_others_go_on(
    manual_clock: ManualClock,
) -> None:
    supervisor, heard = make(manual_clock)
    crashes, goes_on = Worker(manual_clock, 10, 20), Worker(manual_clock)
    supervisor.task("crashes")(crashes.work)
    supervisor.task("goes on")(goes_on.work)
    async with supervisor:
        await manual_clock.advance(10.5)
        assert await supervisor.check() == Degraded("to be started again: crashes")
        await manual_clock.advance(50)
        assert await supervisor.check() is Health.UP
        assert crashes.starts == [0, 11, 33]  # after pauses of 1 and 2 s
        assert goes_on.starts == [0]
        stats = supervisor.stats()
        assert (stats.state, stats.running, stats.crashes, stats.restarts) == ("running", 2, 2, 2)
    assert [each.reason for each in heard if isinstance(each, TaskCrashed)] == [
        "OSError: crashed"
    ] * 2
    assert (crashes.running, goes_on.running) == (0, 0)
    assert supervisor.stats().state == "stopped"
    assert manual_clock.sleepers == 0


async def test_more_crashes_than_the_budget_allows_end_it_all(manual_clock: ManualClock) -> None:
    supervisor, heard = make(manual_clock, restarts=Restarts(3, 600))
    crashes, goes_on = Worker(manual_clock, *[1] * 99), Worker(manual_clock)
    supervisor.task("crashes")(crashes.work)
    supervisor.task("goes on")(goes_on.work)
    running = asyncio.create_task(supervisor.run())
    await manual_clock.advance(100)
    with pytest.raises(RestartsExhaustedError) as caught:
        await running
    assert (caught.value.task, caught.value.reason) == ("crashes", "OSError: crashed")
    assert isinstance(caught.value.__cause__, OSError)
    assert len(crashes.starts) == 4
    assert goes_on.running == 0
    assert isinstance(heard[-1], TaskCrashed)
    assert heard[-1].restart_in is None
    assert supervisor.stats().state == "failed"
    assert await supervisor.check() is Health.DOWN


async def test_crashes_that_are_far_enough_apart_are_restarted_for_ever(
    manual_clock: ManualClock,
) -> None:
    supervisor, _ = make(manual_clock, restarts=Restarts(1, 60))
    crashes = Worker(manual_clock, *[100] * 20)
    supervisor.task()(crashes.work)
    async with supervisor:
        await manual_clock.advance(3_000)
    assert len(crashes.starts) == 21
    assert crashes.starts[:3] == [0, 101, 202]  # each pause is the first again


async def test_in_a_block_the_body_is_cancelled_and_the_error_comes_out_of_it(
    manual_clock: ManualClock,
) -> None:
    supervisor, _ = make(manual_clock, restarts=Restarts(0, 60))
    supervisor.task("crashes")(Worker(manual_clock, 1).work)
    reached = False

    async def application() -> None:
        nonlocal reached
        async with supervisor:
            await asyncio.Event().wait()
            reached = True

    running = asyncio.create_task(application())
    await manual_clock.advance(2)
    with pytest.raises(RestartsExhaustedError):
        await running
    assert not reached


async def test_an_error_of_the_body_comes_out_as_it_is_and_so_does_a_cancellation(
    manual_clock: ManualClock,
) -> None:
    supervisor, _ = make(manual_clock)
    worker = Worker(manual_clock)
    supervisor.task()(worker.work)

    async def fails() -> None:
        async with supervisor:
            await asyncio.sleep(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()

    async def application() -> None:
        async with supervisor:
            await asyncio.Event().wait()

    running = asyncio.create_task(application())
    await manual_clock.advance(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert worker.running == 0


async def test_nested_budgets_multiply(manual_clock: ManualClock) -> None:
    inner, _ = make(manual_clock, name="inner", restarts=Restarts(2, 1e6))
    outer, _ = make(manual_clock, name="outer", restarts=Restarts(3, 1e6))
    crashes = Worker(manual_clock, *[1] * 999)
    inner.task()(crashes.work)
    outer.task("inner")(inner.run)
    running = asyncio.create_task(outer.run())
    await manual_clock.advance(1_000)
    with pytest.raises(RestartsExhaustedError, match="'outer' gave up restarting 'inner'"):
        await running
    assert len(crashes.starts) == (2 + 1) * (3 + 1)


@pytest.mark.parametrize(
    ("restart", "ends", "starts"),
    [
        ("permanent", "returns", 3), ("permanent", "raises", 3), ("permanent", "exits", 3),
        ("transient", "returns", 1), ("transient", "raises", 3),
        ("temporary", "returns", 1), ("temporary", "raises", 1),
        ("transient", "is cancelled", 1), ("permanent", "is cancelled", 3),
    ],
)  # fmt: skip
async def test_what_is_started_again_and_what_is_not(
    restart: Any, ends: str, starts: int, manual_clock: ManualClock
) -> None:
    supervisor, _ = make(manual_clock, restarts=Restarts(2, 600))
    calls: list[float] = []

    @supervisor.task(restart=restart)
    async def work() -> None:
        calls.append(manual_clock.monotonic())
        if ends == "raises":
            raise OSError
        if ends == "exits":
            raise SystemExit(1)
        if ends == "is cancelled":
            raise asyncio.CancelledError

    running = asyncio.create_task(supervisor.run())
    await manual_clock.advance(100)
    assert running.done()
    assert isinstance(running.exception(), RestartsExhaustedError | None)
    assert len(calls) == starts


async def test_one_for_all_starts_the_others_too(manual_clock: ManualClock) -> None:
    supervisor, _ = make(manual_clock, strategy="one_for_all")
    crashes, other = Worker(manual_clock, 10), Worker(manual_clock)
    supervisor.task("crashes")(crashes.work)
    supervisor.task("other")(other.work)
    async with supervisor:
        await manual_clock.advance(20)
        assert crashes.starts == other.starts == [0, 11]
        assert other.running == 1
        assert supervisor.stats().restarts == 2


async def test_two_that_crash_at_once_are_both_started_again_by_either_strategy(
    manual_clock: ManualClock,
) -> None:
    for strategy in ("one_for_one", "one_for_all"):
        supervisor, _ = make(manual_clock, strategy=strategy)
        one, other = Worker(manual_clock, 10), Worker(manual_clock, 10)
        supervisor.task("one")(one.work)
        supervisor.task("other")(other.work)
        async with supervisor:
            await manual_clock.advance(30)
            assert (len(one.starts), len(other.starts)) == (2, 2)
            assert (one.running, other.running) == (1, 1)


async def test_a_task_that_will_not_end_is_left_behind_and_told_of(
    manual_clock: ManualClock,
) -> None:
    supervisor, heard = make(manual_clock, shutdown=5.0)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, why: complaints.append(why))
    let_go = asyncio.Event()

    @supervisor.task("stubborn")
    async def stubborn() -> None:
        try:
            await let_go.wait()
        except asyncio.CancelledError:
            await let_go.wait()
            raise OSError("late") from None

    running = asyncio.create_task(supervisor.run())
    await manual_clock.advance(1)
    running.cancel()
    await manual_clock.advance(4.9)
    assert not running.done()
    await manual_clock.advance(0.1)
    assert running.cancelled()
    assert [type(each) for each in heard] == [TaskStuck]
    let_go.set()
    await manual_clock.advance(0)
    gc.collect()
    assert complaints == []


async def test_a_task_is_restarted_by_hand_never_beside_itself_and_at_nobodys_cost(
    manual_clock: ManualClock,
) -> None:
    supervisor, heard = make(manual_clock, restarts=Restarts(0, 600))
    worker = Worker(manual_clock)
    supervisor.task("poll")(worker.work)
    supervisor.task("other")(Worker(manual_clock).work)
    async with supervisor:
        await manual_clock.advance(5)
        with pytest.raises(ConfigurationError, match="'pool'; it must be other, poll"):
            await supervisor.restart("pool")
        await supervisor.restart("poll")
        await manual_clock.advance(0)
        assert (worker.starts, worker.running) == ([0, 5], 1)
        assert supervisor.stats().restarts == 1
    assert heard == []


async def test_it_is_a_check_of_what_is_inside_the_process(manual_clock: ManualClock) -> None:
    supervisor, _ = make(manual_clock)
    supervisor.task()(Worker(manual_clock).work)
    monitor = HealthMonitor(clock=manual_clock)
    monitor.check("workers", kind="liveness")(supervisor.check)
    assert (await monitor.run("workers")).state is Health.UNKNOWN
    async with supervisor:
        assert (await monitor.run("workers")).state is Health.UP


def test_bad_input_is_refused(manual_clock: ManualClock) -> None:
    async def work() -> None: ...

    supervisor, _ = make(manual_clock, name="workers")
    supervisor.task()(work)
    with pytest.raises(ConfigurationError, match="not yet taken"):
        supervisor.task()(work)
    with pytest.raises(ConfigurationError, match="async def"):
        supervisor.task()(lambda: None)  # type: ignore[type-var]  # what is tested
    for field, options in (
        ("name", {"name": ""}), ("strategy", {"strategy": "rest_for_one"}),
        ("shutdown", {"shutdown": -1}),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError) as caught:
            make(manual_clock, **options)
        assert caught.value.field == field
    with pytest.raises(ConfigurationError, match="'always'"):
        supervisor.task(restart="always")  # type: ignore[arg-type]  # what is tested
    assert repr(supervisor) == "Supervisor('workers', idle, tasks=1)"
