"""What a pool does with its connections, by a clock that is moved by hand."""

import asyncio
import gc
import pickle
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError, Event, MobiusError, Rejected, samples
from mobius_infra.perf import (
    Pool,
    PoolClosed,
    PoolClosedError,
    PoolConfig,
    PoolConnectError,
    PoolFullError,
    PoolLeakSuspected,
    PoolMisuseError,
    PoolReachable,
    PoolTimeoutError,
    PoolUnreachable,
)
from mobius_infra.perf._pool_dial import Dialer
from mobius_infra.testing import ManualClock
from tests.perf.support import Line, Server, turns


def numbers(lines: list[Line]) -> list[int]:
    return [line.number for line in lines]


async def borrow(pool: Pool[Line], count: int) -> list[Line]:
    return [await pool.acquire() for _ in range(count)]


def give_back(pool: Pool[Line], lines: list[Line]) -> None:
    for line in lines:
        pool.release(line)


def heard(pool: Pool[Line]) -> list[Event]:
    events: list[Event] = []
    pool.events.subscribe(events.append)
    return events


class TestOrder:
    async def test_the_latest_given_back_is_lent_first(self) -> None:
        server = Server()
        async with server.using() as pool:
            give_back(pool, await borrow(pool, 3))
            assert numbers(await borrow(pool, 3)) == [2, 1, 0]
            assert pool.stats().connected == 3

    async def test_who_waits_is_served_first_come_first_served(self) -> None:
        server, served = Server(), []
        async with server.using(max_size=1) as pool:

            async def use(number: int) -> None:
                async with pool.connection():
                    served.append(number)
                    await asyncio.sleep(0)

            await asyncio.gather(*map(use, range(20)))
            assert served == list(range(20))
            assert pool.stats().waited == 20

    async def test_a_newcomer_overtakes_nobody(self) -> None:
        server, served = Server(), []
        async with server.using(max_size=1) as pool:
            line = await pool.acquire()

            async def use(number: int) -> None:
                async with pool.connection():
                    served.append(number)

            first = asyncio.ensure_future(use(1))
            await turns()
            pool.release(line)
            await use(2)  # asks before the first has run
            await first
            assert served == [1, 2]

    async def test_at_most_max_size_are_open_also_while_some_are_closed(self) -> None:
        server = Server()
        server.turns = 5
        async with server.using(max_size=3) as pool:

            async def use(number: int) -> None:
                with suppress(OSError):
                    async with pool.connection():
                        await asyncio.sleep(0)
                        if number % 2:
                            raise OSError("cut")

            await asyncio.gather(*map(use, range(50)))
            assert server.most_open == 3


class TestWaiting:
    async def test_it_waits_so_long_and_names_pool_and_borrower(
        self, manual_clock: ManualClock
    ) -> None:
        async with Server().using(manual_clock, max_size=1, max_wait=2.0) as pool:
            line = await pool.acquire()
            task = asyncio.create_task(pool.acquire(), name="worker-7")
            await manual_clock.advance(1.9)
            assert not task.done()
            await manual_clock.advance(0.2)
            with pytest.raises(PoolTimeoutError, match=r"'db'.*'worker-7': 1 of 1 are in use"):
                await task
            assert pool.stats().refused == {"waited too long": 1}
            pool.release(line)
            assert pool.stats().idle == 1

    async def test_a_borrower_may_wait_for_less(self, manual_clock: ManualClock) -> None:
        async with Server().using(manual_clock, max_size=1, max_wait=None) as pool:
            line = await pool.acquire()
            task = asyncio.ensure_future(pool.acquire(0.5))
            await manual_clock.advance(0.5)
            with pytest.raises(PoolTimeoutError):
                await task
            with pytest.raises(ConfigurationError, match="max_wait"):
                await pool.acquire(-1)
            pool.release(line)

    async def test_only_so_many_wait(self) -> None:
        async with Server().using(max_size=1, queue=2) as pool:
            line = await pool.acquire()
            waits = [asyncio.ensure_future(pool.acquire()) for _ in range(2)]
            await turns()
            with pytest.raises(PoolFullError) as caught:
                await pool.acquire()
            assert isinstance(caught.value, Rejected)
            assert pool.stats().waiting == 2
            for each in waits:
                pool.release(line)
                assert await each is line
            pool.release(line)

    async def test_without_a_queue_one_may_still_wait_for_a_connect(self) -> None:
        async with Server().using(max_size=2, queue=0) as pool:
            lines = await borrow(pool, 2)
            with pytest.raises(PoolFullError):
                await pool.acquire()
            give_back(pool, lines)


class TestAge:
    async def test_idle_ones_above_min_size_are_closed(self, manual_clock: ManualClock) -> None:
        server = Server()
        async with server.using(manual_clock, min_size=1, idle_timeout=60.0) as pool:
            give_back(pool, await borrow(pool, 3))
            for _ in range(10):  # one is needed all the time: always the same
                await manual_clock.advance(10)
                give_back(pool, await borrow(pool, 1))
            assert numbers(server.open) == [2]
            assert pool.stats().discarded == {"idle": 2}

    async def test_a_lifetime_ends_also_for_idle_ones(self, manual_clock: ManualClock) -> None:
        server = Server()
        settings = {"lifetime": 100.0, "idle_timeout": None, "min_size": 2}
        async with server.using(manual_clock, **settings) as pool:
            await manual_clock.advance(99)
            assert numbers(server.open) == [0, 1]
            await manual_clock.advance(30)
            assert numbers(server.open) == [2, 3]  # and they are replaced
            assert pool.stats().discarded == {"expired": 2}

    async def test_it_ends_for_one_that_is_given_back_and_for_one_to_be_lent(
        self, manual_clock: ManualClock
    ) -> None:
        server = Server()
        async with server.using(manual_clock, lifetime=100.0) as pool:
            line = await pool.acquire()
            manual_clock.tick(101)
            pool.release(line)
            line = await pool.acquire()
            assert line.number == 1
            pool.release(line)
            manual_clock.tick(100)  # the keeper has not run
            assert (await pool.acquire()).number == 2

    async def test_jitter_only_takes_off(self, manual_clock: ManualClock) -> None:
        draws = iter([0.0, 0.5, 0.999])
        server = Server()
        pool = Pool(
            "db", server.connect, clock=manual_clock, draw=lambda: next(draws), lifetime=100.0,
            jitter=0.2,
        )  # fmt: skip
        lines = await borrow(pool, 3)
        ends = [pool._used[id(line)].expires for line in lines]
        assert ends == pytest.approx([100, 90, 80.02])
        give_back(pool, lines)
        await pool.close()

    async def test_the_wall_clock_means_nothing(self, manual_clock: ManualClock) -> None:
        server = Server()
        async with server.using(manual_clock, lifetime=100.0) as pool:
            give_back(pool, await borrow(pool, 1))
            manual_clock.set_time(4_000_000_000)
            assert (await pool.acquire()).number == 0


class TestFitness:
    async def test_it_is_checked_only_after_idleness(self, manual_clock: ManualClock) -> None:
        server = Server()
        async with server.using(manual_clock, check=server.check, check_after=10.0) as pool:
            for seconds, checked in [(0, 0), (9, 0), (10, 1), (9, 1)]:
                manual_clock.tick(seconds)
                line = await pool.acquire()
                assert line.checked == checked
                pool.release(line)

    @pytest.mark.parametrize("answer", ["raises", "False", "hangs"])
    async def test_one_that_fails_its_check_is_replaced(
        self, answer: str, manual_clock: ManualClock
    ) -> None:
        server = Server()

        async def check(line: Line) -> bool:
            if line.number == 0:
                if answer == "raises":
                    raise ConnectionError("dead")
                if answer == "hangs":
                    await asyncio.Event().wait()
                return False
            return True

        async with server.using(manual_clock, check=check, check_timeout=1.0) as pool:
            give_back(pool, await borrow(pool, 1))
            manual_clock.tick(31)
            task = asyncio.ensure_future(pool.acquire())
            await manual_clock.advance(1.0)
            assert (await task).number == 1
            assert pool.stats().discarded == {"failed check": 1}

    async def test_a_broken_one_is_neither_taken_back_nor_lent(self) -> None:
        server = Server()
        async with server.using(broken=lambda line: line.dead) as pool:
            line = await pool.acquire()
            line.dead = True
            pool.release(line)
            line = await pool.acquire()
            assert line.number == 1
            pool.release(line)
            line.dead = True  # while it is idle
            assert (await pool.acquire()).number == 2
            assert pool.stats().discarded == {"broken": 2}

    async def test_a_look_that_raises_costs_the_connection_and_no_more(self) -> None:
        def broken(line: Line) -> bool:
            if line.dead:
                raise RuntimeError("looked")
            return False

        async with Server().using(broken=broken, max_size=1) as pool:
            for _ in range(2):
                line = await pool.acquire()
                line.dead = True
                pool.release(line)
            line = await pool.acquire()
            pool.release(line)
            line.dead = True
            assert (await pool.acquire()).number == 3
            assert pool.stats().discarded == {"broken": 3}

    @pytest.mark.parametrize(
        ("error", "kept"),
        [
            (ValueError(), True),
            (OSError(), False),
            (TimeoutError(), False),
            (SystemExit(), False),
            (PoolTimeoutError("another", "me", "all are in use"), True),
            (PoolConnectError("another", "me", 3, 1.0), True),
        ],
    )
    async def test_an_error_in_a_block_may_cost_the_connection(
        self, error: BaseException, kept: bool
    ) -> None:
        server = Server()
        async with server.using() as pool:
            with pytest.raises(type(error)):
                async with pool.connection():
                    raise error
            await turns()
            assert server.made[0].closed is not kept


class TestConnecting:
    async def test_a_failed_connect_frees_its_place_and_the_next_is_made(
        self, manual_clock: ManualClock
    ) -> None:
        server = Server()
        server.error = ConnectionError("refused")
        async with server.using(manual_clock, max_size=1) as pool:
            task = asyncio.ensure_future(pool.acquire())
            await turns()
            assert (server.attempts, pool.stats().connecting) == (1, 0)
            server.error = None
            await manual_clock.advance(0.1)
            assert (await task).number == 0

    async def test_a_dead_server_is_tried_rarely_and_borrowers_are_told_at_once(
        self, manual_clock: ManualClock
    ) -> None:
        server = Server()
        server.error = ConnectionError("refused")
        async with server.using(manual_clock, first_pause=1.0, most_pause=8.0) as pool:
            events = heard(pool)
            task = asyncio.ensure_future(pool.acquire())
            await manual_clock.advance(3.1)  # at 0, 1 and 3
            with pytest.raises(PoolConnectError, match=r"'db'.*3 times in a row") as caught:
                await task
            assert caught.value.__cause__ is server.error
            assert caught.value.retry_after == 4.0
            assert pool.state == "unreachable"
            assert isinstance(events[0], PoolUnreachable)
            for _ in range(100):
                with pytest.raises(PoolConnectError):
                    await pool.acquire()
            assert server.attempts == 3
            for _ in range(600):
                with suppress(PoolConnectError):
                    await pool.acquire()
                await manual_clock.advance(0.1)
            assert server.attempts < 3 + 60 / 8 + 2
            server.error = None
            await manual_clock.advance(8)
            async with pool.connection():
                pass
            assert isinstance(events[-1], PoolReachable)
            assert pool.state == "open"

    async def test_min_size_is_made_again_after_the_server_returns(
        self, manual_clock: ManualClock
    ) -> None:
        server = Server()
        async with server.using(
            manual_clock, min_size=2, lifetime=10.0, idle_timeout=None, most_pause=1.0
        ) as pool:
            server.error = ConnectionError("refused")
            await manual_clock.advance(20)
            assert pool.stats().idle == 0
            server.error = None
            await manual_clock.advance(2)
            assert pool.stats().idle == 2

    async def test_only_one_knocks_after_a_failure(self, manual_clock: ManualClock) -> None:
        server = Server()
        server.error = ConnectionError("refused")
        async with server.using(manual_clock, max_size=10) as pool:
            tasks = [asyncio.ensure_future(pool.acquire()) for _ in range(10)]
            await turns()
            assert server.attempts == 10
            assert pool.stats().failures == 1  # they were under way together
            await manual_clock.advance(0.1)
            assert server.attempts == 11
            server.error = None
            await manual_clock.advance(0.2)
            assert len(set(await asyncio.gather(*tasks))) == 10

    async def test_a_connect_that_hangs_is_given_up(self, manual_clock: ManualClock) -> None:
        server = Server()
        server.gate = asyncio.Event()
        async with server.using(manual_clock, max_size=1, connect_timeout=1.0) as pool:
            task = asyncio.ensure_future(pool.acquire())
            await manual_clock.advance(1.0)
            assert pool.stats().connect_failures == 1
            server.gate = None
            await manual_clock.advance(0.1)
            assert (await task).number == 0

    async def test_a_breakers_retry_after_is_kept_to(self, manual_clock: ManualClock) -> None:
        server = Server()
        server.error = Rejected("open", name="breaker", retry_after=5.0)
        async with server.using(manual_clock, max_wait=None) as pool:
            task = asyncio.ensure_future(pool.acquire())
            await manual_clock.advance(4.9)
            assert server.attempts == 1
            server.error = None
            await manual_clock.advance(0.2)
            assert (await task).number == 0

    async def test_while_some_are_lent_others_wait_for_them(
        self, manual_clock: ManualClock
    ) -> None:
        server = Server()
        async with server.using(manual_clock, max_size=2, max_wait=None) as pool:
            line = await pool.acquire()
            server.error = ConnectionError("refused")
            task = asyncio.ensure_future(pool.acquire())
            await manual_clock.advance(60)
            assert not task.done()
            pool.release(line)
            assert await task is line

    @pytest.mark.parametrize("result", ["None", "the same"])
    async def test_what_is_no_new_connection_is_refused(
        self, result: str, manual_clock: ManualClock
    ) -> None:
        line = Line(0)

        async def connect() -> Any:
            return None if result == "None" else line

        pool = Pool("db", connect, clock=manual_clock, open_after=1)
        if result == "the same":
            await pool.acquire()
        task = asyncio.ensure_future(pool.acquire())
        await manual_clock.advance(5)
        with pytest.raises((PoolConnectError, PoolTimeoutError)):
            await task
        assert isinstance(pool._stock.last_error, ConfigurationError)
        assert "'db'" in str(pool._stock.last_error)
        if result == "the same":
            pool.release(line)
        await pool.close()

    async def test_connect_does_not_see_the_borrowers_context(self) -> None:
        user = ContextVar("user", default="nobody")
        seen = []

        async def connect() -> object:
            seen.append(user.get())
            return object()

        async with Pool("db", connect) as pool:
            user.set("alice")
            async with pool.connection():
                pass
        assert seen == ["nobody"]


class TestMisuse:
    async def test_given_back_twice(self) -> None:
        async with Server().using() as pool:
            line = await pool.acquire()
            pool.release(line)

            async def again() -> None:
                pool.release(line)

            with pytest.raises(PoolMisuseError, match=r"'job'.*pool 'db'.*given back before"):
                await asyncio.create_task(again(), name="job")
            assert (pool.stats().idle, pool.stats().in_use) == (1, 0)

    async def test_given_back_to_another_pool(self) -> None:
        server = Server()
        async with server.using() as one, server.using() as other:
            line = await one.acquire()
            with pytest.raises(PoolMisuseError, match="not lent"):
                other.release(line)
            assert one.stats().in_use == 1
            one.release(line)

    async def test_another_thread_loses_nothing(self) -> None:
        async with Server().using(max_size=1) as pool:
            line = await pool.acquire()
            with pytest.raises(PoolMisuseError, match="outside its event loop"):
                await asyncio.to_thread(pool.release, line, discard=True)
            waiting = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            with pytest.raises(PoolMisuseError, match="outside its event loop"):
                await asyncio.to_thread(pool.release, line)
            assert pool.stats().in_use == 1
            pool.release(line)
            pool.release(await waiting)

    def test_outside_of_a_loop(self) -> None:
        with pytest.raises(PoolMisuseError, match="no task"):
            Server().pool().release(Line(9))

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("min_size", 11), ("min_size", -1), ("min_size", True), ("max_size", 0),
            ("max_size", 2.5), ("queue", -1), ("max_wait", 0), ("max_wait", float("nan")),
            ("connect_timeout", None), ("connect_timeout", float("inf")), ("close_timeout", 0),
            ("check_timeout", -1), ("check_after", False), ("idle_timeout", 0), ("lifetime", -1),
            ("jitter", 1), ("jitter", -0.1), ("first_pause", 0), ("most_pause", 0.01),
            ("open_after", 0), ("leak_after", 0), ("trace_every", 1), ("trace_every", -1),
            ("maxsize", 3), ("name", ""), ("connect", None),
        ],
    )  # fmt: skip
    def test_settings_that_cannot_work(self, field: str, value: object) -> None:
        given: dict[str, Any] = {"name": "db", "connect": Server().connect, field: value}
        with pytest.raises(ConfigurationError) as caught:
            Pool(given.pop("name"), given.pop("connect"), **given)
        assert caught.value.field == field

    def test_settings_from_a_file(self) -> None:
        settings = PoolConfig.load({"max_size": 3, "lifetime": None})
        pool = Server().pool(settings=settings, min_size=2)
        assert (pool.stats().min_size, pool.stats().max_size) == (2, 3)


class TestLeaks:
    async def test_one_that_is_held_for_long_is_reported_once(
        self, manual_clock: ManualClock
    ) -> None:
        async with Server().using(manual_clock, leak_after=10.0, trace_every=1) as pool:
            events = heard(pool)

            async def forgetful() -> Line:
                return await pool.acquire()

            line = await asyncio.create_task(forgetful(), name="forgetful-1")
            await manual_clock.advance(60)
            (event,) = events
            assert isinstance(event, PoolLeakSuspected)
            assert (event.borrower, event.ended) == ("forgetful-1", True)
            assert "test_pool.py" in event.stack[-1]
            assert event.stack[-1].endswith("in forgetful")
            assert pool.stats().leaks == 1
            pool.release(line)
            line = await pool.acquire()
            await manual_clock.advance(13)
            assert pool.stats().leaks == 2
            pool.release(line)

    async def test_one_stack_in_so_many_is_noted(self) -> None:
        async with Server().using(leak_after=10.0, trace_every=3) as pool:
            lines = await borrow(pool, 6)
            assert [bool(pool._used[id(line)].stack) for line in lines] == [0, 0, 1, 0, 0, 1]
            give_back(pool, lines)

    async def test_an_idle_connection_keeps_no_task_alive(self) -> None:
        async with Server().using(leak_after=10.0) as pool:
            give_back(pool, await borrow(pool, 1))
            assert pool._idle[0].borrower is None


class TestResize:
    async def test_more_room_is_given_to_who_waits(self) -> None:
        async with Server().using(max_size=1) as pool:
            lines = await borrow(pool, 1)
            waits = [asyncio.ensure_future(pool.acquire()) for _ in range(2)]
            await turns()
            pool.resize(max_size=3)
            lines += await asyncio.gather(*waits)
            assert numbers(lines) == [0, 1, 2]
            give_back(pool, lines)

    async def test_less_room_is_reached_as_connections_come_back(self) -> None:
        server = Server()
        async with server.using(max_size=5) as pool:
            lines = await borrow(pool, 5)
            give_back(pool, lines[:2])
            pool.resize(max_size=1)
            give_back(pool, lines[2:])
            await turns()
            assert len(server.open) == 1
            assert pool.stats().discarded == {"surplus": 4}
            async with pool.connection() as line:
                assert not line.closed

    async def test_min_size_is_filled_up_at_once(self) -> None:
        server = Server()
        async with server.using(max_size=5) as pool:
            pool.resize(min_size=4)
            await turns()
            assert pool.stats().idle == 4
            with pytest.raises(ConfigurationError, match="min_size"):
                pool.resize(max_size=3)
            assert pool.stats().max_size == 5


class TestClose:
    async def test_it_admits_nobody_refuses_who_waits_and_waits_for_who_has_one(self) -> None:
        server = Server()
        pool = server.pool(max_size=1)
        events = heard(pool)
        line = await pool.acquire()
        waits = asyncio.ensure_future(pool.acquire())
        await turns()
        closing = asyncio.ensure_future(pool.close())
        await turns()
        assert pool.state == "closing"
        with pytest.raises(PoolClosedError, match="'db' is closed"):
            await waits
        with pytest.raises(PoolClosedError):
            await pool.acquire()
        assert not line.closed
        assert not closing.done()
        pool.release(line)
        await closing
        assert line.closed
        assert pool.state == "closed"
        assert isinstance(events[-1], PoolClosed)

    async def test_what_is_not_given_back_in_time_is_dropped(
        self, manual_clock: ManualClock
    ) -> None:
        server = Server()
        dropped: list[Line] = []
        pool = server.pool(manual_clock, terminate=dropped.append)
        events = heard(pool)
        line = await pool.acquire()
        closing = asyncio.ensure_future(pool.close(5.0))
        await manual_clock.advance(5.0)
        await closing
        assert dropped == [line]
        assert pool.stats().in_use == 0
        assert isinstance(events[-1], PoolClosed)
        assert events[-1].terminated == 1
        pool.release(line)  # too late, and no mistake
        with pytest.raises(PoolMisuseError):
            pool.release(line)

    async def test_a_close_that_hangs_is_given_up(self, manual_clock: ManualClock) -> None:
        server = Server()
        dropped: list[Line] = []

        async def hang(line: Line) -> None:
            await asyncio.Event().wait()

        pool = Pool(
            "db", server.connect, close=hang, terminate=dropped.append, max_size=1,
            close_timeout=2.0, clock=manual_clock,
        )  # fmt: skip
        pool.release(await pool.acquire(), discard=True)
        task = asyncio.ensure_future(pool.acquire())
        await manual_clock.advance(1.9)
        assert not task.done()  # the first is still there
        await manual_clock.advance(0.2)
        assert (await task).number == 1
        assert numbers(dropped) == [0]
        pool.release(server.made[1])
        closing = asyncio.ensure_future(pool.close())
        await manual_clock.advance(2.0)
        await closing

    async def test_it_may_be_asked_twice_at_once(self) -> None:
        server = Server()
        pool = server.pool()
        line = await pool.acquire()
        both = asyncio.gather(pool.close(), pool.close())
        await turns()
        pool.release(line)
        await both
        assert server.open == []

    async def test_a_connect_under_way_is_ended(self) -> None:
        server = Server()
        server.gate = asyncio.Event()
        pool = server.pool()
        waits = asyncio.ensure_future(pool.acquire())
        await turns()
        await pool.close()
        with pytest.raises(PoolClosedError):
            await waits
        assert server.made == []

    async def test_nothing_is_left_of_a_pool_that_could_not_open(
        self, manual_clock: ManualClock
    ) -> None:
        server = Server()
        server.error = ConnectionError("refused")
        pool = server.pool(manual_clock, min_size=1, open_after=1)
        with pytest.raises(PoolConnectError):
            async with pool:
                pass
        assert pool.state == "closed"
        await turns(2)
        assert len(asyncio.all_tasks()) == 1


class TestDialer:
    def test_pauses_double_up_to_the_most_and_are_shortened_by_at_most_half(self) -> None:
        for draw, share in [(0.0, 1.0), (0.5, 0.75), (0.999, 0.5005)]:
            dialer = Dialer(1.0, 8.0, 3)
            pauses = []
            for _ in range(6):
                dialer.failed(dialer.generation, 0.0, draw)
                pauses.append(dialer.retry_at)
            assert pauses == pytest.approx([each * share for each in (1, 2, 4, 8, 8, 8)])

    def test_a_late_success_ends_the_circuit_and_a_late_failure_means_nothing(self) -> None:
        dialer = Dialer(1.0, 8.0, 1)
        old = dialer.generation
        assert dialer.failed(old, 0.0, 0.0)
        assert not dialer.failed(old, 0.5, 0.0)
        assert dialer.retry_at == 1.0
        assert dialer.succeeded() == 1
        assert dialer.may(0.5, 5)
        dialer.failed(old + 1, 0.6, 0.0)
        assert not dialer.dead


@pytest.mark.parametrize(
    "error",
    [
        PoolTimeoutError("db", "me", "all are in use"),
        PoolFullError("db", "me", "all are in use"),
        PoolClosedError("db", "me"),
        PoolConnectError("db", "me", 3, 1.0),
        PoolMisuseError("db", "me", "that it has not lent"),
    ],
)
def test_errors_survive_a_process_border(error: MobiusError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    assert again.fields() == error.fields()
    assert (again.name, again.borrower) == ("db", "me")


class TestShown:
    async def test_repr_and_numbers(self) -> None:
        async with Server().using(max_size=1) as pool:
            assert repr(pool) == "Pool('db', 0 of 1 in use)"
            line = await pool.acquire()
            waits = asyncio.ensure_future(pool.acquire())
            await turns()
            assert repr(pool) == "Pool('db', 1 of 1 in use, 1 waiting)"
            pool.release(line)
            pool.release(await waits)
            read = {each.name: each.value for each in samples(pool.stats())}
            assert (read["borrowed"], read["waited"], read["state"]) == (2, 2, "open")
        assert repr(pool) == "Pool('db', 0 of 1 in use, closed)"


async def test_a_hundred_thousand_borrowings_leave_nothing_behind() -> None:
    async with Server().using(max_size=4, leak_after=60.0) as pool:

        async def many(count: int) -> None:
            for _ in range(count):
                async with pool.connection():
                    await asyncio.sleep(0)

        left = []
        for count in (500, 12_500):
            await asyncio.gather(*(many(count) for _ in range(8)))
            gc.collect()
            left.append(len(gc.get_objects()))
        assert left[1] - left[0] < 100
        assert pool.stats().borrowed == 104_000
