"""A clock for tests, after the idea of trio's MockClock: time jumps, nobody waits."""

import asyncio
from heapq import heappop, heappush
from itertools import count

from mobius_infra.core import require


class ManualClock:
    """A `Clock` that stands still until it is moved.

    `tick` moves it at once, for code that only reads the time. `advance` moves it from sleeper to
    sleeper and lets each do its work at the time that it asked for. With `auto_jump`, whenever
    nothing happens for some turns of the event loop, it moves to the next sleeper by itself, so an
    hour of sleeps takes no time at all.

        clock = ManualClock()
        task = asyncio.create_task(clock.sleep(3600))
        await clock.advance(3600)
        assert task.done()

    Args:
        start: what `monotonic()` says first, in seconds.
        epoch: what `time()` says first, in seconds since 1970.
        auto_jump: move to the next sleeper when all tasks wait. It can't see work in threads and
            sockets: test what uses them with `advance`, or with the system's clock.
        settle: turns of the event loop that tasks are given between two moves.
    """

    __slots__ = ("_auto_jump", "_idle", "_now", "_offset", "_order", "_settle", "_sleepers")

    def __init__(
        self,
        start: float = 0.0,
        *,
        epoch: float = 1_700_000_000.0,
        auto_jump: bool = False,
        settle: int = 25,
    ) -> None:
        require(settle > 0, "settle", settle, "a positive number of turns")
        self._now = start
        self._offset = epoch - start
        self._auto_jump = auto_jump
        self._settle = settle
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = (
            count()
        )  # sleepers that are due at the same time wake first come, first served
        self._idle: asyncio.Handle | None = None

    def monotonic(self) -> float:
        """Return seconds since `start`, plus `start`."""
        return self._now

    def time(self) -> float:
        """Return seconds since 1970, moving with `monotonic()`."""
        return self._now + self._offset

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        if self._auto_jump:
            self._watch(self._settle)
        await woken

    @property
    def sleepers(self) -> int:
        """How many tasks are asleep."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    def tick(self, seconds: float) -> None:
        """Move at once; whoever is due wakes at the next turn of the loop, seeing the new time."""
        require(seconds >= 0, "seconds", seconds, "zero or more: a monotonic clock can't go back")
        self._move(self._now + seconds)

    def set_time(self, epoch: float) -> None:
        """Make `time()` say `epoch` now, as when somebody sets the machine's clock."""
        self._offset = epoch - self._now

    async def advance(self, seconds: float) -> None:
        """Move by `seconds`, stopping at each sleeper that becomes due, in order.

        Sleeps begun on the way count too, if they end within `seconds`.
        """
        require(seconds >= 0, "seconds", seconds, "zero or more: a monotonic clock can't go back")
        target = self._now + seconds
        await self._let_run()
        while (due := self._next_due()) is not None and due <= target:
            self._move(due)
            await self._let_run()
        self._move(target)
        await self._let_run()

    async def _let_run(self) -> None:
        for _ in range(self._settle):
            await asyncio.sleep(0)

    def _next_due(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():  # cancelled meanwhile
            heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _move(self, to: float) -> None:
        self._now = to
        while self._sleepers and self._sleepers[0][0] <= to:
            _, _, woken = heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    def _watch(self, turns: int) -> None:
        """Jump after `turns` turns, unless a new sleeper starts the count again."""
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self._idle = loop.call_soon(self._watch, turns - 1) if turns else loop.call_soon(self._jump)

    def _jump(self) -> None:
        self._idle = None
        due = self._next_due()
        if due is not None:
            self._move(due)
            self._watch(self._settle)

    def __repr__(self) -> str:
        return f"ManualClock(now={self._now:g}, sleepers={self.sleepers})"
