"""From the start of a service to its end: everything in order, and nothing lost."""

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.perf import Lifespan
from tests.perf.lifespan_world import World, finished
from tests.servers.waiting import eventually

ROOT = Path(__file__).parents[2]


async def test_parts_start_after_what_they_need_and_end_in_reverse(world: World) -> None:
    life = world.life()
    life.add("http", world.part("http"), needs=["orders", "cache"])
    life.add("orders", world.part("orders"), needs=["database"])
    life.add("cache", world.part("cache"), needs=["database"])
    life.add("database", world.part("database"))
    assert (life.state, life.ready) == ("new", False)
    async with life:
        assert (life.state, life.ready) == ("ready", True)
        assert life.stats().parts == 4
    assert world.told == [
        "starting", "database up", "orders up", "cache up", "http up", "ready",
        "draining", "closing", "http down", "cache down", "orders down", "database down", "ended",
    ]  # fmt: skip
    assert (life.state, life.stats().parts) == ("ended", 0)
    assert repr(life) == "Lifespan('shop', ended, parts=4)"


async def test_what_can_not_be_put_in_order_is_refused_before_anything_starts(
    world: World,
) -> None:
    life = world.life()
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        life.add(name, world.part(name), needs=[other])
    with pytest.raises(ConfigurationError, match=r"\w needs \w needs \w needs \w.*no circle"):
        await life.__aenter__()
    assert life.state == "new"
    assert world.told == []
    life = world.life()
    life.add("a", world.part("a"), needs=["nothing"])
    with pytest.raises(ConfigurationError, match=r"needs of a is 'nothing'.*one of a"):
        life.order()


async def test_a_part_that_does_not_start_ends_those_before_it(world: World) -> None:
    life = world.life()
    life.add("database", world.part("database"))
    life.add("orders", world.part("orders", start=OSError("no")))
    life.add("http", world.part("http"))
    with pytest.raises(OSError, match="no") as caught:
        await life.run(signals=())
    assert caught.value.__notes__ == ["part 'orders' of 'shop' did not start"]
    assert world.told == [
        "starting", "database up", "orders: start failed", "closing", "database down", "ended",
    ]  # fmt: skip
    assert life.stats().failures == {"start": 1, "drain": 0, "close": 0}


async def test_a_part_that_takes_too_long_to_start_is_given_up(world: World) -> None:
    life = world.life(start_timeout=10)
    life.add("slow", world.part("slow", start=11))
    running = asyncio.create_task(life.run(signals=()))
    assert 10 <= await finished(world, running) <= 10.5
    with pytest.raises(TimeoutError):
        await running


async def test_it_settles_then_drains_in_reverse_then_closes(world: World) -> None:
    life = world.life(settle=5)

    async def drain(name: str) -> None:
        world.told.append(f"{name} drains")
        await world.clock.sleep(1)
        world.told.append(f"{name} drained")

    life.add("database", world.part("database"))
    for name in ("orders", "http"):
        life.add(name, world.part(name), drain=lambda name=name: drain(name))  # type: ignore[misc]
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(1)
    del world.told[:]
    life.stop()
    assert (life.ready, life.state) == (False, "draining")
    await world.clock.advance(4)
    assert world.told == ["draining"]  # a load balancer may still send something
    assert 2 < await finished(world, running) <= 3.5
    assert world.told == [
        "draining", "http drains", "http drained", "orders drains", "orders drained", "closing",
        "http down", "orders down", "database down", "ended",
    ]  # fmt: skip


async def test_what_drains_for_too_long_is_closed_nevertheless(world: World) -> None:
    life = world.life(grace=10, parting=1)
    life.add("one", world.part("one", close=3), drain=lambda: world.clock.sleep(100))
    life.add("two", world.part("two"), drain=lambda: world.clock.sleep(100))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    life.stop()
    assert 11 <= await finished(world, running) <= 15
    with pytest.raises(ExceptionGroup) as caught:
        await running
    assert [type(each) for each in caught.value.exceptions] == [TimeoutError]
    assert "two: drain failed" in world.told
    assert world.told[-3:] == ["two down", "one: close failed", "ended"]
    assert life.stats().failures == {"start": 0, "drain": 2, "close": 1}


async def test_a_drain_that_ignores_its_cancellation_is_left_behind(world: World) -> None:
    ended = asyncio.Event()

    async def stubborn() -> None:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                continue

    life = world.life(grace=10)
    life.add("one", world.part("one"), drain=stubborn)
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    life.stop()
    assert await finished(world, running) <= 12
    await running
    assert world.told[-3:] == ["closing", "one down", "ended"]
    ended.set()
    await asyncio.sleep(0)


async def test_a_second_signal_ends_the_waiting(world: World) -> None:
    life = world.life(grace=100, settle=50)
    life.add("one", world.part("one"), drain=lambda: world.clock.sleep(90))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    life.stop()
    await world.clock.advance(1)
    life.stop()
    assert await finished(world, running) <= 2
    await running


async def test_what_fails_keeps_nothing_else_from_being_closed(world: World) -> None:
    async def fail() -> None:
        raise OSError("drain")

    life = world.life()
    life.add("one", world.part("one"))
    life.add("two", world.part("two", close=ValueError("two")), drain=fail)
    life.add("three", world.part("three"))
    with pytest.raises(ExceptionGroup, match="'shop'") as caught:
        async with life:
            pass
    assert [str(each) for each in caught.value.exceptions] == ["two"]
    assert world.told[-6:] == [
        "two: drain failed", "closing", "three down", "two: close failed", "one down", "ended",
    ]  # fmt: skip


async def test_the_error_of_the_service_itself_is_the_one_that_is_raised(world: World) -> None:
    life = world.life()
    life.add("one", world.part("one", close=ValueError("one")))

    async def work() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await life.run(work, signals=())
    assert world.told[-1] == "ended"


async def test_work_is_cancelled_once_it_has_settled(world: World) -> None:
    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            world.told.append(f"work ends at {world.clock.monotonic():g}")

    life = world.life(settle=5)
    life.add("one", world.part("one"))
    running = asyncio.create_task(life.run(work, signals=()))
    await world.clock.advance(1)
    life.stop()
    await finished(world, running)
    await running
    assert world.told[3:] == ["draining", "work ends at 6", "closing", "one down", "ended"]


async def test_cancelled_it_closes_without_draining(world: World) -> None:
    life = world.life()
    life.add("one", world.part("one", close=1), drain=lambda: world.clock.sleep(90))
    life.add("two", world.part("two"))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(0)
    running.cancel()
    await finished(world, running, most=5)
    assert running.cancelled()
    assert world.told[-4:] == ["closing", "two down", "one down", "ended"]


@pytest.mark.parametrize("steps", range(12))
async def test_cancelled_at_any_step_nothing_stays_open(world: World, steps: int) -> None:
    life = world.life()
    for name in ("one", "two"):
        life.add(name, world.part(name, start=0, close=0), drain=lambda: asyncio.sleep(0))
    running = asyncio.create_task(life.run(signals=()))
    for _ in range(steps):
        await asyncio.sleep(0)
    if steps > 6:
        life.stop()
    running.cancel()
    await finished(world, running)
    up = {each.split()[0] for each in world.told if each.endswith(" up")}
    assert up == {each.split()[0] for each in world.told if each.endswith(" down")}


async def test_told_to_stop_while_it_starts_it_starts_nothing_more(world: World) -> None:
    life = world.life()
    life.add("one", world.part("one", start=5))
    life.add("two", world.part("two"))
    running = asyncio.create_task(life.run(signals=()))
    await world.clock.advance(1)
    life.stop()
    await finished(world, running)
    await running
    assert world.told == ["starting", "one up", "draining", "closing", "one down", "ended"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("grace", -1), ("grace", float("nan")), ("settle", 26), ("start_timeout", True),
     ("parting", float("inf"))],
)  # fmt: skip
def test_bad_settings_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Lifespan("shop", **{field: value})  # type: ignore[arg-type]


async def test_bad_parts_are_refused(world: World) -> None:
    life = world.life()
    life.add("one", world.part("one"))
    for name, part, more in (
        ("one", world.part("one"), {}),
        ("two", object(), {}),
        ("two", world.part("two"), {"drain": 1}),
        ("two", world.part("two"), {"needs": "one"}),
    ):
        with pytest.raises(ConfigurationError):
            life.add(name, part, **more)  # type: ignore[arg-type]
    async with life:
        with pytest.raises(ConfigurationError, match="before the start"):
            life.add("two", world.part("two"))
    with pytest.raises(ConfigurationError, match="entered once"):
        await life.__aenter__()


async def test_a_signal_ends_it_and_the_handlers_before_are_put_back(world: World) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    life = world.life()

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        await life.until_stopped()

    await life.run(work, signals=(signal.SIGUSR1,))
    assert life.state == "ended"
    assert signal.getsignal(signal.SIGUSR1) is before


async def test_rolling_restarts_lose_no_job_and_do_none_twice() -> None:
    """Real processes take jobs, and are replaced one after the other in the midst of them."""
    numbers, given, done = count(), [], []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"next\n":
                given.append(job := next(numbers))
                writer.write(b"%d\n" % job)
            else:
                done.append(int(line.split()[1]))
        writer.close()

    async def worker() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.perf.lifespan_worker", str(port), cwd=ROOT
        )

    async def more_done(than: int) -> None:
        async def are() -> bool:
            return len(done) > than

        await eventually(are, timeout=60, what="jobs")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        old = await worker()
        try:
            for _ in range(3):
                await more_done(len(done) + 20)
                new = await worker()
                old.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(old.wait(), 60) == 0
                old = new
            await more_done(len(done) + 20)
        finally:
            old.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(old.wait(), 60) == 0

        async def all_done() -> bool:
            return sorted(done) == given

        await eventually(all_done, timeout=60, what="word of the last job")
