"""The adaptive limiter, as its users see it."""

import asyncio
import random
from collections.abc import Callable
from math import inf
from typing import Any, assert_type

import pytest

from mobius_infra.core import ConfigurationError, Event, Rejected
from mobius_infra.ratelimit import (
    AdaptiveLimiter,
    AdaptiveLimiterConfig,
    Aimd,
    ConcurrencyLimitError,
    FairQueue,
    Gradient2,
    LimitAtFloor,
    LimitRecovered,
    Vegas,
)
from mobius_infra.ratelimit._adaptive_control import PROBE, WINDOW
from mobius_infra.testing import ManualClock


class Calls:
    """Calls that last until they are told to end."""

    def __init__(self, limiter: AdaptiveLimiter) -> None:
        self.limiter = limiter
        self.under_way: list[asyncio.Future[None]] = []
        self.answer = limiter(self.call)

    async def call(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.under_way.append(future)
        await future

    def start(self, number: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.answer()) for _ in range(number)]

    def end(self) -> None:
        self.under_way.pop(0).set_result(None)


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def limiter(clock: ManualClock, **options: Any) -> AdaptiveLimiter:
    """Return one whose limit is what `initial` says until it finds another."""
    return AdaptiveLimiter("x", Aimd(), clock=clock, **options)


async def test_a_call_above_the_limit_is_refused_at_once_and_says_why(
    manual_clock: ManualClock,
) -> None:
    calls = Calls(limiter(manual_clock, initial=2))
    tasks = calls.start(2)
    await turns()
    with pytest.raises(ConcurrencyLimitError, match="'x' \\(full\\): 2 may be under way") as caught:
        await calls.answer()
    assert isinstance(caught.value, Rejected)
    assert caught.value.fields() == {
        "name": "x", "tenant": "", "reason": "full", "limit": 2, "waiting": 0, "retry_after": None,
    }  # fmt: skip
    calls.end()
    await tasks[0]
    tasks += calls.start(1)
    await turns()
    stats = calls.limiter.stats()
    assert (stats.inflight, stats.rejected, stats.succeeded) == (2, 1, 1)
    calls.end()
    calls.end()
    await asyncio.gather(*tasks)


async def test_waiting_is_in_order_bounded_in_time_and_in_number(manual_clock: ManualClock) -> None:
    calls = Calls(limiter(manual_clock, initial=1, max_wait=0.5, max_waiting=2))
    first, second, third = calls.start(3)
    await turns()
    with pytest.raises(ConcurrencyLimitError) as caught:
        await calls.answer()
    assert caught.value.reason == "queue full"
    await manual_clock.advance(0.4)
    calls.end()
    await turns()
    assert first.done()
    assert (len(calls.under_way), calls.limiter.stats().waiting) == (1, 1)
    await manual_clock.advance(0.2)
    assert not second.done()
    with pytest.raises(ConcurrencyLimitError) as caught:
        await third
    assert caught.value.reason == "waited too long"
    assert calls.limiter.stats().waiting == 0  # though no slot came free
    calls.end()
    await second
    stats = calls.limiter.stats()
    assert (stats.waited, stats.rejected, stats.inflight, stats.waiting) == (1, 2, 0, 0)
    assert manual_clock.sleepers == 0


async def test_a_newcomer_never_overtakes_those_that_wait(manual_clock: ManualClock) -> None:
    calls = Calls(limiter(manual_clock, initial=1, max_wait=1.0))
    tasks = calls.start(2)
    await turns()
    calls.end()
    await turns(1)  # the first has ended; the second has the slot, and has not run yet
    assert calls.limiter.try_acquire() is None
    await turns()
    calls.end()
    await asyncio.gather(*tasks)


async def test_a_waiter_cancelled_in_the_turn_in_which_it_is_granted_passes_the_slot_on(
    manual_clock: ManualClock,
) -> None:
    calls = Calls(limiter(manual_clock, initial=1, max_wait=1.0))
    held = calls.limiter.try_acquire()
    assert held is not None
    second, third = calls.start(2)
    await turns()
    calls.limiter.release(held)  # grants the second
    second.cancel()
    await turns()
    assert second.cancelled()
    assert len(calls.under_way) == 1
    calls.end()
    await third
    assert calls.limiter.stats().inflight == 0


async def test_a_waiter_cancelled_before_its_turn_is_passed_over(manual_clock: ManualClock) -> None:
    calls = Calls(limiter(manual_clock, initial=1, max_wait=1.0))
    held = calls.limiter.try_acquire()
    assert held is not None
    second, third = calls.start(2)
    await turns()
    second.cancel()
    calls.limiter.release(held)  # before the second could leave by itself
    await turns()
    assert len(calls.under_way) == 1
    calls.end()
    await third
    assert (calls.limiter.stats().inflight, calls.limiter.stats().waiting) == (0, 0)


async def test_when_the_limit_rises_those_that_wait_come_in(manual_clock: ManualClock) -> None:
    made = limiter(manual_clock, initial=2, max_wait=100.0)
    calls = Calls(made)
    blocking, other, waiting = calls.start(3)
    await turns()
    for _ in range(WINDOW):  # Aimd adds one for a window
        made._slots.inflight += 1
        made.release(manual_clock.monotonic() - 0.1)
    assert made.limit == 3
    await turns()
    assert len(calls.under_way) == 3
    for _ in range(3):
        calls.end()
    await asyncio.gather(blocking, other, waiting)


class RefusedError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "options", "counted"),
    [
        (TimeoutError(), {}, "dropped"),
        (Rejected("no", name="inner", retry_after=None), {}, "neutral"),
        (Rejected("no", name="inner", retry_after=None), {"dropped_on": Rejected}, "dropped"),
        (RefusedError(), {"dropped_on": (TimeoutError, RefusedError)}, "dropped"),
        (ValueError(), {}, "neutral"),
        (ExceptionGroup("x", [ValueError(), TimeoutError()]), {}, "dropped"),
        (ExceptionGroup("x", [ValueError()]), {}, "neutral"),
        (BaseExceptionGroup("x", [asyncio.CancelledError()]), {"dropped_on": OSError}, "neutral"),
        (asyncio.CancelledError(), {"dropped_on": Exception}, "neutral"),
        (KeyboardInterrupt(), {"dropped_on": Exception}, "neutral"),
    ],
)
@pytest.mark.parametrize("judging", [False, True])
async def test_an_ending_is_classified(
    error: BaseException,
    options: dict[str, Any],
    counted: str,
    judging: bool,
    manual_clock: ManualClock,
) -> None:
    if judging:
        options = {**options, "dropped_if": lambda result: False}
    made = limiter(manual_clock, **options)

    @made
    async def call() -> None:
        raise error

    with pytest.raises(type(error)):
        await call()
    with pytest.raises(type(error)):
        async with made:
            raise error
    stats = made.stats()
    assert getattr(stats, counted) == 2
    assert stats.succeeded + stats.dropped + stats.neutral == 2
    assert stats.inflight == 0


async def test_a_result_may_mean_overload(manual_clock: ManualClock) -> None:
    made = limiter(manual_clock, dropped_if=lambda status: status == 503)

    @made
    async def call(status: int) -> int:
        return status

    assert [await call(200), await call(503)] == [200, 503]
    stats = made.stats()
    assert (stats.succeeded, stats.dropped, stats.inflight) == (1, 1, 0)


async def test_a_predicate_that_fails_leaks_no_slot(manual_clock: ManualClock) -> None:
    made = limiter(manual_clock, dropped_if=lambda result: result.missing)

    @made
    async def call() -> None: ...

    with pytest.raises(AttributeError):
        await call()
    assert made.stats().inflight == 0


async def test_cancelled_calls_move_no_limit_and_are_in_no_sample(
    manual_clock: ManualClock,
) -> None:
    made = AdaptiveLimiter("x", Gradient2(), initial=40, clock=manual_clock)
    calls = Calls(made)
    for _ in range(10 * PROBE):
        (task,) = calls.start(1)
        await turns(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    stats = made.stats()
    assert (stats.limit, stats.baseline, stats.inflight) == (10, 0.0, 0)
    assert stats.neutral == 10 * PROBE


@pytest.mark.parametrize("seed", range(60))
async def test_no_slot_leaks_whatever_is_cancelled_when(
    seed: int, manual_clock: ManualClock
) -> None:
    """Arrivals, endings, cancellations, limits and time in any order; then everything is free."""
    chance = random.Random(seed)
    calls = Calls(limiter(manual_clock, initial=3, max_wait=1.0, max_waiting=5))
    slots = calls.limiter._slots
    tasks = calls.start(1)

    def end() -> None:
        waiting = [each for each in calls.under_way if not each.done()]
        if waiting:
            chance.choice(waiting).set_result(None)

    happenings: list[Callable[[], object]] = [
        lambda: tasks.extend(calls.start(1)),
        lambda: tasks.extend(calls.start(1)),
        end,
        lambda: chance.choice(tasks).cancel(),
        lambda: slots.resize(chance.randrange(1, 6)),
    ]
    for _ in range(80):
        chance.choice(happenings)()
        if chance.random() < 0.2:
            await manual_clock.advance(chance.choice([0.0, 0.3, 1.0]))
        await turns(chance.randrange(3))
        assert not slots.queue or slots.inflight >= slots.limit
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await turns()
    stats = calls.limiter.stats()
    assert (stats.inflight, stats.waiting, manual_clock.sleepers) == (0, 0, 0)


async def test_never_more_calls_run_than_the_limit() -> None:
    clock = ManualClock(auto_jump=True)
    chance = random.Random(1)
    made = limiter(clock, initial=4, maximum=8, max_wait=1.0, max_waiting=500)
    running = 0

    @made
    async def call() -> None:
        nonlocal running
        running += 1
        assert running <= made._slots.inflight <= 8
        try:
            await clock.sleep(chance.uniform(0.01, 0.2))
        finally:
            running -= 1

    outcomes = await asyncio.gather(*(call() for _ in range(400)), return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, ConcurrencyLimitError)]
    assert len(refused) == made.stats().rejected
    assert made.stats().succeeded == 400 - len(refused) > 20
    assert made.stats().inflight == 0


async def test_blocks_of_many_tasks_nest(manual_clock: ManualClock) -> None:
    made = limiter(manual_clock)

    async def enter() -> None:
        async with made:
            await asyncio.sleep(0)
            async with made:
                await asyncio.sleep(0)

    await asyncio.gather(*(enter() for _ in range(5)))
    stats = made.stats()
    assert (stats.succeeded, stats.inflight) == (10, 0)
    assert made._entered == {}


async def test_tenants_share_the_queue_of_an_adaptive_limiter(manual_clock: ManualClock) -> None:
    made = limiter(manual_clock, initial=1, max_wait=5.0, queue=FairQueue(), tenant="who")
    order: list[str] = []

    @made
    async def call(who: str) -> None:
        order.append(who)
        await manual_clock.sleep(0.01)

    tasks = [asyncio.create_task(call("flood")) for _ in range(50)]
    await turns()
    tasks.append(asyncio.create_task(call("alone")))
    await manual_clock.advance(1)
    await asyncio.gather(*tasks)
    assert order.index("alone") <= 2


async def test_it_tells_when_the_limit_is_at_its_floor_and_when_it_is_not(
    manual_clock: ManualClock,
) -> None:
    made = limiter(manual_clock, initial=8, minimum=2)
    heard: list[Event] = []
    made.events.subscribe(heard.append)

    async def window(error: Exception | None) -> None:
        """Fill a window with calls, all slots taken."""
        for _ in range(WINDOW):
            while made.try_acquire() is not None:
                pass
            manual_clock.tick(0.01)
            if error is None:
                made.release(manual_clock.monotonic() - 0.1)
            else:
                made.drop()

    while made.limit > 2:
        await window(TimeoutError())
    await window(TimeoutError())
    assert heard == [LimitAtFloor(source="x", at=manual_clock.time() - 0.2, limit=2)]
    await window(None)
    assert len(heard) == 1
    await window(None)
    assert heard[1:] == [LimitRecovered(source="x", at=manual_clock.time(), limit=4)]
    assert made.stats().rtt == pytest.approx(0.1)


async def test_it_decorates_any_kind_of_async_method_and_keeps_types(
    manual_clock: ManualClock,
) -> None:
    made = limiter(manual_clock)

    class Service:
        @made
        async def method(self, x: int) -> str:
            return f"m{x}"

        @made
        @staticmethod
        async def static(x: int) -> str:
            return f"s{x}"

        @classmethod
        @made
        async def of_class(cls, x: int) -> str:
            return f"c{x}"

    answers = [await Service().method(1), await Service.static(2), await Service.of_class(x=3)]
    assert answers == ["m1", "s2", "c3"]
    assert_type(await Service().method(1), str)
    assert made.stats().succeeded == 4
    with pytest.raises(ConfigurationError, match="async function"):
        made(lambda: None)  # type: ignore[arg-type,return-value]  # what is refused


def test_it_says_what_it_is(manual_clock: ManualClock) -> None:
    made = AdaptiveLimiter("search", Vegas(), clock=manual_clock)
    expected = "AdaptiveLimiter('search', Vegas(low=3.0, high=6.0, backoff=0.9), limit=5)"
    assert repr(made) == expected


def test_it_is_built_from_settings() -> None:
    config = AdaptiveLimiterConfig.load({"name": "x", "algorithm": "aimd", "initial": 7})
    made = AdaptiveLimiter.from_config(config)
    assert (made.limit, type(made.algorithm)) == (7, Aimd)
    with pytest.raises(ConfigurationError, match="algorithm"):
        AdaptiveLimiterConfig.load({"name": "x", "algorithm": "best"})


NAN = float("nan")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"initial": 0}, "initial"),
        ({"initial": True}, "initial"),
        ({"initial": 2.5}, "initial"),
        ({"minimum": 0}, "minimum"),
        ({"minimum": 30}, "initial"),
        ({"maximum": 10}, "maximum"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": NAN}, "max_wait"),
        ({"max_wait": inf}, "max_wait"),
        ({"max_waiting": 0}, "max_waiting"),
        ({"remeasure": 0}, "remeasure"),
        ({"remeasure": inf}, "remeasure"),
        ({"tenant": "who"}, "max_wait"),
        ({"dropped_on": asyncio.CancelledError}, "dropped_on"),
        ({"dropped_on": (TimeoutError, BaseException)}, "dropped_on"),
    ],
)
def test_bad_settings_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AdaptiveLimiter(**{"name": "x", **options})
    assert caught.value.field == field


async def test_an_abandoned_call_gives_its_slot_back(manual_clock: ManualClock) -> None:
    """A coroutine that is closed, not run to its end, is an ending too."""
    made = limiter(manual_clock, initial=1)
    calls = Calls(made)
    coroutine = calls.answer()
    coroutine.send(None)
    assert made.stats().inflight == 1
    coroutine.close()
    assert made.stats().inflight == 0


async def test_an_abandoned_waiter_is_no_waiter_any_more(manual_clock: ManualClock) -> None:
    made = limiter(manual_clock, initial=1, max_wait=1.0)
    held = made.try_acquire()
    assert held is not None
    coroutine = Calls(made).answer()
    coroutine.send(None)
    assert made.stats().waiting == 1
    coroutine.close()
    assert made.stats().waiting == 0
    made.release(held)
    assert made.stats().inflight == 0
