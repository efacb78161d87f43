"""What breakers get wrong: late ends, cancellations, lost probes, stampedes, tracebacks."""

import asyncio
import gc
import logging
import pickle
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mobius_infra.breaker import (
    Calls,
    CircuitBreaker,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitIsolated,
    CircuitOpened,
    CircuitOpenError,
    Outcome,
    Seconds,
    State,
)
from mobius_infra.core import Event, Rejected
from mobius_infra.testing import ManualClock
from tests.breaker.support import DependencyError, call, fail, hear, make, state_of, trip

NEUTRAL = [
    asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt(), SystemExit(), LookupError(),
    Rejected("full", name="bulkhead", retry_after=None),
    CircuitOpenError("further in", "open", 1.0),
]  # fmt: skip


# Each chooses another closure at decoration.
WRAPPERS: list[dict[str, Any]] = [
    {},
    {"window": Seconds(1000.0)},
    {"slow_rate": 1.0, "slow_after": 99.0},
    {"failed_if": lambda result: False},
]


class TestAPermitSettlesOnce:
    @pytest.mark.parametrize("options", WRAPPERS, ids=" ".join)
    async def test_a_late_success_never_closes_an_open_circuit(
        self, options: dict[str, Any], manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, **options)
        gate = asyncio.Event()

        @breaker
        async def slow() -> None:
            await gate.wait()

        late = asyncio.create_task(slow())
        await manual_clock.advance(0)
        await fail(breaker, 2)
        gate.set()
        await late
        assert state_of(breaker) is State.OPEN
        assert breaker.stats().successes == 1  # lifetime counters alone

    async def test_a_late_end_gives_no_probes_slot_back(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        late = breaker.admit()
        await trip(breaker, manual_clock)
        probe = breaker.admit()
        breaker.settle(late, Outcome.SUCCESS)
        assert state_of(breaker) is State.HALF_OPEN
        with pytest.raises(CircuitOpenError):
            breaker.admit()
        breaker.settle(probe, Outcome.SUCCESS)
        assert state_of(breaker) is State.CLOSED

    async def test_a_late_failure_does_not_count_in_a_circuit_that_has_closed_again(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)
        late = [breaker.admit() for _ in range(5)]
        await trip(breaker, manual_clock)
        await call(breaker)
        for permit in late:
            breaker.settle(permit, Outcome.FAILURE)
        assert state_of(breaker) is State.CLOSED
        assert (breaker.stats().window_calls, breaker.stats().failures) == (0, 7)

    @pytest.mark.parametrize("options", WRAPPERS, ids=" ".join)
    async def test_a_late_success_does_not_count_in_the_next_generation(
        self, options: dict[str, Any], manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, **options)
        gate = asyncio.Event()

        @breaker
        async def slow() -> None:
            await gate.wait()

        late = asyncio.create_task(slow())
        await manual_clock.advance(0)
        await trip(breaker, manual_clock)
        await call(breaker)
        await fail(breaker)
        gate.set()
        await late
        await fail(breaker)  # two in a row: the late success is not between them
        assert state_of(breaker) is State.OPEN

    async def test_settling_twice_counts_once(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        permit = breaker.admit()
        for _ in range(5):
            breaker.settle(permit, Outcome.FAILURE)
        assert state_of(breaker) is State.CLOSED
        assert breaker.stats().failures == 1


class TestNeutral:
    @pytest.mark.parametrize("error", NEUTRAL, ids=repr)
    async def test_what_says_nothing_neither_opens_nor_closes(
        self, error: BaseException, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, ignored=LookupError, failed_on=BaseException)
        for _ in range(5):
            breaker.settle_error(breaker.admit(), error)
        assert state_of(breaker) is State.CLOSED
        await trip(breaker, manual_clock)
        breaker.settle_error(breaker.admit(), error)
        assert state_of(breaker) is State.HALF_OPEN  # no success, and the slot came back
        breaker.settle(breaker.admit(), Outcome.SUCCESS)
        assert state_of(breaker) is State.CLOSED

    async def test_what_says_nothing_is_not_between_two_failures(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)
        await fail(breaker)
        breaker.settle(breaker.admit(), Outcome.CANCELLED)
        await fail(breaker)
        assert state_of(breaker) is State.OPEN

    async def test_three_cancelled_calls_do_not_open(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)

        @breaker
        async def hang() -> None:
            await asyncio.Event().wait()

        calls = [asyncio.create_task(hang()) for _ in range(3)]
        await manual_clock.advance(0)
        for each in calls:
            each.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(each.cancelled() for each in calls)
        assert state_of(breaker) is State.CLOSED
        assert breaker.stats().neutral == 3

    async def test_a_cancelled_probe_gives_its_slot_back(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        await trip(breaker, manual_clock)

        @breaker
        async def hang() -> None:
            await asyncio.Event().wait()

        probe = asyncio.create_task(hang())
        await manual_clock.advance(0)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert state_of(breaker) is State.HALF_OPEN
        assert await call(breaker) == "answer"

    async def test_a_coroutine_that_is_closed_half_way_gives_its_slot_back(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)
        await trip(breaker, manual_clock)

        @breaker
        async def hang() -> None:
            await asyncio.sleep(0)

        half = hang()
        half.send(None)
        half.close()
        assert await call(breaker) == "answer"

    async def test_an_inner_breakers_rejection_does_not_open_the_outer(
        self, manual_clock: ManualClock
    ) -> None:
        outer, inner = make(manual_clock), make(manual_clock)
        inner.isolate()
        guarded = outer(inner(_answer))
        for _ in range(5):
            with pytest.raises(CircuitOpenError):
                await guarded()
        assert (state_of(outer), outer.stats().neutral) == (State.CLOSED, 5)


async def _answer() -> str:
    return "answer"


class TestALostProbe:
    async def test_it_counts_as_failed_when_its_lease_ends(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock, probe_timeout=30.0)
        await trip(breaker, manual_clock)
        probe = breaker.admit()
        manual_clock.tick(29)
        with pytest.raises(CircuitOpenError, match="half-open") as caught:
            breaker.admit()
        assert caught.value.retry_after == 1.0
        manual_clock.tick(1)
        with pytest.raises(CircuitOpenError, match="is open; try again in 20 s"):
            breaker.admit()
        assert breaker.stats().overdue == 1
        breaker.settle(probe, Outcome.SUCCESS)  # too late
        assert state_of(breaker) is State.OPEN
        manual_clock.tick(20)
        assert await call(breaker) == "answer"

    async def test_a_late_end_after_the_lease_closes_nothing_though_nobody_called_meanwhile(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, probe_timeout=30.0)
        await trip(breaker, manual_clock)
        probe = breaker.admit()
        manual_clock.tick(30)
        breaker.settle(probe, Outcome.SUCCESS)
        assert state_of(breaker) is State.OPEN

    async def test_nobody_waits_again_for_a_pause_that_passed_while_nobody_called(
        self, manual_clock: ManualClock
    ) -> None:
        """The pause begins when the lease ended, not when somebody looked."""
        breaker = make(manual_clock, probe_timeout=30.0)
        heard = hear(breaker)
        await trip(breaker, manual_clock)
        breaker.admit()
        manual_clock.tick(3600)
        assert await call(breaker) == "answer"
        kinds = [CircuitOpened, CircuitHalfOpened, CircuitOpened, CircuitHalfOpened, CircuitClosed]
        assert [type(each) for each in heard] == kinds

    async def test_another_probes_success_does_not_hide_it(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock, permits=2, successes=1, probe_timeout=30.0)
        await trip(breaker, manual_clock)
        breaker.admit()
        manual_clock.tick(20)
        other = breaker.admit()
        manual_clock.tick(15)
        breaker.settle(other, Outcome.SUCCESS)
        assert state_of(breaker) is State.OPEN


class TestAHangBehindATimeOut:
    async def cancelled_after(
        self, seconds: float, breaker: CircuitBreaker, clock: ManualClock
    ) -> None:
        @breaker
        async def hang() -> None:
            await asyncio.Event().wait()

        task = asyncio.create_task(hang())
        await clock.advance(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_calls_cancelled_after_more_than_slow_after_open_it(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(
            manual_clock, consecutive_failures=None, slow_rate=1.0, slow_after=2.0,
            window=Calls(3), minimum_calls=3,
        )  # fmt: skip
        for _ in range(5):
            await self.cancelled_after(2.0, breaker, manual_clock)  # not more
        assert breaker.stats().window_calls == 0
        for _ in range(3):
            await self.cancelled_after(2.1, breaker, manual_clock)
        assert state_of(breaker) is State.OPEN
        assert (breaker.stats().slow, breaker.stats().neutral) == (3, 8)

    async def test_a_probe_that_hangs_behind_a_time_out_has_failed(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, slow_rate=1.0, slow_after=2.0)
        await trip(breaker, manual_clock)
        await self.cancelled_after(1.0, breaker, manual_clock)
        assert state_of(breaker) is State.HALF_OPEN
        await self.cancelled_after(2.1, breaker, manual_clock)
        assert state_of(breaker) is State.OPEN

    async def test_a_slow_call_that_was_ignored_says_nothing(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(
            manual_clock, ignored=LookupError, slow_rate=1.0, slow_after=1.0, minimum_calls=1
        )
        permit = breaker.admit()
        manual_clock.tick(9)
        breaker.settle_error(permit, LookupError())
        assert state_of(breaker) is State.CLOSED


class TestAStampede:
    @pytest.mark.parametrize("permits", [1, 3, 49])
    async def test_of_fifty_calls_that_arrive_together_at_half_open_n_are_admitted(
        self, permits: int, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, permits=permits, successes=permits)
        await trip(breaker, manual_clock)
        gate, reached = asyncio.Event(), 0

        @breaker
        async def dependency() -> None:
            nonlocal reached
            reached += 1
            await gate.wait()

        calls = [asyncio.create_task(dependency()) for _ in range(50)]
        await manual_clock.advance(0)
        assert reached == permits
        gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(each, CircuitOpenError) for each in results) == 50 - permits
        assert state_of(breaker) is State.CLOSED

    async def test_failing_together_they_open_it_once(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        heard = hear(breaker)
        permits = [breaker.admit() for _ in range(50)]
        for permit in permits:
            breaker.settle(permit, Outcome.FAILURE)
        assert breaker.stats().opened == 1
        assert [type(each) for each in heard] == [CircuitOpened]


class TestListeners:
    async def test_one_that_raises_breaks_nothing(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)

        def broken(event: Event) -> None:
            raise RuntimeError

        breaker.events.subscribe(broken)
        heard = hear(breaker)
        await trip(breaker, manual_clock)
        assert await call(breaker) == "answer"
        assert len(heard) == 3

    async def test_one_is_told_when_the_change_is_done(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        seen: list[State] = []
        breaker.events.subscribe(lambda event: seen.append(breaker.state))
        await trip(breaker, manual_clock)
        await call(breaker)
        assert seen == [State.OPEN, State.HALF_OPEN, State.CLOSED]

    async def test_what_one_changes_is_told_after_what_it_was_told(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)

        def meddle(event: Event) -> None:
            if isinstance(event, CircuitOpened):
                breaker.isolate("the listener")
                with pytest.raises(CircuitOpenError):
                    breaker.admit()

        breaker.events.subscribe(meddle)
        heard = hear(breaker)
        await fail(breaker, 2)
        assert state_of(breaker) is State.ISOLATED
        assert [type(each) for each in heard] == [CircuitOpened, CircuitIsolated]

    async def test_one_that_resets_while_a_probe_is_admitted_wedges_nothing(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)
        breaker.events.subscribe(
            lambda event: breaker.reset() if isinstance(event, CircuitHalfOpened) else None
        )
        await trip(breaker, manual_clock)
        assert await call(breaker) == "answer"
        assert state_of(breaker) is State.CLOSED


class TestPredicates:
    """The user's functions: one that raises counts the call as failed, and leaks no slot."""

    @pytest.mark.parametrize("option", ["failed_on", "ignored", "failed_if"])
    async def test_one_that_raises_makes_a_failure_and_the_caller_gets_what_the_function_gave(
        self, option: str, manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        breaker = make(manual_clock, **{option: lambda given: given.no_such_thing})

        @breaker
        async def dependency() -> str:
            if option != "failed_if":
                raise DependencyError
            return "answer"

        for _ in range(2):
            with caplog.at_level(logging.CRITICAL, "mobius_infra.breaker"):
                try:
                    assert await dependency() == "answer"
                except DependencyError:
                    assert option != "failed_if"
        assert state_of(breaker) is State.OPEN
        manual_clock.tick(10)
        await asyncio.gather(dependency(), return_exceptions=True)
        assert breaker.stats().probes == 0

    async def test_one_that_is_interrupted_gives_the_slot_back(
        self, manual_clock: ManualClock
    ) -> None:
        def interrupted(given: object) -> bool:
            raise KeyboardInterrupt

        breaker = make(manual_clock)
        await trip(breaker, manual_clock)
        breaker.policy.verdicts.failed_if = interrupted
        with pytest.raises(KeyboardInterrupt):
            await call(breaker)
        assert (state_of(breaker), breaker.stats().probes) == (State.HALF_OPEN, 0)

    async def test_a_retry_after_that_raises_changes_nothing(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, retry_after=lambda error: error.headers["Retry-After"])
        await trip(breaker, manual_clock)
        await fail(breaker)
        assert breaker.explain().probe_in == 20.0


def rejections_alive() -> int:
    return sum(isinstance(each, CircuitOpenError) for each in gc.get_objects())


class TestRejections:
    async def test_each_is_fresh_and_says_who_and_when(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        await fail(breaker, 2)
        manual_clock.tick(4)
        with pytest.raises(CircuitOpenError) as one:
            await call(breaker)
        with pytest.raises(CircuitOpenError) as two:
            await call(breaker)
        assert one.value is not two.value
        assert str(one.value) == "circuit 'upstream' is open; try again in 6 s"
        fields = {"name": "upstream", "key": None, "retry_after": 6.0, "state": "open"}
        assert one.value.fields() == fields
        assert isinstance(one.value, Rejected)
        copy = pickle.loads(pickle.dumps(one.value))
        assert (str(copy), copy.fields()) == (str(one.value), fields)

    async def test_two_hundred_in_a_row_grow_no_traceback_and_keep_nothing_alive(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)
        await fail(breaker, 2)
        depths, chained = set(), set()
        gc.collect()
        before = rejections_alive()
        gc.disable()  # what is not freed without it is part of a cycle
        try:
            for _ in range(200):
                try:
                    await call(breaker)
                except CircuitOpenError as error:
                    depth, trace = 0, error.__traceback__
                    while trace is not None:
                        depth, trace = depth + 1, trace.tb_next
                    depths.add(depth)
                    chained.add(error.__cause__ or error.__context__)
            after = rejections_alive()
        finally:
            gc.enable()
        assert (len(depths), chained) == (1, {None})
        assert after == before

    async def test_a_failure_is_not_kept_alive_by_the_breaker(
        self, manual_clock: ManualClock
    ) -> None:
        breaker, error = make(manual_clock), DependencyError()
        for _ in range(2):
            with pytest.raises(DependencyError):
                await call(breaker, error)
        error.__traceback__ = None
        gc.collect()
        assert sys.getrefcount(error) == 2


class TestWhoseStateItIs:
    async def test_functions_under_one_breaker_share_it_and_one_function_has_no_state(
        self, manual_clock: ManualClock
    ) -> None:
        """State belongs to the object, never to the function: its id may be another's later."""
        one, two = make(manual_clock), make(manual_clock)

        async def dependency() -> None:
            raise DependencyError

        first, second = one(dependency), two(dependency)
        for _ in range(2):
            with pytest.raises(DependencyError):
                await first()
        assert (state_of(one), state_of(two)) == (State.OPEN, State.CLOSED)
        with pytest.raises(DependencyError):
            await second()
        with pytest.raises(CircuitOpenError):
            await call(one)
        fresh = make(manual_clock)  # of the same name
        assert await call(fresh) == "answer"


class TestContextManagers:
    async def test_one_made_of_a_guarded_generator_counts_as_a_block_does(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)

        @asynccontextmanager
        @breaker
        async def session() -> AsyncIterator[str]:
            yield "session"

        async with session() as given:
            assert given == "session"
        for _ in range(2):
            with pytest.raises(DependencyError):
                async with session():
                    raise DependencyError
        assert (state_of(breaker), breaker.stats().successes) == (State.OPEN, 1)
        with pytest.raises(CircuitOpenError):
            await session().__aenter__()


async def test_a_listener_that_ends_the_process_keeps_no_probes_slot(
    manual_clock: ManualClock,
) -> None:
    breaker = make(manual_clock)
    await trip(breaker, manual_clock)

    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    unsubscribe = breaker.events.subscribe(stop)
    with pytest.raises(KeyboardInterrupt):
        breaker.admit()
    unsubscribe()
    assert breaker.admit().probe


@pytest.mark.parametrize("mode", ["enabled", "shadow"])
async def test_a_listener_that_isolates_what_half_opens_lets_no_probe_through(
    mode: str, manual_clock: ManualClock
) -> None:
    breaker = make(manual_clock, mode=mode)
    await fail(breaker, 2)
    manual_clock.tick(10)

    def isolate(event: Event) -> None:
        if isinstance(event, CircuitHalfOpened):
            breaker.isolate("not before the maintenance is over")

    breaker.events.subscribe(isolate)
    if mode == "shadow":
        assert await call(breaker) == "answer"
        return
    with pytest.raises(CircuitOpenError) as caught:
        await call(breaker)
    assert caught.value.state == "isolated"
    assert breaker.stats().successes == 0
