"""Whatever a borrower does, and wherever it is cancelled: nothing stays lent, nothing is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from mobius_infra.perf import Pool, PoolTimeoutError
from mobius_infra.testing import ManualClock
from tests.perf.support import Line, Server, turns

Operation = Callable[[Pool[Line]], Awaitable[object]]


async def block(pool: Pool[Line]) -> None:
    async with pool.connection():
        await turns(3)


async def by_hand(pool: Pool[Line]) -> None:
    line = await pool.acquire()
    try:
        await turns(2)
    finally:
        pool.release(line)


async def twice(pool: Pool[Line]) -> None:
    await block(pool)
    await block(pool)


async def discarded(pool: Pool[Line]) -> None:
    with suppress(OSError):
        async with pool.connection():
            raise OSError("reset by peer")


async def opened(pool: Pool[Line]) -> None:
    await pool.open()


OPERATIONS: list[Operation] = [block, by_hand, twice, discarded, opened]
SIZE = 2


async def full_capacity(pool: Pool[Line], server: Server) -> None:
    """All that the pool may lend it lends, and has nothing in use after."""
    await turns()
    assert (pool.stats().in_use, pool.stats().waiting) == (0, 0)
    lines = [await pool.acquire() for _ in range(SIZE)]
    assert len(set(lines)) == SIZE
    assert not any(line.closed for line in lines)
    for line in lines:
        pool.release(line)
    assert server.most_open <= SIZE


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("holders", [0, 1, SIZE])
@pytest.mark.parametrize("stale", [False, True])
async def test_cancelled_at_any_step_it_leaves_the_pool_whole(
    operation: Operation, holders: int, stale: bool
) -> None:
    step = 0
    ended = False
    while not ended:
        clock, server = ManualClock(), Server()
        server.turns = 2
        async with server.using(clock, max_size=SIZE, check=server.check) as pool:
            lines = [await pool.acquire() for _ in range(SIZE)]
            for line in lines:
                pool.release(line)
            if stale:
                clock.tick(31)
            held = [await pool.acquire() for _ in range(holders)]
            task = asyncio.ensure_future(operation(pool))
            neighbour = asyncio.ensure_future(block(pool))
            for at in range(step):
                if at == 2:
                    for line in held:
                        pool.release(line)
                    held = []
                await asyncio.sleep(0)
            ended = task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for line in held:
                pool.release(line)
            await neighbour
            await full_capacity(pool, server)
        assert server.open == []
        step += 1
    assert step >= 2


@pytest.mark.parametrize("min_size", [0, 1])
async def test_cancelled_at_any_step_of_the_first_connect(min_size: int) -> None:
    for step in range(12):
        server = Server()
        server.turns = 3
        pool = server.pool(max_size=SIZE, min_size=min_size)
        task = asyncio.ensure_future(block(pool))
        await turns(step)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await full_capacity(pool, server)
        await pool.close()
        assert server.open == []


@pytest.mark.parametrize("held", [False, True])
async def test_close_cancelled_at_any_step_can_be_asked_again(held: bool) -> None:
    for step in range(15):
        server = Server()
        server.turns = 3
        pool = server.pool(max_size=SIZE)
        lines = [await pool.acquire() for _ in range(SIZE)]
        for line in lines[held:]:
            pool.release(line)
        task = asyncio.ensure_future(pool.close())
        await turns(step)
        cancelled = task.cancel()
        with suppress(asyncio.CancelledError):
            await task
            cancelled = False
        if held and (cancelled or step):
            pool.release(lines[0])
        await pool.close()
        assert server.open == []
        assert pool.stats().in_use == 0
        assert pool.state == "closed"


async def test_cancelled_in_the_turn_in_which_it_was_lent_the_next_gets_it() -> None:
    server = Server()
    async with server.using(max_size=1) as pool:
        line = await pool.acquire()
        first = asyncio.ensure_future(pool.acquire())
        second = asyncio.ensure_future(pool.acquire())
        await turns()
        pool.release(line)
        first.cancel()
        assert await second is line
        assert first.cancelled()
        pool.release(line)


async def test_timed_out_in_the_turn_in_which_it_was_lent_it_has_it(
    manual_clock: ManualClock,
) -> None:
    server = Server()
    async with server.using(manual_clock, max_size=1, max_wait=1.0) as pool:
        line = await pool.acquire()
        waits = asyncio.ensure_future(pool.acquire())
        await turns()
        pool.release(line)
        manual_clock.tick(1.0)
        assert await waits is line
        late = asyncio.ensure_future(pool.acquire())
        await turns()
        manual_clock.tick(1.0)
        await turns(3)
        pool.release(line)
        with pytest.raises(PoolTimeoutError):
            await late
        assert pool.stats().idle == 1


async def test_a_cancelled_connect_is_not_the_borrowers_cancellation() -> None:
    """The attempt belongs to the pool: a second borrower gets what the first had begun."""
    server = Server()
    server.gate = asyncio.Event()
    async with server.using(max_size=1) as pool:
        first = asyncio.ensure_future(pool.acquire())
        await turns()
        second = asyncio.ensure_future(pool.acquire())
        first.cancel()
        await turns()
        server.gate.set()
        pool.release(await second)
        assert server.attempts == 1


async def test_an_operation_that_is_cancelled_costs_its_connection() -> None:
    server = Server()
    async with server.using(max_size=1) as pool:

        async def query() -> None:
            async with pool.connection():
                await asyncio.sleep(60)

        task = asyncio.ensure_future(query())
        await turns()
        task.cancel()
        await turns()
        assert server.made[0].closed
        assert pool.stats().discarded == {"by borrower": 1}
        async with pool.connection() as line:
            assert line.number == 1
