"""The circuit breaker, as its users see it: detection, recovery, control."""

import asyncio
from typing import Any, assert_type

import pytest

from mobius_infra.breaker import (
    Backoff,
    Calls,
    CircuitBreaker,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitIsolated,
    CircuitOpened,
    CircuitOpenError,
    CircuitRecovering,
    CircuitWouldOpen,
    Mode,
    Outcome,
    RampUp,
    Rule,
    Seconds,
    State,
)
from mobius_infra.core import ConfigurationError, samples
from mobius_infra.testing import ManualClock
from tests.breaker.support import DependencyError, call, fail, hear, make, state_of, trip


class TestDetection:
    async def test_failures_in_a_row_open_it_and_a_success_starts_the_count_anew(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)
        await fail(breaker)
        await call(breaker)
        await fail(breaker)
        assert state_of(breaker) is State.CLOSED
        await fail(breaker)
        assert state_of(breaker) is State.OPEN

    async def test_enough_failures_of_enough_calls_open_it(self, manual_clock: ManualClock) -> None:
        breaker = make(
            manual_clock, consecutive_failures=None, failure_rate=0.5, window=Calls(4),
            minimum_calls=4,
        )  # fmt: skip
        await fail(breaker, 2)
        await call(breaker)
        assert state_of(breaker) is State.CLOSED  # two of three, but three are not enough
        await call(breaker)  # two of four: a success never opens
        await call(breaker)  # one of four
        await fail(breaker)  # one of four: the oldest failure has left
        assert state_of(breaker) is State.CLOSED
        await fail(breaker)
        assert state_of(breaker) is State.OPEN

    @pytest.mark.parametrize("calls", range(1, 41))
    async def test_a_rate_that_is_met_exactly_opens(
        self, calls: int, manual_clock: ManualClock
    ) -> None:
        """By division: 0.7 * 10 is more than 7 in floating point."""
        for failures in range(1, calls + 1):
            breaker = make(
                manual_clock, consecutive_failures=None, failure_rate=failures / calls,
                window=Calls(calls), minimum_calls=calls,
            )  # fmt: skip
            for number in range(calls):
                error = DependencyError() if number >= calls - failures else None
                outcome = Outcome.SUCCESS if error is None else Outcome.FAILURE
                breaker.settle(breaker.admit(), outcome)
            assert state_of(breaker) is State.OPEN

    async def test_a_window_of_seconds_forgets_by_time(self, manual_clock: ManualClock) -> None:
        breaker = make(
            manual_clock, consecutive_failures=None, failure_rate=0.5, window=Seconds(10.0),
            minimum_calls=2,
        )  # fmt: skip
        await fail(breaker)
        manual_clock.tick(9)
        assert breaker.stats().window_failures == 1
        manual_clock.tick(1)
        assert breaker.stats().window_failures == 0
        await fail(breaker)
        assert state_of(breaker) is State.CLOSED
        await fail(breaker)
        assert state_of(breaker) is State.OPEN

    @pytest.mark.parametrize("options", [{}, {"failed_if": lambda result: False}], ids=" ".join)
    async def test_slow_answers_open_it(
        self, options: dict[str, Any], manual_clock: ManualClock
    ) -> None:
        breaker = make(
            manual_clock, consecutive_failures=None, slow_rate=0.5, slow_after=2.0,
            window=Calls(4), minimum_calls=2, **options,
        )  # fmt: skip

        @breaker
        async def take(seconds: float) -> None:
            manual_clock.tick(seconds)

        await take(2.0)
        assert breaker.stats().slow == 0  # as long as that, but not longer
        await take(2.5)
        assert state_of(breaker) is State.OPEN
        assert str(breaker.explain()).startswith(
            "upstream is open: 1 of the last 2 calls took over 2 s"
        )
        manual_clock.tick(10)
        await take(2.5)  # a slow probe has not shown that it is well
        assert state_of(breaker) is State.OPEN
        opening = breaker.explain().opening
        assert opening is not None
        assert opening.rule is Rule.PROBE_SLOW

    async def test_any_of_its_rules_opens_it(self, manual_clock: ManualClock) -> None:
        options: dict[str, Any] = {
            "consecutive_failures": 3, "failure_rate": 0.5, "slow_rate": 0.5, "slow_after": 1.0,
            "window": Calls(4), "minimum_calls": 4,
        }  # fmt: skip
        bad, good = Outcome.FAILURE, Outcome.SUCCESS
        for story, rule in (
            ([bad, bad, bad], Rule.CONSECUTIVE_FAILURES),
            ([bad, good, good, bad], Rule.FAILURE_RATE),
        ):
            breaker = make(manual_clock, **options)
            for outcome in story:
                breaker.settle(breaker.admit(), outcome)
            opening = breaker.explain().opening
            assert opening is not None
            assert opening.rule is rule

    async def test_a_slow_success_starts_the_count_anew_and_a_slow_cancellation_does_not(
        self, manual_clock: ManualClock
    ) -> None:
        for outcome, state in (
            (Outcome.SUCCESS, State.CLOSED),
            (Outcome.CANCELLED, State.OPEN),
        ):
            breaker = make(manual_clock, slow_rate=1.0, slow_after=1.0)
            await fail(breaker)
            permit = breaker.admit()
            manual_clock.tick(2)
            breaker.settle(permit, outcome)
            assert breaker.stats().window_slow == 1
            await fail(breaker)
            assert state_of(breaker) is state

    async def test_a_result_can_be_a_failure(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock, failed_if=lambda status: status >= 500)

        @breaker
        async def status(code: int) -> int:
            return code

        assert [await status(200), await status(503), await status(500)] == [200, 503, 500]
        assert state_of(breaker) is State.OPEN
        assert (breaker.stats().successes, breaker.stats().failures) == (1, 2)

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (ExceptionGroup("", [ValueError(), DependencyError()]), Outcome.FAILURE),
            (ExceptionGroup("", [ValueError(), ExceptionGroup("", [LookupError()])]),
             Outcome.SUCCESS),
            (BaseExceptionGroup("", [GeneratorExit(), LookupError()]), Outcome.NEUTRAL),
            (BaseExceptionGroup("", [asyncio.CancelledError(), LookupError()]), Outcome.CANCELLED),
            (ValueError(), Outcome.SUCCESS),
            (DependencyError(), Outcome.FAILURE),
            (type("OwnExit", (BaseException,), {})(), Outcome.NEUTRAL),
        ],
    )  # fmt: skip
    def test_errors_are_classified_leaf_by_leaf(
        self, error: BaseException, outcome: Outcome
    ) -> None:
        breaker = CircuitBreaker("x", failed_on=DependencyError, ignored=(LookupError,))
        assert breaker.classify(error) is outcome

    def test_a_group_may_be_nested_deeper_than_the_stack(self) -> None:
        error: Exception = DependencyError()
        for _ in range(10_000):
            error = ExceptionGroup("", [error])
        assert CircuitBreaker("x").classify(error) is Outcome.FAILURE

    def test_errors_may_be_told_by_a_function(self) -> None:
        breaker = CircuitBreaker(
            "x",
            failed_on=lambda error: "refused" in str(error),
            ignored=lambda error: isinstance(error, LookupError),
        )
        outcomes = map(breaker.classify, (OSError("refused"), OSError("eof"), KeyError("refused")))
        assert list(outcomes) == [Outcome.FAILURE, Outcome.SUCCESS, Outcome.NEUTRAL]


class TestRecovery:
    async def test_it_recovers_and_tells_each_step(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        heard = hear(breaker)
        await trip(breaker, manual_clock)
        assert await call(breaker) == "answer"
        assert state_of(breaker) is State.CLOSED
        start = manual_clock.time() - 10
        assert heard == [
            CircuitOpened(
                source="upstream", at=start, rule=Rule.CONSECUTIVE_FAILURES,
                reason="2 failures in a row", open_for=10.0,
            ),
            CircuitHalfOpened(source="upstream", at=start + 10),
            CircuitClosed(source="upstream", at=start + 10, was_open_for=10.0),
        ]  # fmt: skip

    async def test_each_opening_without_having_closed_doubles_the_pause_up_to_the_bound(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, backoff=Backoff(10.0, 35.0))
        heard = hear(breaker)
        await fail(breaker, 2)
        for _ in range(3):
            manual_clock.tick(breaker.explain().probe_in or 0.0)
            await fail(breaker)
        opened = [each.open_for for each in heard if isinstance(each, CircuitOpened)]
        assert opened == [10, 20, 35, 35]
        manual_clock.tick(35)
        await call(breaker)
        await fail(breaker, 2)
        assert breaker.explain().probe_in == 10.0  # having closed, it begins anew

    async def test_pauses_are_jittered_after_the_clamp(self, manual_clock: ManualClock) -> None:
        draws = iter([0.0, 0.5, 0.25])
        breaker = make(
            manual_clock, consecutive_failures=1, backoff=Backoff(60, 60),
            draw=lambda: next(draws),
        )  # fmt: skip
        heard = hear(breaker)
        for _ in range(3):
            await fail(breaker)
            manual_clock.tick(60)
        opened = [each.open_for for each in heard if isinstance(each, CircuitOpened)]
        assert opened == [60.0, 30.0, 45.0]

    async def test_decorrelated_pauses_grow_from_the_last_one(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(
            manual_clock, consecutive_failures=1, draw=lambda: 0.5,
            backoff=Backoff(1.0, 60.0, jitter="decorrelated"),
        )  # fmt: skip
        pauses = []
        for _ in range(3):
            await fail(breaker)
            pauses.append(breaker.explain().probe_in)
            manual_clock.tick(60)
        assert pauses == [2.0, 3.5, 5.75]  # halfway from 1 to 3, 6 and 10.5

    async def test_what_the_dependency_asks_for_wins_over_the_backoff_up_to_its_bound(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, retry_after=lambda error: getattr(error, "after", None))
        error = DependencyError()
        for after, pause in ((3.0, 3.0), (500.0, 40.0), (float("nan"), 40.0), (-1.0, 40.0)):
            error.after = after  # type: ignore[attr-defined]  # as errors of HTTP clients have it
            while state_of(breaker) is not State.OPEN:
                with pytest.raises(DependencyError):
                    await call(breaker, error)
            assert breaker.explain().probe_in == pause
            manual_clock.tick(pause)
            assert breaker.explain().probe_in == 0.0
            with pytest.raises(DependencyError):
                await call(breaker, error)
            manual_clock.tick(40)
            breaker.settle(breaker.admit(), Outcome.NEUTRAL)

    async def test_what_an_earlier_failure_asked_for_still_holds(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)
        breaker.settle(breaker.admit(), Outcome.FAILURE, hold=30.0)
        manual_clock.tick(1)
        breaker.settle(breaker.admit(), Outcome.FAILURE)
        assert breaker.explain().probe_in == 29.0
        breaker.reset()  # and is forgotten with the rest
        await fail(breaker, 2)
        assert breaker.explain().probe_in == 10.0

    async def test_a_result_can_say_when_to_come_back(self, manual_clock: ManualClock) -> None:
        breaker = make(
            manual_clock, consecutive_failures=1, failed_if=lambda answer: answer["status"] == 429,
            retry_after=lambda answer: answer["after"],
        )  # fmt: skip

        @breaker
        async def ask() -> dict[str, int]:
            return {"status": 429, "after": 7}

        await ask()
        assert breaker.explain().probe_in == 7.0

    async def test_it_closes_after_as_many_successes_as_asked_for(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, permits=1, successes=3)
        await trip(breaker, manual_clock)
        for _ in range(2):
            await call(breaker)
            assert state_of(breaker) is State.HALF_OPEN
        await call(breaker)
        assert state_of(breaker) is State.CLOSED

    async def test_a_ramp_up_lets_a_growing_share_through_and_then_all(
        self, manual_clock: ManualClock
    ) -> None:
        draws = [0.0]
        breaker = make(manual_clock, ramp_up=RampUp(10.0, start=0.1), draw=lambda: draws[-1])
        heard = hear(breaker)
        await trip(breaker, manual_clock)
        await call(breaker)
        assert state_of(breaker) is State.RECOVERING
        for elapsed, share in ((0.0, 0.1), (5.0, 0.55), (4.0, 0.91)):
            manual_clock.tick(elapsed)
            draws.append(share - 0.001)
            assert await call(breaker) == "answer"
            draws.append(share + 0.001)
            with pytest.raises(CircuitOpenError, match="is recovering") as caught:
                await call(breaker)
        assert caught.value.retry_after == 1.0
        assert "it lets 91% through" in str(breaker.explain())
        manual_clock.tick(1.0)
        draws.append(0.999)
        assert await call(breaker) == "answer"
        assert state_of(breaker) is State.CLOSED
        kinds = [CircuitOpened, CircuitHalfOpened, CircuitRecovering, CircuitClosed]
        assert [type(each) for each in heard] == kinds

    async def test_a_ramp_up_is_aborted_by_the_rules_and_the_pause_goes_on_growing(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(
            manual_clock, consecutive_failures=None, failure_rate=0.5, window=Calls(4),
            minimum_calls=4, ramp_up=RampUp(10.0, start=1.0),
        )  # fmt: skip
        await fail(breaker, 4)
        manual_clock.tick(10)
        await call(breaker)
        await call(breaker)
        await call(breaker)
        await fail(breaker, 2)
        assert state_of(breaker) is State.OPEN
        assert breaker.explain().probe_in == 20.0

    async def test_what_the_ramp_up_counted_still_counts_when_it_is_over(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, ramp_up=RampUp(10.0, start=1.0))
        await trip(breaker, manual_clock)
        await call(breaker)
        late = breaker.admit()
        await fail(breaker)
        manual_clock.tick(10)
        breaker.settle(late, Outcome.FAILURE)
        assert state_of(breaker) is State.OPEN


class TestControl:
    async def test_isolated_by_hand_it_stays_open_until_reset(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock)
        heard = hear(breaker)
        breaker.isolate("maintenance")
        manual_clock.tick(1_000_000)
        with pytest.raises(CircuitOpenError) as caught:
            await call(breaker)
        assert (caught.value.state, caught.value.retry_after) == ("isolated", None)
        assert str(breaker.explain()) == (
            "upstream is isolated: maintenance; it stays so until it is reset"
        )
        breaker.reset()
        assert await call(breaker) == "answer"
        assert [type(event) for event in heard] == [CircuitIsolated, CircuitClosed]

    async def test_reset_forgets_what_was_counted(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        await fail(breaker)
        breaker.reset()
        await fail(breaker)
        assert state_of(breaker) is State.CLOSED

    async def test_in_shadow_mode_it_rejects_nobody_and_says_what_it_would_have_done(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, mode="shadow")
        heard = hear(breaker)
        await fail(breaker, 5)
        assert state_of(breaker) is State.CLOSED
        stats = breaker.stats()
        assert (stats.failures, stats.would_open, stats.would_reject) == (5, 1, 3)
        assert (stats.opened, stats.rejected, stats.state) == (0, 0, "closed")
        assert str(breaker.explain()).startswith("upstream (shadow) is open: 2 failures in a row")
        manual_clock.tick(10)
        await call(breaker)
        assert breaker.explain().state is State.CLOSED
        assert [type(each) for each in heard] == [CircuitWouldOpen]

    async def test_disabled_it_counts_and_does_nothing_else(
        self, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, mode="disabled")
        heard = hear(breaker)
        await fail(breaker, 20)
        assert state_of(breaker) is State.CLOSED
        assert (breaker.stats().failures, heard) == (20, [])

    async def test_the_mode_can_be_changed_and_begins_anew(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        heard = hear(breaker)
        await fail(breaker, 2)
        breaker.mode = Mode.SHADOW
        assert await call(breaker) == "answer"
        await fail(breaker, 2)
        breaker.mode = Mode.ENABLED
        await fail(breaker)
        assert state_of(breaker) is State.CLOSED
        await fail(breaker)
        assert state_of(breaker) is State.OPEN
        kinds = [CircuitOpened, CircuitClosed, CircuitWouldOpen, CircuitOpened]
        assert [type(each) for each in heard] == kinds
        with pytest.raises(ConfigurationError, match="mode"):
            breaker.mode = "off"  # type: ignore[assignment]  # what is refused

    @pytest.mark.parametrize("mode", ["shadow", "disabled"])
    async def test_what_somebody_isolated_is_so_in_every_mode(
        self, mode: Any, manual_clock: ManualClock
    ) -> None:
        breaker = make(manual_clock, mode=mode)
        heard = hear(breaker)
        breaker.isolate()
        breaker.mode = Mode.DISABLED
        with pytest.raises(CircuitOpenError):
            await call(breaker)
        breaker.reset()
        assert await call(breaker) == "answer"
        assert [type(each) for each in heard] == [CircuitIsolated, CircuitClosed]

    async def test_it_explains_itself(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        await call(breaker)
        await fail(breaker)
        assert str(breaker.explain()) == "upstream is closed: 1 of the last 2 calls failed"
        await fail(breaker)
        manual_clock.tick(4)
        told = breaker.explain()
        assert str(told) == (
            "upstream is open: 2 failures in a row, the last by DependencyError; it may let a "
            "probe through in 6 s"
        )
        assert (told.lasted, told.probe_in, told.opening and told.opening.calls) == (4.0, 6.0, 3)
        manual_clock.tick(6)
        assert str(breaker.explain()).endswith("the next call will be a probe")
        probe = breaker.admit()
        assert str(breaker.explain()).endswith(
            "upstream is half-open: 2 failures in a row, the last by DependencyError; probes out: 1"
        )
        breaker.settle(probe, Outcome.FAILURE, cause="OSError")
        assert "a probe failed, the last by OSError (opening 2 in a row)" in str(breaker.explain())

    async def test_its_numbers_can_be_exported(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        await call(breaker)
        read = {each.name: each.value for each in samples(breaker.stats())}
        assert (read["successes"], read["state"], read["window_calls"]) == (1, "closed", 1)

    def test_its_repr_says_the_state(self, manual_clock: ManualClock) -> None:
        assert repr(make(manual_clock)) == "CircuitBreaker('upstream', closed)"
        assert (
            repr(make(manual_clock, mode="shadow")) == "CircuitBreaker('upstream', closed, shadow)"
        )
        assert repr(make(manual_clock).admit()) == "Permit(call of generation 0, settled=False)"


class TestUse:
    async def test_it_guards_a_block_in_many_tasks_at_once(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        gate = asyncio.Event()

        async def block(error: Exception | None) -> None:
            async with breaker, breaker:
                await gate.wait()
                if error is not None:
                    raise error

        tasks = [asyncio.create_task(block(error)) for error in (None, DependencyError(), None)]
        await manual_clock.advance(0)
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        stats = breaker.stats()
        assert (stats.successes, stats.failures) == (4, 2)

    async def test_a_block_can_settle_its_permit_itself(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)
        async with breaker as permit:
            breaker.settle(permit, Outcome.FAILURE)
        assert (breaker.stats().successes, breaker.stats().failures) == (0, 1)

    async def test_a_block_may_be_left_by_another_task_than_entered_it(
        self, manual_clock: ManualClock
    ) -> None:
        """As when the event loop closes an async generator that was forgotten half-way."""
        breaker = make(manual_clock)

        async def items() -> Any:
            async with breaker:
                yield 1
                yield 2

        stream = items()
        await asyncio.create_task(anext(stream))
        await asyncio.create_task(stream.aclose())
        assert breaker.stats().neutral == 1

    async def test_a_call_needs_no_decorator(self, manual_clock: ManualClock) -> None:
        breaker = make(manual_clock)

        async def add(a: int, *, b: int) -> int:
            return a + b

        assert_type(await breaker.call(add, 1, b=2), int)
        assert breaker.stats().successes == 1

    async def test_it_decorates_every_kind_of_method_and_keeps_their_types(self) -> None:
        breaker = CircuitBreaker("x")

        class Client:
            @breaker
            async def get(self, path: str, *, limit: int = 1) -> list[str]:
                return [path] * limit

            @classmethod
            @breaker
            async def make(cls) -> int:
                return 1

            @breaker
            @staticmethod
            async def ping() -> str:
                return "pong"

        assert_type(await Client().get("a", limit=2), list[str])
        assert_type(await Client.make(), int)
        assert_type(await Client.ping(), str)
        assert breaker.stats().successes == 3
