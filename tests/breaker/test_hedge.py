import asyncio
import gc
from contextvars import ContextVar
from typing import Any, assert_type

import pytest

from mobius_infra.breaker import CircuitBreaker, HedgeConfig, Percentile, RetryBudget, hedge
from mobius_infra.breaker._deadline import deadline
from mobius_infra.core import ConfigurationError, samples
from mobius_infra.testing import ManualClock


class UpstreamError(Exception):
    pass


class Upstream:
    """Answers each attempt after so many seconds, or fails; remembers what became of each."""

    def __init__(self, clock: ManualClock, *script: tuple[float, object]) -> None:
        self.clock = clock
        self.script = script
        self.began: list[float] = []
        self.ended: dict[int, str] = {}

    async def ask(self) -> object:
        number = len(self.began)
        self.began.append(self.clock.monotonic())
        seconds, answer = self.script[number]
        try:
            await self.clock.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # what ends takes a turn for it
            self.ended[number] = "cancelled"
            raise
        self.ended[number] = "answered"
        if isinstance(answer, BaseException):
            raise answer
        return answer


def tasks() -> int:
    return len(asyncio.all_tasks())


async def test_a_call_that_is_not_late_is_made_once(manual_clock: ManualClock) -> None:
    upstream = Upstream(manual_clock, (1.0, "first"))
    late = hedge(after=2.0, clock=manual_clock)
    call = asyncio.create_task(late(upstream.ask)())
    await manual_clock.advance(1)
    assert await call == "first"
    await manual_clock.advance(10)
    assert upstream.began == [0.0]
    assert manual_clock.sleepers == 0
    stats = late.stats()
    assert (stats.calls, stats.attempts, stats.won) == (1, 0, 0)


async def test_the_second_attempt_answers_and_the_first_is_ended(manual_clock: ManualClock) -> None:
    upstream = Upstream(manual_clock, (10.0, "first"), (1.0, "second"))
    late = hedge(after=2.0, clock=manual_clock)
    call = asyncio.create_task(late(upstream.ask)())
    await manual_clock.advance(3)
    assert await call == "second"
    assert upstream.began == [0.0, 2.0]
    assert upstream.ended == {0: "cancelled", 1: "answered"}
    assert call.cancelling() == 0
    assert (late.stats().attempts, late.stats().won) == (1, 1)
    assert (tasks(), manual_clock.sleepers) == (1, 0)


async def test_the_first_attempt_answers_and_the_second_is_ended(manual_clock: ManualClock) -> None:
    upstream = Upstream(manual_clock, (3.0, "first"), (10.0, "second"))
    late = hedge(after=2.0, clock=manual_clock)
    call = asyncio.create_task(late(upstream.ask)())
    await manual_clock.advance(3)
    assert await call == "first"
    assert upstream.ended == {0: "answered", 1: "cancelled"}
    assert (late.stats().attempts, late.stats().won) == (1, 0)
    assert (tasks(), manual_clock.sleepers) == (1, 0)


async def test_attempts_follow_each_other_up_to_the_most(manual_clock: ManualClock) -> None:
    upstream = Upstream(manual_clock, *[(10.0, number) for number in range(4)])
    late = hedge(after=2.0, most=3, budget=RetryBudget(9), clock=manual_clock)
    call = asyncio.create_task(late(upstream.ask)())
    await manual_clock.advance(10)
    assert await call == 0
    assert upstream.began == [0.0, 2.0, 4.0, 6.0]
    assert upstream.ended == {0: "answered", 1: "cancelled", 2: "cancelled", 3: "cancelled"}


async def test_a_failure_before_the_delay_is_raised_at_once(manual_clock: ManualClock) -> None:
    error = UpstreamError()
    upstream = Upstream(manual_clock, (1.0, error))
    call = asyncio.create_task(hedge(after=2.0, clock=manual_clock)(upstream.ask)())
    await manual_clock.advance(1)
    with pytest.raises(UpstreamError) as caught:
        await call
    assert caught.value is error
    assert manual_clock.sleepers == 0


async def test_the_first_fails_while_the_second_is_under_way(manual_clock: ManualClock) -> None:
    upstream = Upstream(manual_clock, (3.0, UpstreamError()), (5.0, "second"))
    call = asyncio.create_task(hedge(after=2.0, clock=manual_clock)(upstream.ask)())
    await manual_clock.advance(7)
    assert await call == "second"
    assert tasks() == 1


async def test_a_winner_need_not_be_the_last_that_runs(manual_clock: ManualClock) -> None:
    upstream = Upstream(manual_clock, (3.0, UpstreamError()), (50.0, "second"), (2.0, "third"))
    late = hedge(after=1.0, most=2, budget=RetryBudget(9), clock=manual_clock)
    call = asyncio.create_task(late(upstream.ask)())
    await manual_clock.advance(4)
    assert await call == "third"
    assert upstream.ended == {0: "answered", 1: "cancelled", 2: "answered"}


async def test_none_is_begun_once_one_has_won(manual_clock: ManualClock) -> None:
    begun: list[object] = []

    async def ask() -> str:
        begun.append(asyncio.current_task())
        if asyncio.current_task() is not call:
            return "second"
        try:
            await asyncio.Event().wait()
        finally:
            await manual_clock.sleep(100)  # takes its time to end
        return "first"

    late = hedge(after=1.0, most=5, budget=RetryBudget(9), clock=manual_clock)
    call = asyncio.create_task(late(ask)())
    await manual_clock.advance(101)
    assert await call == "second"
    assert len(begun) == 2


async def test_a_second_attempt_that_fails_leaves_the_first_alone(
    manual_clock: ManualClock,
) -> None:
    upstream = Upstream(manual_clock, (5.0, "first"), (1.0, UpstreamError()))
    call = asyncio.create_task(hedge(after=2.0, clock=manual_clock)(upstream.ask)())
    await manual_clock.advance(5)
    assert await call == "first"


@pytest.mark.parametrize("first_takes", [3.0, 5.0], ids=["first fails first", "second fails first"])
async def test_if_all_fail_the_first_error_is_raised_with_the_others_as_notes(
    first_takes: float, manual_clock: ManualClock
) -> None:
    error = UpstreamError("one")
    upstream = Upstream(
        manual_clock, (first_takes, error), (2.0, UpstreamError("two")), (1.0, LookupError())
    )
    late = hedge(after=1.0, most=2, budget=RetryBudget(9), name="prices", clock=manual_clock)
    call = asyncio.create_task(late(upstream.ask)())
    await manual_clock.advance(5)
    with pytest.raises(UpstreamError) as caught:
        await call
    assert caught.value is error
    if first_takes == 3.0:
        assert sorted(error.__notes__) == [
            "hedge 'prices': attempt 2 failed too: UpstreamError('two')",
            "hedge 'prices': attempt 3 failed too: LookupError()",
        ]
    assert tasks() == 1


async def test_an_attempt_that_cancels_itself_has_failed(manual_clock: ManualClock) -> None:
    upstream = Upstream(manual_clock, (5.0, UpstreamError()), (5.0, asyncio.CancelledError()))
    call = asyncio.create_task(hedge(after=2.0, clock=manual_clock)(upstream.ask)())
    await manual_clock.advance(9)
    with pytest.raises(UpstreamError) as caught:
        await call
    assert caught.value.__notes__ == ["hedge 'hedge': attempt 2 was cancelled"]


@pytest.mark.parametrize("at", [1.0, 3.0, 6.0], ids=["one runs", "both run", "the second runs"])
async def test_cancellation_ends_all_and_waits_for_them(
    at: float, manual_clock: ManualClock
) -> None:
    upstream = Upstream(manual_clock, (5.0, UpstreamError()), (50.0, "second"))
    call = asyncio.create_task(hedge(after=2.0, clock=manual_clock)(upstream.ask)())
    await manual_clock.advance(at)
    call.cancel("by me")
    with pytest.raises(asyncio.CancelledError):
        await call
    assert tasks() == 1
    assert list(upstream.ended.values()).count("cancelled") == (2 if at == 3.0 else 1)
    assert manual_clock.sleepers == 0


async def test_cancellation_that_meets_a_victory_is_not_taken_back(
    manual_clock: ManualClock,
) -> None:
    upstream = Upstream(manual_clock, (10.0, "first"), (1.0, "second"))
    call = asyncio.create_task(hedge(after=2.0, clock=manual_clock)(upstream.ask)())
    await manual_clock.advance(2)
    while len(upstream.ended) == 0:  # the second has answered in this turn, the first has to end
        manual_clock.tick(0.5)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()
    assert tasks() == 1


async def test_cancellation_while_the_losers_end_waits_for_them_and_passes(
    manual_clock: ManualClock,
) -> None:
    ended = asyncio.Event()

    async def ask() -> str:
        if asyncio.current_task() is call:
            await manual_clock.sleep(3)
            return "first"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await ended.wait()
            raise
        return ""

    call = asyncio.create_task(hedge(after=2.0, clock=manual_clock)(ask)())
    await manual_clock.advance(3)
    assert not call.done()  # it waits for the loser
    for _ in range(2):
        call.cancel()
        await manual_clock.advance(0)
        assert not call.done()
    ended.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert tasks() == 1


@pytest.mark.parametrize("then", ["returns", "raises"])
async def test_a_first_attempt_that_does_not_heed_its_end_changes_nothing(
    then: str, manual_clock: ManualClock
) -> None:
    async def ask() -> str:
        if asyncio.current_task() is not call:
            return "second"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if then == "raises":
                raise UpstreamError from None
        return "first"

    async def calling() -> object:
        answer = await hedge(after=2.0, clock=manual_clock)(ask)()
        await asyncio.sleep(0)  # would be cancelled if the request had not been taken back
        return answer

    call = asyncio.create_task(calling())
    await manual_clock.advance(2)
    assert await call == "second"
    assert call.cancelling() == 0


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
async def test_the_end_of_the_process_is_not_taken_for_the_end_of_the_first(
    end: type[BaseException], manual_clock: ManualClock
) -> None:
    async def ask() -> str:
        if asyncio.current_task() is not call:
            return "second"
        try:
            await asyncio.Event().wait()
        finally:
            raise end

    async def calling() -> object:
        try:
            return await hedge(after=2.0, clock=manual_clock)(ask)()
        except end:  # or it would end the test
            return "ended"

    call = asyncio.create_task(calling())
    await manual_clock.advance(2)
    assert await call == "ended"


async def test_an_outer_timeout_is_still_a_timeout(manual_clock: ManualClock) -> None:
    async def ask() -> None:
        await asyncio.Event().wait()

    late = hedge(after=0.001)(ask)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await late()
    assert tasks() == 1


async def test_no_error_is_left_unretrieved(manual_clock: ManualClock) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    upstream = Upstream(manual_clock, (4.0, "first"), (1.0, UpstreamError()), (1.0, LookupError()))
    late = hedge(after=1.0, most=2, budget=RetryBudget(9), clock=manual_clock)
    call = asyncio.create_task(late(upstream.ask)())
    await manual_clock.advance(4)
    assert await call == "first"
    del call
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_a_call_that_is_thrown_away_leaves_no_attempt_running(
    manual_clock: ManualClock,
) -> None:
    upstream = Upstream(manual_clock, (50.0, "first"), (50.0, "second"))
    call = hedge(after=2.0, clock=manual_clock)(upstream.ask)()
    call.send(None)
    await manual_clock.advance(2)
    assert len(upstream.began) == 2
    call.close()
    await manual_clock.advance(0)
    assert tasks() == 1


async def test_attempts_draw_on_the_budget(manual_clock: ManualClock) -> None:
    budget = RetryBudget(0.5, floor=0.0, clock=manual_clock)
    late = hedge(after=1.0, budget=budget, clock=manual_clock)
    for _ in range(4):
        upstream = Upstream(manual_clock, (2.0, "first"), (2.0, "second"))
        call = asyncio.create_task(late(upstream.ask)())
        await manual_clock.advance(2)
        assert await call == "first"
    stats = late.stats()
    assert stats.attempts == 2  # of four calls
    assert stats.withheld == {"budget spent": 2, "not allowed": 0, "deadline": 0}
    assert budget.stats().withdrawn == 2


async def test_no_attempt_is_made_while_the_circuit_is_not_closed(
    manual_clock: ManualClock,
) -> None:
    breaker = CircuitBreaker("upstream", clock=manual_clock)
    upstream = Upstream(manual_clock, (5.0, "first"))
    late = hedge(after=2.0, breaker=breaker, clock=manual_clock)
    call = asyncio.create_task(late(upstream.ask)())
    breaker.isolate()
    await manual_clock.advance(5)
    assert await call == "first"
    assert late.stats().withheld["not allowed"] == 1


@pytest.mark.parametrize("answer", [False, True, None], ids=["no", "yes", "raises"])
async def test_a_function_may_forbid_attempts(
    answer: bool | None, manual_clock: ManualClock
) -> None:
    def when() -> bool:
        if answer is None:
            raise LookupError
        return answer

    upstream = Upstream(manual_clock, (5.0, "first"), (5.0, "second"))
    breaker = CircuitBreaker("upstream", clock=manual_clock)
    late = hedge(after=2.0, breaker=breaker, when=when, clock=manual_clock)
    call = asyncio.create_task(late(upstream.ask)())
    await manual_clock.advance(5)
    assert await call == "first"
    assert len(upstream.began) == (2 if answer else 1)
    assert late.stats().withheld["not allowed"] == (0 if answer else 1)


async def test_no_attempt_is_made_after_a_deadline(manual_clock: ManualClock) -> None:
    """The task that is told of a deadline need not be the one that it ends."""
    upstream = Upstream(manual_clock, (5.0, "first"))
    late = hedge(after=2.0, clock=manual_clock)
    async with deadline(1.0, clock=manual_clock):
        call = asyncio.create_task(late(upstream.ask)())
    await manual_clock.advance(5)
    assert await call == "first"
    assert late.stats().withheld["deadline"] == 1


async def test_attempts_see_the_context_of_the_call_and_not_each_others(
    manual_clock: ManualClock,
) -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    seen = []

    async def ask() -> None:
        seen.append(request.get())
        request.set("changed by an attempt")
        await manual_clock.sleep(10)

    async def calling() -> str:
        request.set("of the caller")
        await hedge(after=1.0, most=2, budget=RetryBudget(9), clock=manual_clock)(ask)()
        return request.get()

    call = asyncio.create_task(calling())
    await manual_clock.advance(10)
    assert seen == ["of the caller"] * 3
    assert await call == "changed by an attempt"  # by the first, as without a hedge


async def test_what_does_not_wait_runs_in_the_callers_task_and_costs_no_timer() -> None:
    async def ask() -> object:
        return asyncio.current_task()

    late = hedge(after=1.0)
    assert await late(ask)() is asyncio.current_task()
    assert await late.run(ask) is asyncio.current_task()


async def test_the_delay_can_be_measured(manual_clock: ManualClock) -> None:
    late = hedge(after=Percentile(0.9, minimum=64), clock=manual_clock)

    async def ask(seconds: float) -> None:
        await manual_clock.sleep(seconds)

    async def calls(*seconds: float) -> None:
        asking = [asyncio.create_task(late(ask)(each)) for each in seconds]
        await manual_clock.advance(max(seconds))
        await asyncio.gather(*asking)

    await calls(*[1.0] * 40, 5.0)
    assert late.stats().delay == float("inf")  # too little is known yet
    assert late.stats().attempts == 0
    await calls(*[1.0] * 23)
    assert late.stats().delay == pytest.approx(1.0, rel=0.1)
    await calls(4.0)
    assert late.stats().attempts == 1


async def test_the_measured_delay_hedges_the_share_that_it_names() -> None:
    """Losers count as what they had taken: the delay does not creep down with them."""
    clock = ManualClock(auto_jump=True, settle=5)
    late = hedge(after=Percentile(0.9), budget=RetryBudget(9, clock=clock), clock=clock)
    caller, calls = asyncio.current_task(), 2_000
    seconds = iter([0.1 * 100 ** (number * 377 % calls / calls) for number in range(calls)])

    async def ask() -> None:
        await clock.sleep(next(seconds) if asyncio.current_task() is caller else 0.01)

    for _ in range(calls):
        await late(ask)()
    assert late.stats().attempts / calls == pytest.approx(0.1, abs=0.025)


async def test_types_numbers_and_name() -> None:
    late = hedge(after=0.5, name="prices")

    class Client:
        @late
        async def get(self, path: str, *, limit: int = 1) -> list[str]:
            return [path] * limit

    assert_type(await Client().get("a", limit=2), list[str])
    assert repr(late) == "Hedge('prices', after=0.5, most=1)"
    names = {sample.name for sample in samples(late.stats())}
    assert names == {"calls", "attempts", "won", "withheld", "delay"}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"after": 0}, "after"),
        ({"after": -1.0}, "after"),
        ({"after": float("nan")}, "after"),
        ({"after": float("inf")}, "after"),
        ({"after": True}, "after"),
        ({"most": 0}, "most"),
        ({"most": 1.5}, "most"),
        ({"budget": 0.2}, "budget"),
        ({"breaker": "upstream"}, "breaker"),
        ({"when": True}, "when"),
        ({"name": ""}, "name"),
    ],
)
def test_values_out_of_range_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        hedge(**{"after": 1.0, **options})
    assert caught.value.field == field


@pytest.mark.parametrize("share", [0.0, 1.0, 95, float("nan"), True])
def test_a_percentile_is_a_share(share: float) -> None:
    with pytest.raises(ConfigurationError, match="share"):
        Percentile(share)


def test_a_percentile_needs_some_calls() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Percentile(0.9, minimum=0)
    assert caught.value.field == "minimum"


def test_it_is_built_from_settings() -> None:
    config = HedgeConfig.load({"name": "search", "after": {"share": 0.9}, "most": 2})
    assert repr(hedge(**config.options())) == (
        "Hedge('search', after=Percentile(share=0.9, minimum=100), most=2)"
    )
    assert HedgeConfig.load({"after": 0.05}).options()["after"] == 0.05
    with pytest.raises(ConfigurationError, match="after"):
        HedgeConfig.load({"after": {"share": 95}})
