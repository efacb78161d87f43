"""Parts start in order and end in reverse, whatever fails, and a restart loses no request."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.perf import Lifespan, LifespanChanged
from mobius_infra.perf._lifespan import in_order
from mobius_infra.testing import ManualClock

WORKER = Path(__file__).with_name("lifespan_worker.py")


class Parts:
    """Parts that say what is done with them."""

    def __init__(self, clock: ManualClock, **options: Any) -> None:
        self.did: list[str] = []
        self.life = Lifespan("bot", clock=clock, signals=(), **options)

    def say(self, what: str, then: Callable[[], Any] | None = None) -> Callable[[], Any]:
        async def work() -> None:
            self.did.append(what)
            if then is not None:
                await then()

        return work

    def add(self, name: str, *after: str, **then: Callable[[], Any]) -> None:
        works = {do: self.say(f"{do} {name}", then.get(do)) for do in ("start", "drain", "close")}
        self.life.add(name, after=after, **works)


async def fail() -> None:
    raise OSError("no")


async def hang() -> None:
    await asyncio.Event().wait()


async def test_it_starts_in_order_and_ends_in_reverse(manual_clock: ManualClock) -> None:
    parts, told = Parts(manual_clock), list[Any]()
    parts.life.events.subscribe(told.append)
    parts.add("http", "cache", "database")
    parts.add("cache", "database")
    parts.add("database")
    async with parts.life as life:
        assert life.ready
        assert life.stats().parts == 3
        assert parts.did == ["start database", "start cache", "start http"]
        parts.did.clear()
    assert parts.did == [
        "drain http", "drain cache", "drain database",
        "close http", "close cache", "close database",
    ]  # fmt: skip
    assert isinstance(told[0], LifespanChanged)
    assert [each.phase for each in told] == ["starting", "ready", "draining", "closing", "closed"]
    assert not life.ready
    assert repr(life) == "Lifespan('bot', closed, parts=3)"


async def test_when_one_can_not_start_those_that_have_are_closed(
    manual_clock: ManualClock,
) -> None:
    parts = Parts(manual_clock)
    parts.add("database")
    parts.add("cache", "database", start=fail)
    parts.add("http", "cache")
    with pytest.raises(OSError, match="no"):
        await parts.life.__aenter__()
    assert parts.did == ["start database", "start cache", "close database"]
    assert parts.life.phase == "closed"


async def test_who_is_cancelled_while_it_starts_closes_what_has(manual_clock: ManualClock) -> None:
    parts = Parts(manual_clock)
    parts.add("database")
    parts.add("cache", start=hang)
    task = asyncio.create_task(parts.life.__aenter__())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert parts.did[-1] == "close database"


async def test_one_that_fails_keeps_none_from_being_closed(
    manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    parts = Parts(manual_clock)
    parts.add("database")
    parts.add("http", close=fail, drain=fail)
    async with parts.life:
        pass
    assert parts.did[-2:] == ["close http", "close database"]
    assert parts.life.stats().failures == 2
    assert "'http' could not be closed" in caplog.text


async def test_draining_has_a_deadline_and_so_has_closing(manual_clock: ManualClock) -> None:
    parts = Parts(manual_clock, notice=5, drain_timeout=20, close_timeout=3)
    parts.add("database")
    parts.add("http", drain=hang, close=hang)
    ended = asyncio.create_task(use(parts.life))
    await manual_clock.advance(4.9)
    assert (parts.life.phase, parts.life.ready) == ("draining", False)
    assert "drain http" not in parts.did  # it still takes work
    await manual_clock.advance(0.1)
    assert "drain http" in parts.did
    await manual_clock.advance(19.9)
    assert parts.life.stats().phase == "draining"
    await manual_clock.advance(0.1)
    assert parts.life.stats().phase == "closing"
    assert parts.did[-1] == "close http"
    await manual_clock.advance(3)
    await ended
    assert parts.did[-1] == "close database"
    assert parts.life.stats().overdue == 2


async def use(life: Lifespan) -> None:
    async with life:
        pass


async def test_work_that_does_not_mind_being_cancelled_is_left(manual_clock: ManualClock) -> None:
    let_go = asyncio.Event()

    async def deaf() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    parts = Parts(manual_clock, close_timeout=3)
    parts.add("database")
    parts.add("http", close=deaf)
    ended = asyncio.create_task(use(parts.life))
    await manual_clock.advance(4)
    await ended
    assert parts.did[-1] == "close database"
    assert parts.life.stats().overdue == 1
    let_go.set()
    await manual_clock.advance(0)


async def test_who_is_cancelled_while_it_drains_still_closes_everything(
    manual_clock: ManualClock,
) -> None:
    parts = Parts(manual_clock)
    parts.add("database")
    parts.add("http", drain=hang)
    ended = asyncio.create_task(use(parts.life))
    await manual_clock.advance(1)
    ended.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended
    assert parts.did[-2:] == ["close http", "close database"]
    assert parts.life.phase == "closed"


async def test_who_is_cancelled_while_it_closes_closes_the_others_too(
    manual_clock: ManualClock,
) -> None:
    parts = Parts(manual_clock)
    parts.add("database")
    parts.add("http", close=hang)
    ended = asyncio.create_task(use(parts.life))
    await manual_clock.advance(1)
    assert parts.did[-1] == "close http"
    ended.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended
    assert parts.did[-1] == "close database"
    assert parts.life.phase == "closed"


async def test_the_second_stop_ends_the_draining(manual_clock: ManualClock) -> None:
    parts = Parts(manual_clock)
    parts.add("http", drain=hang)

    async def serve() -> None:
        async with parts.life as life:
            await life.wait()

    ended = asyncio.create_task(serve())
    await manual_clock.advance(1)
    assert parts.life.ready
    parts.life.stop()
    await manual_clock.advance(1)
    assert parts.life.phase == "draining"
    parts.life.stop()
    await manual_clock.advance(0)
    await ended
    assert parts.did[-1] == "close http"


async def test_a_signal_ends_it_and_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with Lifespan("bot") as life:
        os.kill(os.getpid(), signal.SIGTERM)
        await life.wait()
    assert signal.getsignal(signal.SIGTERM) is before


@given(st.lists(st.sets(st.integers(0, 20)), max_size=12))
def test_each_comes_after_those_that_it_needs(needs: list[set[int]]) -> None:
    after = {str(at): [str(n) for n in need if n < at] for at, need in enumerate(needs)}
    order = in_order(dict(reversed(after.items())))
    assert sorted(order) == sorted(after)
    for name, need in after.items():
        assert all(order.index(each) < order.index(name) for each in need)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="wait for each other"):
        in_order({"a": ["b"], "b": ["a"], "c": []})
    with pytest.raises(ConfigurationError, match="after of 'a' is 'z'"):
        in_order({"a": ["z"]})
    for field in ("notice", "drain_timeout", "close_timeout"):
        for value in (-1, nan, inf, True):
            with pytest.raises(ConfigurationError, match=field):
                Lifespan("bot", **{field: value})  # type: ignore[arg-type]
    life = Lifespan("bot")
    life.add("a")
    with pytest.raises(ConfigurationError, match="added once"):
        life.add("a")
    with pytest.raises(ConfigurationError, match="a list of names"):
        life.add("b", after="a")


async def test_it_lives_once(manual_clock: ManualClock) -> None:
    life = Parts(manual_clock).life
    async with life:
        with pytest.raises(ConfigurationError, match="before the start"):
            life.add("late")
    with pytest.raises(ConfigurationError, match="entered once"):
        await life.__aenter__()


def worker(listener: socket.socket) -> subprocess.Popen[str]:
    number = listener.fileno()
    command = [sys.executable, str(WORKER), str(number)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    made = subprocess.Popen(command, pass_fds=[number], stdout=subprocess.PIPE, text=True, env=env)
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM, and inherits no sockets so")
async def test_a_rolling_restart_loses_no_request() -> None:
    """Two workers, one after the other, on one listener, under users who never stop asking."""
    answered: list[str] = []
    over = False

    async def ask() -> None:
        while not over:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello\n")
            answer = (await reader.readline()).decode()
            assert answer.endswith(" hello\n")
            answered.append(answer.split()[0])
            writer.close()

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        port = listener.getsockname()[1]
        old = await asyncio.to_thread(worker, listener)
        users = [asyncio.create_task(ask()) for _ in range(10)]
        workers = [old]
        try:
            new = await asyncio.to_thread(worker, listener)
            workers.append(new)
            while str(new.pid) not in answered:
                await asyncio.wait(users, timeout=0.01)
                assert not any(user.done() for user in users)
            old.terminate()
            assert await asyncio.to_thread(old.wait, 30) == 0
            over = True
            await asyncio.gather(*users)  # each one's last question too
        finally:
            for each in workers:
                each.kill()
                each.wait()
                assert each.stdout is not None
                each.stdout.close()
    assert set(answered) == {str(each.pid) for each in workers}
