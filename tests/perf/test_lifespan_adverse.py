"""Whatever parts, signals and cancellations do, everything is closed and nothing goes unsaid."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.perf import Lifespan, PartFailed
from tests.perf.lifespan_world import World, finished


class Part:
    """Does what it is told when it is entered and left."""

    def __init__(
        self,
        start: Callable[[], Coroutine[Any, Any, object]] | None = None,
        close: Callable[[], Coroutine[Any, Any, object]] | None = None,
    ) -> None:
        self._start = start
        self._close = close

    async def __aenter__(self) -> None:
        if self._start is not None:
            await self._start()

    async def __aexit__(self, *exc_info: object) -> None:
        if self._close is not None:
            await self._close()


async def swallow() -> None:
    """Wait for ever, and end as if nothing were when cancelled."""
    with suppress(asyncio.CancelledError):
        await asyncio.get_running_loop().create_future()


async def cancelled_inside() -> None:
    """Wait for something of its own that is cancelled."""
    mine = asyncio.get_running_loop().create_future()
    mine.cancel()
    await mine


# A second signal.


async def test_a_second_signal_leaves_a_close_that_hangs_only_its_parting(world: World) -> None:
    life = world.life(grace=100, parting=1)
    life.add("one", world.part("one"))
    life.add("two", world.part("two", close=90))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    life.stop()
    await world.clock.advance(2)
    assert life.state == "closing"
    life.stop()
    assert 1 <= await finished(world, running) <= 1.5
    with pytest.raises(ExceptionGroup):
        await running
    assert world.told[-3:] == ["two: close failed", "one down", "ended"]


async def test_more_signals_give_no_more_time(world: World) -> None:
    life = world.life(grace=100, parting=1)
    life.add("one", world.part("one", close=90))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    life.stop()
    began = world.clock.monotonic()
    while not running.done() and world.clock.monotonic() < began + 10:
        life.stop()
        await world.clock.advance(0.25)
    assert world.clock.monotonic() - began <= 1.5
    with pytest.raises(ExceptionGroup):
        await running


async def test_what_is_only_starting_has_the_grace_to_do_so(world: World) -> None:
    life = world.life(grace=10, start_timeout=60)
    life.add("one", world.part("one"))
    life.add("two", world.part("two", start=59))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(1)
    life.stop()
    assert 10 <= await finished(world, running) <= 10.5
    with pytest.raises(TimeoutError):
        await running
    assert world.told[-4:] == ["two: start failed", "closing", "one down", "ended"]


async def test_a_second_signal_gives_up_what_starts(world: World) -> None:
    life = world.life()
    life.add("one", world.part("one"))
    life.add("two", world.part("two", start=59))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(1)
    life.stop()
    life.stop()
    assert await finished(world, running) <= 0.5
    with pytest.raises(TimeoutError):
        await running
    assert world.told[-2:] == ["one down", "ended"]


async def test_after_a_start_that_failed_a_close_that_hangs_has_the_grace(world: World) -> None:
    life = world.life(grace=10)
    life.add("one", world.part("one", close=90))
    life.add("two", world.part("two", start=OSError("no")))
    running = asyncio.create_task(life.run(signals=()))
    assert 10 <= await finished(world, running) <= 10.5
    with pytest.raises(OSError, match="no"):
        await running
    assert world.told[-2:] == ["one: close failed", "ended"]


async def test_a_first_signal_gives_no_more_time_to_start(world: World) -> None:
    life = world.life(grace=100, start_timeout=10)
    life.add("one", world.part("one", start=99))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(5)
    life.stop()
    assert await finished(world, running) <= 5.5
    with pytest.raises(TimeoutError):
        await running


async def test_what_a_second_signal_cuts_short_is_told(world: World) -> None:
    life = world.life(grace=100)
    for name in ("one", "two"):
        life.add(name, world.part(name), drain=lambda: world.clock.sleep(90))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    life.stop()
    await world.clock.advance(1)
    life.stop()
    await finished(world, running)
    await running
    assert life.stats().failures == {"start": 0, "drain": 2, "close": 0}


# Cancellations, and what looks like one.


async def test_a_cancellation_that_a_part_swallows_at_its_start_passes(world: World) -> None:
    life = world.life()
    life.add("one", Part(start=swallow))
    life.add("two", world.part("two"))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    running.cancel()
    await finished(world, running)
    assert running.cancelled()
    assert world.told == ["starting", "closing", "ended"]
    assert life.stats().parts == 0


async def test_a_cancellation_that_a_part_swallows_at_its_end_passes(world: World) -> None:
    life = world.life(grace=100)
    life.add("one", world.part("one"))
    life.add("two", Part(close=swallow))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    life.stop()
    await world.clock.advance(0)
    assert life.state == "closing"
    running.cancel()
    await finished(world, running)
    assert running.cancelled()
    assert world.told[-2:] == ["one down", "ended"]


async def test_who_is_cancelled_has_not_failed(world: World) -> None:
    life = world.life()
    life.add("one", world.part("one", close=1))
    life.add("two", world.part("two", start=9))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(1)
    running.cancel()  # while `two` starts
    await world.clock.advance(0)
    running.cancel()  # while `one` closes
    await finished(world, running)
    assert running.cancelled()
    assert life.stats().failures == {"start": 0, "drain": 0, "close": 0}
    assert life.state == "ended"


async def test_a_close_that_hangs_after_a_cancellation_is_told_too(world: World) -> None:
    life = world.life(grace=10)
    life.add("one", world.part("one", close=90))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    running.cancel()
    assert await finished(world, running) <= 10.5
    assert running.cancelled()
    assert world.told[-2:] == ["one: close failed", "ended"]


async def test_what_cancels_itself_has_failed(world: World) -> None:
    life = world.life()
    life.add("one", world.part("one"))
    life.add("two", Part(close=cancelled_inside), drain=cancelled_inside)
    with pytest.raises(asyncio.CancelledError):
        async with life:
            pass
    assert world.told[-5:] == [
        "two: drain failed", "closing", "two: close failed", "one down", "ended",
    ]  # fmt: skip
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    life = world.life()
    life.add("one", Part(start=cancelled_inside))
    with pytest.raises(asyncio.CancelledError):
        await life.run(signals=())
    assert life.stats().failures["start"] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_an_end_of_the_process_waits_for_what_is_to_be_closed(
    world: World, error: type[BaseException]
) -> None:
    life = world.life()
    life.add("one", world.part("one", close=1))
    life.add("two", world.part("two", close=error()))
    entered = life.__aenter__()
    await entered
    leaving = life.__aexit__(None, None, None)

    async def leave() -> None:
        with pytest.raises(error):
            await leaving

    await finished(world, asyncio.create_task(leave()))
    assert world.told[-3:] == ["two: close failed", "one down", "ended"]


@pytest.mark.parametrize("first", ["stop", "cancel"])
@pytest.mark.parametrize("second", ["stop", "cancel"])
@pytest.mark.parametrize("gap", [0, 1, 2, 5, 9])
async def test_any_two_interruptions_at_any_step_close_all(
    world: World, first: str, second: str, gap: int
) -> None:
    """All of a life, step by step: starting, ready, draining, closing; and two things happen."""
    for steps in range(1, 40):
        del world.told[:]
        life = world.life()
        for name in ("one", "two"):
            life.add(name, world.part(name, start=0), drain=lambda: asyncio.sleep(0))
        running = asyncio.create_task(life.run(signals=()))
        for what, wait in ((first, steps), (second, gap)):
            for _ in range(wait):
                await asyncio.sleep(0)
            if what == "stop":
                life.stop()
            else:
                running.cancel()
        life.stop()
        await finished(world, running)
        if not running.cancelled() and (error := running.exception()) is not None:
            assert isinstance(error, TimeoutError)  # it was still to start when it had to end
        assert (life.state, life.stats().parts) == ("ended", 0)
        up = [each.split()[0] for each in world.told if each.endswith(" up")]
        assert [each.split()[0] for each in world.told if each.endswith(" down")] == up[::-1]


async def test_work_that_resists_is_left_behind_and_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = asyncio.Event()

    async def resist() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    life = world.life()
    life.add("one", world.part("one"))
    running = asyncio.create_task(life.run(resist, signals=()))
    await world.clock.advance(0)
    life.stop()
    await finished(world, running)
    await running
    assert world.told[-2:] == ["one down", "ended"]
    assert "resists" in caplog.text
    may_end.set()
    await world.clock.advance(0)


# Signals.


def test_outside_the_main_thread_it_says_what_to_do_and_runs_without_signals() -> None:
    said: list[BaseException] = []
    states: list[str] = []

    async def live() -> None:
        with pytest.raises(ConfigurationError, match=r"signals is .*it must be \(\) in a thread"):
            await Lifespan("shop").run()
        life = Lifespan("shop")
        await life.run(lambda: asyncio.sleep(0), signals=())
        states.append(life.state)

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:
            said.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert not said
    assert states == ["ended"]


async def test_two_that_listen_would_make_one_deaf(world: World) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    one, two = world.life(), world.life()
    running = asyncio.create_task(one.run(signals=(signal.SIGUSR1,)))
    await one_is_ready(one)
    with pytest.raises(ConfigurationError, match="another Lifespan listens"):
        await two.run(signals=(signal.SIGUSR2, signal.SIGUSR1))
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    assert two.state == "new"
    signal.raise_signal(signal.SIGUSR1)
    await running
    assert signal.getsignal(signal.SIGUSR1) is before


async def test_a_signal_that_can_not_be_heard_leaves_the_others_as_they_were() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(OSError, match="Invalid argument"):
        await Lifespan("shop").run(signals=(signal.SIGUSR1, signal.SIGKILL))
    assert signal.getsignal(signal.SIGUSR1) is before


async def test_a_signal_that_a_thread_gets_ends_it_too(world: World) -> None:
    life = world.life()
    running = asyncio.create_task(life.run(signals=(signal.SIGUSR1,)))
    await one_is_ready(life)
    await asyncio.to_thread(lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1))
    await running
    assert world.told[-1] == "ended"


async def test_it_runs_once(world: World) -> None:
    life = world.life()
    life.add("one", world.part("one"))
    running = asyncio.create_task(life.run(signals=()))
    await one_is_ready(life)
    with pytest.raises(ConfigurationError, match="entered once"):
        await life.run(signals=())
    assert life.ready
    life.stop()
    await running
    with pytest.raises(ConfigurationError, match="entered once"):
        await life.run(signals=())


async def test_one_may_be_a_part_of_another(world: World) -> None:
    inner, outer = Lifespan("inner", clock=world.clock), world.life()
    inner.add("one", world.part("one"))
    outer.add("inner", inner)
    async with outer:
        assert inner.ready
    assert (inner.state, world.told[-2:]) == ("ended", ["one down", "ended"])


async def test_what_failed_is_told_with_its_error(world: World) -> None:
    life = world.life()
    told: list[object] = []
    life.events.subscribe(told.append)
    life.add("one", Part(), drain=cancelled_inside)
    async with life:
        pass
    (failed,) = (each for each in told if isinstance(each, PartFailed))
    assert (failed.part, failed.phase, type(failed.error)) == ("one", "drain", TimeoutError)


async def one_is_ready(life: Lifespan) -> None:
    while not life.ready:
        await asyncio.sleep(0)
