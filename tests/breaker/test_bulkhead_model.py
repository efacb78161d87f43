"""The bulkhead against a slow model of it: every interleaving of what may happen to a call.

Steps happen between turns of the event loop, so that a release, a cancellation, an expiry and a
resize may meet in the same turn; the two are compared when everything has been said.
"""

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mobius_infra.breaker import BulkheadFullError, bulkhead
from mobius_infra.testing import ManualClock

ROOM = 3
MAX_WAIT = 10.0
LIMITS = st.integers(1, 3)
PICK = st.integers(0, 9)


class Model(RuleBasedStateMachine):
    """Numbers of calls in lists: who holds a slot, and who waits, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(settle=6)
        self.real = bulkhead(2, queue=ROOM, max_wait=MAX_WAIT, clock=self.clock)
        self.calls: list[asyncio.Task[None]] = []
        self.got: list[int] = []  # calls that really got a slot, in the order in which they did
        self.limit = 2
        self.holds: list[int] = []
        self.waits: dict[int, float] = {}  # and until when
        self.granted: list[int] = []  # since the last turn: may still be cancelled
        self.leaving: list[int] = []  # cancelled after they were granted
        self.order: list[int] = []
        self.ends: dict[int, str] = {}

    def teardown(self) -> None:
        for call in self.calls:
            call.cancel()
        self.loop.run_until_complete(self.clock.advance(0))
        self.loop.close()

    def turn(self) -> None:
        """Let everything that is due happen."""
        self.loop.run_until_complete(self.clock.advance(0))
        for call in self.leaving:
            self.holds.remove(call)
        self.leaving = []
        self.grant()
        self.order += self.granted
        self.granted = []

    def grant(self) -> None:
        """Serve who waits, first come first served."""
        for call in list(self.waits):
            if len(self.holds) < self.limit:
                del self.waits[call]
                self.holds.append(call)
                self.granted.append(call)

    async def call(self, number: int) -> None:
        await self.real.acquire()
        self.got.append(number)

    def able_to_end(self) -> list[int]:
        """Return the calls that know by now that they have a slot."""
        return [call for call in self.holds if call not in self.granted + self.leaving]

    @rule()
    def a_call_arrives(self) -> None:
        number = len(self.calls)
        self.calls.append(self.loop.create_task(self.call(number)))
        self.turn()  # what was due before happens before it
        if len(self.holds) < self.limit:
            self.holds.append(number)
            self.order.append(number)
        elif len(self.waits) < ROOM:
            self.waits[number] = self.clock.monotonic() + MAX_WAIT
        else:
            self.ends[number] = "full"

    @precondition(lambda self: self.able_to_end())
    @rule(pick=PICK)
    def a_call_ends(self, pick: int) -> None:
        able = self.able_to_end()
        self.holds.remove(able[pick % len(able)])
        self.real.release()
        self.grant()

    @precondition(lambda self: self.waits)
    @rule(pick=PICK)
    def a_waiting_call_is_cancelled(self, pick: int) -> None:
        number = list(self.waits)[pick % len(self.waits)]
        del self.waits[number]
        self.calls[number].cancel()
        self.ends[number] = "cancelled"

    @precondition(lambda self: self.granted)
    @rule(pick=PICK)
    def a_call_is_cancelled_in_the_turn_in_which_it_was_given_a_slot(self, pick: int) -> None:
        number = self.granted.pop(pick % len(self.granted))
        self.calls[number].cancel()
        self.leaving.append(number)
        self.ends[number] = "cancelled"

    @rule(limit=LIMITS)
    def resize(self, limit: int) -> None:
        self.real.resize(limit)
        self.limit = limit
        self.grant()

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.turn()
        self.loop.run_until_complete(self.clock.advance(seconds))
        for number, until in list(self.waits.items()):
            if until <= self.clock.monotonic():
                del self.waits[number]
                self.ends[number] = "waited too long"

    @rule()
    def a_turn_passes(self) -> None:
        self.turn()

    @invariant()
    def slots_are_never_lost_nor_given_twice(self) -> None:
        assert self.real.in_use == len(self.holds)
        assert not (self.waits and len(self.holds) < self.limit)

    @rule()
    def they_agree(self) -> None:
        self.turn()
        assert self.got == self.order
        assert self.real.waiting == len(self.waits)
        for number, call in enumerate(self.calls):
            waits = number in self.waits
            assert call.done() is not waits
            if not waits:
                assert self.end_of(call) == self.ends.get(number, "got a slot")
        stats = self.real.stats()
        assert stats.admitted == len(self.order)
        assert sum(stats.rejected.values()) == len(self.ends)

    def end_of(self, call: "asyncio.Task[None]") -> str:
        if call.cancelled():
            return "cancelled"
        error = call.exception()
        assert error is None or isinstance(error, BulkheadFullError)
        return error.reason if error is not None else "got a slot"


TestModel = Model.TestCase
