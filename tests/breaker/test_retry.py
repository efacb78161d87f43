"""Retry: what is tried again, when, how often, and what the caller gets in the end."""

import asyncio
import contextlib
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import FrozenInstanceError, dataclass
from datetime import timedelta
from typing import Any

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.breaker import (
    Backoff,
    CallTimeoutError,
    CircuitBreaker,
    CircuitOpenError,
    DeadlineExceededError,
    Retry,
    RetryBudget,
    RetryConfig,
    RetryStats,
    deadline,
    retry,
    timeout,
)
from mobius_infra.breaker._retry_rules import Course, GaveUp, Rules
from mobius_infra.core import ConfigurationError, Rejected
from mobius_infra.testing import ManualClock

STEADY = Backoff(first=1.0, most=60.0, jitter="none")
"""Pauses of 1, 2, 4 … seconds."""


class Flaky:
    """Fails as it is told, one entry a call, then answers; notes when it was called."""

    def __init__(self, clock: ManualClock, *failures: BaseException | str) -> None:
        self.clock = clock
        self.failures = list(failures)
        self.called: list[float] = []

    async def __call__(self) -> str:
        self.called.append(self.clock.monotonic())
        await asyncio.sleep(0)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, BaseException):
                raise failure
            return failure
        return "answer"


class FullError(Rejected):
    """A rejection that a user may name."""


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock(auto_jump=True)


Make = Callable[..., Retry]


@pytest.fixture
def again(manual_clock: ManualClock) -> Make:
    def make(on: Any = ConnectionError, **options: Any) -> Retry:
        return retry(on, clock=manual_clock, **{"wait": STEADY, **options})

    return make


def reasons(policy: Retry) -> dict[str, int]:
    return {reason: number for reason, number in policy.stats().gave_up.items() if number}


async def test_what_fails_for_a_moment_is_tried_again(
    again: Make, manual_clock: ManualClock
) -> None:
    flaky = Flaky(manual_clock, ConnectionError(1), ConnectionError(2))
    policy = again()
    assert await policy.run(flaky) == "answer"
    assert flaky.called == [0, 1, 3]
    assert policy.stats() == RetryStats(
        calls=1, retries=2, recovered=1, gave_up=dict.fromkeys(map(str, GaveUp), 0)
    )


async def test_the_last_error_is_raised_itself_with_a_note(
    again: Make, manual_clock: ManualClock
) -> None:
    errors = [ConnectionError(1), ConnectionError(2), ConnectionError(3)]
    policy = again(name="prices")
    with pytest.raises(ConnectionError, match="3") as caught:
        await policy.run(Flaky(manual_clock, *errors))
    assert caught.value is errors[2]
    assert caught.value.__notes__ == ["retry 'prices' gave up at attempt 3: no attempt is left"]
    assert caught.value.__context__ is None
    assert reasons(policy) == {"attempts": 1}


async def test_other_errors_pass_untouched(again: Make, manual_clock: ManualClock) -> None:
    error = KeyError("k")
    flaky = Flaky(manual_clock, error)
    with pytest.raises(KeyError) as caught:
        await again()(flaky)()
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert len(flaky.called) == 1


async def test_another_error_ends_the_retrying(again: Make, manual_clock: ManualClock) -> None:
    policy = again()
    flaky = Flaky(manual_clock, ConnectionError(1), KeyError("k"))
    with pytest.raises(KeyError) as caught:
        await policy.run(flaky)
    assert caught.value.__notes__ == [
        "retry 'retry' gave up at attempt 2: this error is not retried"
    ]
    assert reasons(policy) == {"permanent": 1}


@pytest.mark.parametrize(
    ("on", "error", "attempts"),
    [
        (LookupError, KeyError(), 3),
        ((ConnectionError, KeyError), KeyError(), 3),
        ((ConnectionError, KeyError), ValueError(), 1),
        (lambda error: "busy" in str(error), ValueError("busy"), 3),
        (lambda error: "busy" in str(error), ValueError("gone"), 1),
        (Exception, Rejected("no", name="n", retry_after=1.0), 1),
        (lambda _: True, Rejected("no", name="n", retry_after=1.0), 1),
        (Rejected, FullError("full", name="n", retry_after=1.0), 3),
        ((ConnectionError, FullError), FullError("full", name="n", retry_after=1.0), 3),
        ((Exception, FullError), Rejected("no", name="n", retry_after=1.0), 1),
        (
            ConnectionError,
            ExceptionGroup("all", [ConnectionError(), ExceptionGroup("in", [ConnectionError()])]),
            3,
        ),
        (ConnectionError, ExceptionGroup("one is permanent", [ConnectionError(), KeyError()]), 1),
        (
            Exception,
            ExceptionGroup("", [ConnectionError(), Rejected("", name="", retry_after=0)]),
            1,
        ),
    ],
)
async def test_what_is_retried(
    again: Make, manual_clock: ManualClock, on: Any, error: Exception, attempts: int
) -> None:
    flaky = Flaky(manual_clock, *[error] * 5)
    with pytest.raises(type(error)) as caught:
        await again(on).run(flaky)
    assert caught.value is error
    assert len(flaky.called) == attempts


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        SystemExit(),
        GeneratorExit(),
        BaseExceptionGroup("", [ConnectionError(), KeyboardInterrupt()]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("on", [Exception, lambda _: True], ids=["types", "predicate"])
def test_what_is_no_exception_is_never_retried(
    again: Make, manual_clock: ManualClock, error: BaseException, on: Any
) -> None:
    called = 0

    async def fails() -> None:
        nonlocal called
        called += 1
        raise error

    # Driven by hand: an event loop handles some of these itself.
    for call in (again(on)(fails), lambda: again(on).run(fails)):
        with pytest.raises(type(error)) as caught:
            call().send(None)
        assert caught.value is error
    assert called == 2


class StopNow(BaseException):
    """No `Exception`, and harmless to an event loop."""


@pytest.mark.parametrize("error", [asyncio.CancelledError(), StopNow()], ids=repr)
@pytest.mark.parametrize("on", [Exception, lambda _: True], ids=["types", "predicate"])
async def test_nor_does_a_later_attempt_retry_it(
    again: Make, manual_clock: ManualClock, error: BaseException, on: Any
) -> None:
    flaky = Flaky(manual_clock, ConnectionError(), error)
    policy = again(on)
    with pytest.raises(type(error)) as caught:
        await policy.run(flaky)
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert len(flaky.called) == 2
    assert reasons(policy) == {}


async def test_a_shared_policy_gives_each_concurrent_call_its_own_attempts(
    again: Make, manual_clock: ManualClock
) -> None:
    policy = again(attempts=3)
    shared = [Flaky(manual_clock, *[ConnectionError(i) for i in range(9)]) for _ in range(20)]
    results = await asyncio.gather(*(policy.run(flaky) for flaky in shared), return_exceptions=True)
    assert all(isinstance(each, ConnectionError) for each in results)
    assert [flaky.called for flaky in shared] == [[0, 1, 3]] * 20


async def test_results_are_retried_and_the_last_is_returned(
    again: Make, manual_clock: ManualClock
) -> None:
    policy = again(on_result=lambda result: result.startswith("busy"))
    assert await policy.run(Flaky(manual_clock, "busy1", ConnectionError(), "done")) == "done"
    assert await policy.run(Flaky(manual_clock, ConnectionError(), "busy2", "busy3")) == "busy3"
    assert reasons(policy) == {"attempts": 1}
    assert policy.stats().recovered == 1


@pytest.mark.parametrize(
    ("asked", "pauses"),
    [
        (5, 5),
        (0.25, 0.25),
        (0, 0),
        (timedelta(seconds=7), 7),
        (1000, 60),  # the cap
        (float("inf"), 1),
        (float("nan"), 1),
        (-3, 1),
        (True, 1),
        ("soon", 1),
        (None, 1),
    ],
    ids=repr,
)
async def test_what_the_error_asks_for_goes_before_the_backoff(
    again: Make, manual_clock: ManualClock, asked: Any, pauses: float
) -> None:
    error = ConnectionError()
    error.retry_after = asked  # type: ignore[attr-defined]  # as aiogram's and our errors have it
    flaky = Flaky(manual_clock, error)
    await again().run(flaky)
    assert flaky.called == [0, pauses]


async def test_of_a_group_the_longest_is_waited_for(again: Make, manual_clock: ManualClock) -> None:
    errors = [ConnectionError(), ConnectionError(), ConnectionError()]
    for error, asked in zip(errors, (3, 9, None), strict=True):
        error.retry_after = asked  # type: ignore[attr-defined]
    flaky = Flaky(manual_clock, ExceptionGroup("", errors))
    await again().run(flaky)
    assert flaky.called == [0, 9]


async def test_retry_after_is_read_as_the_user_says_of_results_too(
    again: Make, manual_clock: ManualClock
) -> None:
    policy = again(
        on_result=lambda result: result == "busy",
        retry_after=lambda failure: 4 if failure == "busy" else None,
        retry_after_max=3.0,
    )
    flaky = Flaky(manual_clock, "busy", ConnectionError())
    await policy.run(flaky)
    assert flaky.called == [0, 3, 5]


async def test_pauses_are_the_backoffs_with_full_jitter(manual_clock: ManualClock) -> None:
    draws = iter([0.25, 0.5, 0.75])
    flaky = Flaky(manual_clock, ConnectionError(), ConnectionError(), ConnectionError())
    await retry(ConnectionError, attempts=4, clock=manual_clock, draw=lambda: next(draws)).run(
        flaky
    )
    gaps = [later - earlier for earlier, later in zip(flaky.called, flaky.called[1:], strict=False)]
    assert gaps == pytest.approx([0.1 * 0.75, 0.2 * 0.5, 0.4 * 0.25])


async def test_a_decorrelated_pause_grows_from_the_one_before(
    again: Make, manual_clock: ManualClock
) -> None:
    wait = Backoff(first=1.0, most=20.0, jitter="decorrelated")
    flaky = Flaky(manual_clock, *[ConnectionError()] * 4)
    await again(wait=wait, attempts=9, draw=lambda: 0.5).run(flaky)
    assert len(flaky.called) == 5
    previous, at = 0.0, 0.0
    for now in flaky.called[1:]:
        previous = wait.pause(1, 0.5, previous)
        at += previous
        assert now == pytest.approx(at)


class TestTenacity:
    async def test_its_strategies_decide(self, again: Make, manual_clock: ManualClock) -> None:
        policy = again(stop=tenacity.stop_after_attempt(4), wait=tenacity.wait_incrementing(1, 2))
        flaky = Flaky(manual_clock, *[ConnectionError()] * 9)
        with pytest.raises(ConnectionError):
            await policy.run(flaky)
        assert flaky.called == [0, 1, 4, 9]

    async def test_its_times_are_ours(self, again: Make, manual_clock: ManualClock) -> None:
        manual_clock.tick(500)
        flaky = Flaky(manual_clock, *[ConnectionError()] * 9)
        policy = again(stop=tenacity.stop_after_delay(7) | tenacity.stop_after_attempt(9))
        with pytest.raises(ConnectionError):
            await policy.run(flaky)
        assert flaky.called == [500, 501, 503, 507]

    async def test_stop_before_delay_knows_the_pause(
        self, again: Make, manual_clock: ManualClock
    ) -> None:
        flaky = Flaky(manual_clock, *[ConnectionError()] * 9)
        with pytest.raises(ConnectionError):
            await again(stop=tenacity.stop_before_delay(7)).run(flaky)
        assert flaky.called == [0, 1, 3]

    async def test_it_sees_the_whole_call(self, again: Make, manual_clock: ManualClock) -> None:
        seen: list[tuple[Any, ...]] = []

        def stop(state: tenacity.RetryCallState) -> bool:
            assert state.outcome is not None
            outcome = state.outcome.exception() if state.outcome.failed else state.outcome.result()
            seen.append((
                state.attempt_number, state.args, state.kwargs, outcome, state.idle_for,
                state.upcoming_sleep, state.seconds_since_start,
            ))  # fmt: skip
            return state.attempt_number == 3

        error = ConnectionError()
        answers: list[Exception | str] = [error, "busy", "busy"]

        async def ask(number: int, *, key: str) -> str:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        policy = again(stop=stop, on_result=lambda result: result == "busy")
        assert await policy.run(ask, 1, key="k") == "busy"
        call = (1,), {"key": "k"}
        assert seen == [
            (1, *call, error, 0.0, 1.0, 0.0),
            (2, *call, "busy", 1.0, 2.0, 1.0),
            (3, *call, "busy", 3.0, 4.0, 3.0),
        ]

    async def test_first_success_asks_it_nothing(self, again: Make) -> None:
        async def fine() -> int:
            return 1

        def never(state: tenacity.RetryCallState) -> bool:
            raise AssertionError("asked")

        assert await again(stop=never)(fine)() == 1


@pytest.mark.parametrize(
    "options",
    [
        {"retry_after": lambda _: 1 / 0},
        {"stop": lambda _: 1 / 0},
        {"wait": lambda _: 1 / 0},
        {"wait": lambda _: float("nan")},
        {"wait": lambda _: -1.0},
        {"wait": lambda _: "1"},
    ],
)
async def test_a_policy_that_fails_never_hides_the_calls_error(
    again: Make,
    manual_clock: ManualClock,
    options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = ConnectionError("the call's")
    policy = again(**options)
    with pytest.raises(ConnectionError) as caught:
        await policy.run(Flaky(manual_clock, error))
    assert caught.value is error
    assert reasons(policy) == {"broken": 1}
    assert "of retry 'retry' failed" in caplog.text


async def test_a_predicate_that_fails_means_no(
    again: Make, manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    error = ConnectionError()
    with pytest.raises(ConnectionError) as caught:
        await again(lambda error: error.code == 5).run(Flaky(manual_clock, error))
    assert caught.value is error
    assert caplog.records[0].levelno == logging.ERROR
    assert await again(on_result=lambda _: 1 / 0).run(Flaky(manual_clock)) == "answer"


async def test_no_pause_is_begun_that_would_end_after_the_deadline(
    again: Make, manual_clock: ManualClock
) -> None:
    flaky = Flaky(manual_clock, *[ConnectionError(number) for number in range(9)])
    policy = again(attempts=9)
    with pytest.raises(ConnectionError, match="2") as caught:
        async with deadline(7, clock=manual_clock):
            await policy.run(flaky)
    # A pause of 4 s from 3 s on would end at the deadline: no time is left for the attempt.
    assert flaky.called == [0, 1, 3]
    assert manual_clock.monotonic() == 3
    assert caught.value.__notes__ == [
        "retry 'retry' gave up at attempt 3: the next would come too late"
    ]
    assert reasons(policy) == {"deadline": 1}


@pytest.mark.parametrize(("within", "called"), [(7, [0, 1, 3]), (7.1, [0, 1, 3, 7])])
async def test_within_counts_from_the_first_attempts_start(
    again: Make, manual_clock: ManualClock, within: float, called: list[float]
) -> None:
    manual_clock.tick(100)
    flaky = Flaky(manual_clock, *[ConnectionError()] * 9)
    with pytest.raises(ConnectionError):
        await again(attempts=9, within=within)(flaky)()
    assert flaky.called == [100 + at for at in called]


async def test_a_slow_first_attempt_uses_up_the_time(
    again: Make, manual_clock: ManualClock
) -> None:
    async def slow() -> None:
        await manual_clock.sleep(6.5)
        raise ConnectionError

    policy = again(within=7)
    with pytest.raises(ConnectionError):
        await policy.run(slow)
    assert reasons(policy) == {"deadline": 1}


async def test_a_passed_deadline_is_not_retried(again: Make, manual_clock: ManualClock) -> None:
    policy = again(TimeoutError)
    with pytest.raises(DeadlineExceededError):
        await deadline(2, clock=manual_clock).run(policy.run, manual_clock.sleep, 100.0)
    assert policy.stats().retries == 0


async def test_the_budget_bounds_all_who_share_it(again: Make, manual_clock: ManualClock) -> None:
    budget = RetryBudget(floor=0.0, clock=manual_clock)
    one, two = again(budget=budget, wait=Backoff(0.01, 0.01)), again(TimeoutError, budget=budget)
    for policy in (one, two):
        for _ in range(50):
            await policy(Flaky(manual_clock))()
    outage = [one.run(Flaky(manual_clock, *[ConnectionError()] * 9)) for _ in range(100)]
    results = await asyncio.gather(*outage, return_exceptions=True)
    assert all(isinstance(each, ConnectionError) for each in results)
    assert one.stats().retries == 0.2 * 200
    assert sum(reasons(one).values()) == 100
    assert reasons(one)["budget"] == 100 - reasons(one).get("attempts", 0)
    spent = ConnectionError()
    with pytest.raises(ConnectionError) as caught:
        await one.run(Flaky(manual_clock, spent))
    assert caught.value is spent
    assert spent.__notes__ == ["retry 'retry' gave up at attempt 1: the retry budget is spent"]


async def test_nothing_is_withdrawn_for_a_retry_that_is_not_made(
    again: Make, manual_clock: ManualClock
) -> None:
    budget = RetryBudget(clock=manual_clock)
    for options in ({"attempts": 1}, {"within": 0.5}):
        with pytest.raises(ConnectionError):
            await again(budget=budget, **options).run(Flaky(manual_clock, ConnectionError()))
    assert budget.stats().withdrawn == 0
    assert budget.stats().requests == 2


async def test_cancelled_between_attempts_it_ends_at_once(again: Make) -> None:
    clock = ManualClock()  # stands still
    flaky = Flaky(clock, *[ConnectionError()] * 9)
    policy = retry(ConnectionError, wait=STEADY, clock=clock)
    task = asyncio.create_task(policy.run(flaky))
    await clock.advance(0)
    assert clock.sleepers == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await clock.advance(100)
    assert len(flaky.called) == 1
    assert clock.sleepers == 0


async def test_a_cancellation_that_a_callee_made_an_error_of_is_not_retried(
    again: Make, manual_clock: ManualClock
) -> None:
    called = 0

    async def hides_it() -> None:
        nonlocal called
        called += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("connection lost") from None

    task = asyncio.create_task(again().run(hides_it))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=1)
    with pytest.raises(ConnectionError):
        await task
    assert called == 1


async def test_a_cancellation_that_a_callee_swallowed_is_not_retried(
    again: Make, manual_clock: ManualClock
) -> None:
    called = 0

    async def swallows_it() -> str:
        nonlocal called
        called += 1
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "busy"

    task = asyncio.create_task(again(on_result=lambda _: True).run(swallows_it))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "busy"
    assert called == 1


async def test_a_time_out_inside_is_retried(again: Make, manual_clock: ManualClock) -> None:
    called = 0

    @again(TimeoutError)
    @timeout(5, clock=manual_clock)
    async def hangs_twice() -> str:
        nonlocal called
        called += 1
        if called < 3:
            await asyncio.Event().wait()
        return "answer"

    assert await hangs_twice() == "answer"
    assert manual_clock.monotonic() == 5 + 1 + 5 + 2


async def test_a_time_out_around_ends_it_during_a_pause(
    again: Make, manual_clock: ManualClock
) -> None:
    flaky = Flaky(manual_clock, *[ConnectionError()] * 9)
    with pytest.raises(CallTimeoutError):
        await timeout(2, clock=manual_clock).run(again((ConnectionError, TimeoutError)).run, flaky)
    assert flaky.called == [0, 1]


async def test_an_open_circuit_is_not_retried(again: Make, manual_clock: ManualClock) -> None:
    breaker = CircuitBreaker("b", clock=manual_clock)

    @again(Exception, attempts=9)
    @breaker
    async def opens() -> None:
        breaker.isolate()
        raise ConnectionError

    with pytest.raises(CircuitOpenError):
        await opens()
    assert breaker.stats().rejected == 1


async def test_methods_keep_their_attempts_apart(again: Make, manual_clock: ManualClock) -> None:
    class Client:
        def __init__(self) -> None:
            self.flaky = Flaky(manual_clock, ConnectionError(), ConnectionError())

        @again()
        async def ask(self, question: str) -> str:
            return question + await self.flaky()

        @classmethod
        @again()
        async def make(cls) -> "Client":
            return cls()

    first = await Client.make()
    assert await first.ask("q: ") == "q: answer"
    assert first.flaky.called == [0, 1, 3]


class Held:
    """Something a frame may keep alive."""


@pytest.mark.parametrize("options", [{}, {"stop": tenacity.stop_after_attempt(2)}])
@pytest.mark.parametrize("decorated", [True, False])
async def test_an_error_leaves_no_cycle(
    again: Make, manual_clock: ManualClock, options: dict[str, Any], decorated: bool
) -> None:
    refs: list[weakref.ref[Held]] = []

    async def fails() -> None:
        held = Held()
        refs.append(weakref.ref(held))
        raise ConnectionError

    policy = again(**options)
    call: Callable[[], Awaitable[None]] = policy(fails) if decorated else lambda: policy.run(fails)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ConnectionError):
            await call()
        assert len(refs) > 1
        assert [ref() for ref in refs] == [None] * len(refs)
    finally:
        gc.enable()


async def test_one_error_raised_again_and_again_gathers_no_notes(
    again: Make, manual_clock: ManualClock
) -> None:
    same = ConnectionError()
    for _ in range(5):
        with pytest.raises(ConnectionError):
            await again().run(Flaky(manual_clock, same, same, same))
    assert len(same.__notes__) == 1


async def test_an_error_that_takes_no_note_is_raised_all_the_same(
    again: Make, manual_clock: ManualClock
) -> None:
    @dataclass(frozen=True)
    class FrozenError(Exception):
        code: int

    error = FrozenError(1)
    with pytest.raises(FrozenInstanceError):
        error.add_note("n")

    async def fails() -> None:
        raise error

    with pytest.raises(FrozenError):
        await again(FrozenError).run(fails)


async def test_attempts_of_one_means_none_after_it(again: Make, manual_clock: ManualClock) -> None:
    flaky = Flaky(manual_clock, ConnectionError())
    with pytest.raises(ConnectionError):
        await again(attempts=1).run(flaky)
    assert flaky.called == [0]


@given(
    attempts=st.integers(1, 6),
    within=st.none() | st.floats(0.01, 50),
    left=st.floats(0, 50) | st.just(float("inf")),
    asked=st.none() | st.floats(0, 100),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8),
    jitter=st.sampled_from(["full", "equal", "decorrelated", "none"]),
)
def test_it_always_ends_and_never_oversleeps(
    attempts: int, within: float | None, left: float, asked: float | None, draws: list[float],
    jitter: Any,
) -> None:  # fmt: skip
    rules = Rules(
        attempts=attempts,
        stop=None,
        wait=Backoff(0.5, 8.0, jitter=jitter),
        retry_after=lambda _: asked,
        retry_after_max=30.0,
        within=within,
    )
    course, now, error = Course(started=100.0), 100.0, ConnectionError()
    for draw in draws:
        pause = rules.decide(course, now, draw, 100.0 + left - now, error, None)
        if isinstance(pause, GaveUp):
            assert (pause is GaveUp.ATTEMPTS) == (course.made == attempts)
            break
        assert pause == min(asked, 30.0) if asked is not None else 0 < pause <= 8.0
        now += pause
        assert now < 100.0 + min(left, within or left) + 1e-9
        course.pause(pause)
        course.made += 1
    else:
        raise AssertionError("it did not end")


def test_it_prints_what_it_is() -> None:
    assert repr(retry(ConnectionError, name="prices", wait=STEADY)) == (
        "Retry('prices', 3 attempts, wait=Backoff(first=1.0, most=60.0, factor=2.0, jitter='none'))"
    )
    assert "stop_after_delay" in repr(retry(ConnectionError, stop=tenacity.stop_after_delay(5)))


async def test_it_is_built_from_settings(manual_clock: ManualClock) -> None:
    settings = {"name": "prices", "attempts": 4, "wait": {"first": 2.0, "jitter": "none"}}
    config = RetryConfig.load({**settings, "within": 20, "retry_after_max": 9})
    policy = retry(ConnectionError, clock=manual_clock, **config.options())
    flaky = Flaky(manual_clock, *[ConnectionError()] * 9)
    with pytest.raises(ConnectionError):
        await policy.run(flaky)
    assert flaky.called == [0, 2, 6, 14]
    assert policy.name == "prices"
    plain = retry(ConnectionError, **RetryConfig().options())
    assert repr(plain) == repr(retry(ConnectionError))
    with pytest.raises(ConfigurationError, match="attemps is 3"):
        RetryConfig.load({"attemps": 3})
    with pytest.raises(ConfigurationError, match="first is -1"):
        RetryConfig.load({"wait": {"first": -1}})


async def _async_stop(state: object) -> bool:
    return True


@pytest.mark.parametrize(
    ("on", "options", "field"),
    [
        ((), {}, "on"),
        (BaseException, {}, "on"),
        (asyncio.CancelledError, {}, "on"),
        ((ConnectionError, KeyboardInterrupt), {}, "on"),
        (int, {}, "on"),
        ("ConnectionError", {}, "on"),
        (None, {}, "on"),
        (ConnectionError, {"attempts": 0}, "attempts"),
        (ConnectionError, {"attempts": True}, "attempts"),
        (ConnectionError, {"attempts": 2.5}, "attempts"),
        (ConnectionError, {"attempts": 3, "stop": tenacity.stop_never}, "attempts"),
        (ConnectionError, {"stop": 3}, "stop"),
        (ConnectionError, {"stop": _async_stop}, "stop"),
        (ConnectionError, {"wait": 3.0}, "wait"),
        (ConnectionError, {"wait": _async_stop}, "wait"),
        (ConnectionError, {"wait": None}, "wait"),
        (ConnectionError, {"on_result": 3}, "on_result"),
        (ConnectionError, {"retry_after": None}, "retry_after"),
        (ConnectionError, {"retry_after_max": 0}, "retry_after_max"),
        (ConnectionError, {"retry_after_max": float("inf")}, "retry_after_max"),
        (ConnectionError, {"within": -1}, "within"),
        (ConnectionError, {"within": float("nan")}, "within"),
        (ConnectionError, {"name": ""}, "name"),
    ],
)
def test_bad_settings_are_refused(on: Any, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        retry(on, **options)
    assert caught.value.field == field


def test_a_sync_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="async function"):
        retry(ConnectionError)(len)  # type: ignore[arg-type]
