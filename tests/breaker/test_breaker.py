"""The circuit breaker, as its users see it."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any, assert_type

import pytest

from mobius_infra.breaker import (
    BreakerConfig,
    CircuitBreaker,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitIsolated,
    CircuitOpened,
    CircuitOpenError,
    Outcome,
    State,
)
from mobius_infra.core import ConfigurationError, Event, Rejected
from mobius_infra.testing import ManualClock


class DependencyError(Exception):
    pass


def make(clock: ManualClock, **options: Any) -> CircuitBreaker:
    """A breaker that opens after two failures in a row, for exactly ten seconds."""
    given = {"consecutive_failures": 2, "failure_rate": None, "open_for": 10.0, **options}
    return CircuitBreaker("upstream", clock=clock, draw=lambda: 1.0, **given)


def state_of(breaker: CircuitBreaker) -> State:
    """Read the state anew: the type checker would take an attribute's value for settled."""
    return breaker.state


async def call(breaker: CircuitBreaker, error: BaseException | None = None) -> str:
    @breaker
    async def dependency() -> str:
        if error is not None:
            raise error
        return "answer"

    return await dependency()


async def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(DependencyError):
            await call(breaker, DependencyError())


async def test_it_opens_after_failures_in_a_row_and_a_success_starts_the_count_anew(
    manual_clock: ManualClock,
) -> None:
    breaker = make(manual_clock)
    await fail(breaker)
    await call(breaker)
    await fail(breaker)
    assert state_of(breaker) is State.CLOSED
    await fail(breaker)
    assert state_of(breaker) is State.OPEN


async def test_it_opens_when_enough_of_enough_calls_failed(manual_clock: ManualClock) -> None:
    breaker = make(
        manual_clock, consecutive_failures=None, failure_rate=0.5, window=4, minimum_calls=4
    )
    await fail(breaker, 2)
    await call(breaker)
    assert state_of(breaker) is State.CLOSED  # two of three, but three are not enough
    await call(breaker)  # two of four: a success never opens
    await call(breaker)  # one of four
    await fail(breaker)  # one of four: the oldest failure has left
    assert state_of(breaker) is State.CLOSED
    await fail(breaker)
    assert state_of(breaker) is State.OPEN


async def test_a_rejection_is_fresh_and_says_when_to_try_again(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    await fail(breaker, 2)
    manual_clock.tick(4)
    with pytest.raises(
        CircuitOpenError, match="circuit 'upstream' is open; try again in 6 s"
    ) as one:
        await call(breaker)
    with pytest.raises(CircuitOpenError) as two:
        await call(breaker)
    assert one.value is not two.value
    assert one.value.fields() == {"name": "upstream", "retry_after": 6.0, "state": "open"}
    assert isinstance(one.value, Rejected)


async def test_two_hundred_rejections_do_not_grow_a_traceback(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    await fail(breaker, 2)
    lengths = set()
    for _ in range(200):
        with pytest.raises(CircuitOpenError) as caught:
            await call(breaker)
        depth, trace = 0, caught.value.__traceback__
        while trace is not None:
            depth, trace = depth + 1, trace.tb_next
        lengths.add(depth)
    assert len(lengths) == 1
    del caught, trace
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, CircuitOpenError)]


async def test_it_recovers_and_tells_each_step(manual_clock: ManualClock) -> None:
    breaker, heard = make(manual_clock), list[Event]()
    breaker.events.subscribe(heard.append)
    await fail(breaker, 2)
    manual_clock.tick(10)
    assert await call(breaker) == "answer"
    assert state_of(breaker) is State.CLOSED
    start = manual_clock.time() - 10
    assert heard == [
        CircuitOpened(source="upstream", at=start, reason="2 failures in a row", open_for=10.0),
        CircuitHalfOpened(source="upstream", at=start + 10),
        CircuitClosed(source="upstream", at=start + 10, was_open_for=10.0),
    ]


async def test_each_opening_without_having_closed_doubles_the_pause_up_to_the_bound(
    manual_clock: ManualClock,
) -> None:
    breaker = make(manual_clock, open_for_max=35.0)
    await fail(breaker, 2)
    pauses = []
    for _ in range(4):
        before = manual_clock.monotonic()
        while state_of(breaker) is State.OPEN:
            manual_clock.tick(1)
            with pytest.raises((CircuitOpenError, DependencyError)) as caught:
                await call(breaker, DependencyError())
            if caught.type is DependencyError:
                break
        pauses.append(manual_clock.monotonic() - before)
    assert pauses == [10, 20, 35, 35]


async def test_pauses_are_jittered_after_the_clamp(manual_clock: ManualClock) -> None:
    draws = iter([0.0, 0.5, 0.25])
    breaker = CircuitBreaker(
        "x", consecutive_failures=1, open_for=60, open_for_max=60, clock=manual_clock,
        draw=lambda: next(draws),
    )  # fmt: skip
    heard: list[Event] = []
    breaker.events.subscribe(heard.append)
    for _ in range(3):
        await fail(breaker)
        manual_clock.tick(60)
    pauses = [event.open_for for event in heard if isinstance(event, CircuitOpened)]
    assert pauses == [30.0, 45.0, 37.5]


async def test_fifty_calls_that_arrive_together_at_half_open_are_n_probes(
    manual_clock: ManualClock,
) -> None:
    breaker = make(manual_clock, permits=3, successes=3)
    await fail(breaker, 2)
    manual_clock.tick(10)
    gate, reached = asyncio.Event(), 0

    @breaker
    async def dependency() -> None:
        nonlocal reached
        reached += 1
        await gate.wait()

    calls = [asyncio.create_task(dependency()) for _ in range(50)]
    await manual_clock.advance(0)
    assert reached == 3
    gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, CircuitOpenError) for each in results) == 47
    assert state_of(breaker) is State.CLOSED


async def test_a_late_end_of_an_older_generation_changes_nothing(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    gate = asyncio.Event()

    @breaker
    async def slow() -> None:
        await gate.wait()

    late = asyncio.create_task(slow())
    await manual_clock.advance(0)
    await fail(breaker, 2)
    gate.set()
    await late
    assert state_of(breaker) is State.OPEN  # a success from before does not close it
    manual_clock.tick(10)
    probe = breaker.admit()
    assert state_of(breaker) is State.HALF_OPEN
    with pytest.raises(CircuitOpenError):
        breaker.admit()  # and gave no slot back
    breaker.settle(probe, Outcome.SUCCESS)
    assert breaker.stats().successes == 2


async def test_a_permit_settles_once(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    permit = breaker.admit()
    for _ in range(5):
        breaker.settle(permit, Outcome.FAILURE)
    assert state_of(breaker) is State.CLOSED
    assert breaker.stats().failures == 1


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt(), SystemExit(),
        Rejected("full", name="bulkhead", retry_after=None), LookupError(),
    ],
    ids=repr,
)  # fmt: skip
async def test_what_says_nothing_neither_opens_nor_closes(
    error: BaseException, manual_clock: ManualClock
) -> None:
    breaker = make(manual_clock, ignored=LookupError)
    for _ in range(5):
        permit = breaker.admit()
        breaker.settle(permit, breaker.classify(error))
    assert state_of(breaker) is State.CLOSED
    await fail(breaker, 2)
    manual_clock.tick(10)
    probe = breaker.admit()
    breaker.settle(probe, breaker.classify(error))
    assert state_of(breaker) is State.HALF_OPEN  # the slot came back
    breaker.settle(breaker.admit(), Outcome.SUCCESS)
    assert state_of(breaker) is State.CLOSED


async def test_a_cancelled_call_gives_its_slot_back(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    await fail(breaker, 2)
    manual_clock.tick(10)

    @breaker
    async def hang() -> None:
        await asyncio.Event().wait()

    probe = asyncio.create_task(hang())
    await manual_clock.advance(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert await call(breaker) == "answer"
    assert breaker.stats().neutral == 1


async def test_a_probe_that_never_returns_counts_as_failed_after_its_lease(
    manual_clock: ManualClock,
) -> None:
    breaker = make(manual_clock, probe_timeout=30.0)
    await fail(breaker, 2)
    manual_clock.tick(10)
    breaker.admit()
    manual_clock.tick(29)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.admit()
    assert caught.value.retry_after == 1.0
    manual_clock.tick(1)
    with pytest.raises(CircuitOpenError, match="open"):
        breaker.admit()
    assert state_of(breaker) is State.OPEN
    manual_clock.tick(20)
    assert await call(breaker) == "answer"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ExceptionGroup("", [ValueError(), DependencyError()]), Outcome.FAILURE),
        (ExceptionGroup("", [ValueError(), ExceptionGroup("", [LookupError()])]), Outcome.SUCCESS),
        (BaseExceptionGroup("", [asyncio.CancelledError(), LookupError()]), Outcome.NEUTRAL),
        (ValueError(), Outcome.SUCCESS),
        (DependencyError(), Outcome.FAILURE),
    ],
)
def test_errors_are_classified_leaf_by_leaf(error: BaseException, outcome: Outcome) -> None:
    breaker = CircuitBreaker("x", failed_on=DependencyError, ignored=(LookupError,))
    assert breaker.classify(error) is outcome


async def test_a_result_can_be_a_failure_and_a_broken_predicate_leaks_no_slot(
    manual_clock: ManualClock,
) -> None:
    breaker = make(manual_clock, failed_if=lambda status: status // 100 == 5, permits=1)

    @breaker
    async def status(code: Any) -> Any:
        return code

    assert [await status(503), await status(500)] == [503, 500]
    assert state_of(breaker) is State.OPEN
    manual_clock.tick(10)
    with pytest.raises(TypeError):
        await status(None)
    assert state_of(breaker) is State.OPEN


async def test_it_guards_a_block_in_many_tasks_at_once(manual_clock: ManualClock) -> None:
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


async def test_isolated_by_hand_it_stays_open_until_reset(manual_clock: ManualClock) -> None:
    breaker, heard = make(manual_clock), list[Event]()
    breaker.events.subscribe(heard.append)
    breaker.isolate()
    manual_clock.tick(1_000_000)
    with pytest.raises(CircuitOpenError) as caught:
        await call(breaker)
    assert (caught.value.state, caught.value.retry_after) == ("isolated", None)
    assert breaker.explain() == "upstream is isolated: isolated by hand"
    breaker.reset()
    assert await call(breaker) == "answer"
    assert [type(event) for event in heard] == [CircuitIsolated, CircuitClosed]


async def test_it_explains_itself(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    await call(breaker)
    await fail(breaker)
    assert breaker.explain() == "upstream is closed: 1 of the last 2 calls failed"
    await fail(breaker)
    assert breaker.explain() == (
        "upstream is open: 2 failures in a row; it may let a call through in 10 s"
    )
    assert repr(breaker) == "CircuitBreaker('upstream', open)"


async def test_a_listener_that_raises_breaks_nothing(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)

    def broken(event: Event) -> None:
        raise RuntimeError

    breaker.events.subscribe(broken)
    await fail(breaker, 2)
    assert state_of(breaker) is State.OPEN


async def test_types_and_numbers_of_a_decorated_method() -> None:
    breaker = CircuitBreaker("x")

    class Client:
        @breaker
        async def get(self, path: str, *, limit: int = 1) -> list[str]:
            return [path] * limit

    assert_type(await Client().get("a", limit=2), list[str])
    assert breaker.stats().successes == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"failure_rate": 0.0}, "failure_rate"),
        ({"failure_rate": 1.1}, "failure_rate"),
        ({"failure_rate": float("nan")}, "failure_rate"),
        ({"failure_rate": None, "consecutive_failures": None}, "failure_rate"),
        ({"consecutive_failures": 0}, "consecutive_failures"),
        ({"window": 0}, "window"),
        ({"minimum_calls": 21}, "minimum_calls"),
        ({"minimum_calls": 0}, "minimum_calls"),
        ({"open_for": 0}, "open_for"),
        ({"open_for": float("nan")}, "open_for"),
        ({"open_for_max": 0.5}, "open_for_max"),
        ({"permits": 0}, "permits"),
        ({"successes": 0}, "successes"),
        ({"probe_timeout": -1}, "probe_timeout"),
    ],
)
def test_values_out_of_range_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CircuitBreaker(**{"name": "x", **options})
    assert caught.value.field == field


def test_it_is_built_from_settings() -> None:
    config = BreakerConfig.load({"name": "x", "window": 50, "open_for": 0.5})
    breaker = CircuitBreaker.from_config(config, ignored=LookupError)
    assert breaker.classify(LookupError()) is Outcome.NEUTRAL
    with pytest.raises(ConfigurationError):
        CircuitBreaker.from_config(BreakerConfig.load({"name": "x", "window": 0}))


def test_a_sync_function_is_refused_at_decoration() -> None:
    breaker: Callable[..., Any] = CircuitBreaker("x")
    with pytest.raises(ConfigurationError, match="async def"):
        breaker(lambda: 1)
