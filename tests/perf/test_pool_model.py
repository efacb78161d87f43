"""The pool against a model of its queue: every interleaving of what may happen to a borrower.

Steps happen between turns of the event loop, so that a return, a cancellation, an expiry, a failed
connect and a resize may meet in the same turn. What must hold always is checked after each; who got
what, in which order, is compared when everything has been said.
"""

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mobius_infra.core import MobiusError
from mobius_infra.testing import ManualClock
from tests.perf.support import Line, Server

PICK = st.integers(0, 9)


class Model(RuleBasedStateMachine):
    """Borrowers by number; who waits, in order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(settle=12)
        self.server = Server()
        self.pool = self.server.pool(
            self.clock, max_size=2, max_wait=10.0, queue=100, lifetime=40.0, idle_timeout=20.0,
            check=self.server.check, check_after=5.0, broken=lambda line: line.dead,
            open_after=2, first_pause=1.0, most_pause=4.0, leak_after=15.0,
        )  # fmt: skip
        self.most = 2
        self.tasks: list[asyncio.Task[None]] = []
        self.lines: dict[int, Line] = {}  # who has which
        self.got: list[int] = []

    def turn(self, seconds: float = 0.0) -> None:
        self.loop.run_until_complete(self.clock.advance(seconds))

    def teardown(self) -> None:
        self.server.error = None
        for task in self.tasks:
            task.cancel()
        self.turn()

        async def end() -> None:
            for line in self.lines.values():
                self.pool.release(line)
            await self.pool.close()

        self.loop.run_until_complete(end())
        self.turn()
        assert self.server.open == []
        assert self.pool.stats().in_use == 0
        self.loop.close()

    async def borrow(self, number: int) -> None:
        line = await self.pool.acquire()
        assert line not in self.lines.values()
        assert not line.closed
        self.lines[number] = line
        self.got.append(number)

    @rule()
    def a_borrower_arrives(self) -> None:
        self.tasks.append(self.loop.create_task(self.borrow(len(self.tasks))))

    @precondition(lambda self: self.lines)
    @rule(pick=PICK, how=st.sampled_from(["well", "discarded", "broken"]))
    def a_connection_comes_back(self, pick: int, how: str) -> None:
        number = list(self.lines)[pick % len(self.lines)]
        line = self.lines.pop(number)
        line.dead = how == "broken"

        async def give_back() -> None:
            self.pool.release(line, discard=how == "discarded")

        self.loop.run_until_complete(give_back())

    @precondition(lambda self: any(not task.done() for task in self.tasks))
    @rule(pick=PICK)
    def a_borrower_is_cancelled(self, pick: int) -> None:
        waits = [task for task in self.tasks if not task.done()]
        waits[pick % len(waits)].cancel()

    @rule(most=st.integers(1, 3), least=st.integers(0, 1))
    def resize(self, most: int, least: int) -> None:
        async def change() -> None:
            self.pool.resize(min_size=least, max_size=most)

        self.loop.run_until_complete(change())
        self.most = most

    @rule(away=st.booleans())
    def the_server_goes_or_returns(self, away: bool) -> None:
        self.server.error = ConnectionError("refused") if away else None

    @rule()
    def idle_connections_die(self) -> None:
        for line in self.server.open:
            if line not in self.lines.values():
                line.dead = True

    @rule(turns=st.integers(0, 3), steps=st.integers(0, 3))
    def turns_pass(self, turns: int, steps: int) -> None:
        async def some() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.server.turns = steps
        self.loop.run_until_complete(some())

    @rule(seconds=st.sampled_from([0.0, 1.0, 6.0, 10.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.turn(seconds)

    @invariant()
    def none_is_lost_nor_lent_twice(self) -> None:
        stock = self.pool._stock
        places = [
            *stock.idle, *stock.used.values(), *stock.checking.values(), *stock.closing.values(),
        ]  # fmt: skip
        lines = [slot.connection for slot in places]
        assert len(set(lines)) == len(lines)
        assert set(self.lines.values()) <= {slot.connection for slot in stock.used.values()}
        assert len(self.got) == len(set(self.got))

    @rule()
    def all_is_quiet(self) -> None:
        """Once every turn has been taken, all that is lent is with somebody, and all know it."""
        self.turn()
        stats = self.pool.stats()
        waits = [number for number, task in enumerate(self.tasks) if not task.done()]
        assert stats.in_use == len(self.lines)
        assert stats.waiting == len(waits)
        assert (stats.checking, stats.closing) == (0, 0)
        assert stats.idle + stats.in_use + stats.connecting <= max(self.most, stats.in_use)
        if waits:
            # Nobody waits beside a free connection, or beside room while the server answers.
            assert stats.idle == 0
            assert stats.in_use >= self.most or stats.failures
            # First come first served: who waits came after all who were served.
            assert max(self.got, default=-1) < min(waits)
        for task in self.tasks:
            if task.done() and not task.cancelled():
                error = task.exception()
                assert error is None or isinstance(error, MobiusError), error


TestModel = Model.TestCase
