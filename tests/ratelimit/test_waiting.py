"""Who waits passes in order, at the rate, and owes nothing if they leave."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mobius_infra.core import open_backend
from mobius_infra.ratelimit import (
    FixedWindow,
    LeakyQueue,
    Limit,
    RateLimitedError,
    RateLimiter,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.ratelimit._limits import Limits
from mobius_infra.testing import ManualClock
from tests.ratelimit.support import Slow

Make = Callable[..., RateLimiter]


@pytest.fixture(params=["local", "shared"])
def make(request: pytest.FixtureRequest, manual_clock: ManualClock) -> Make:
    """Give a function that makes a limiter whose calls wait, here or on a backend."""

    def made(limit: Limits, **options: Any) -> RateLimiter:
        if request.param == "shared":
            options["backend"] = open_backend("memory://", clock=manual_clock)
        return RateLimiter("x", limit, on_limit="wait", clock=manual_clock, **options)

    return made


class Queue:
    """Calls that were started, and when each passed."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.seen: list[tuple[str, float]] = []

    async def start(self, name: str, call: Awaitable[object]) -> None:
        async def run() -> None:
            await call
            self.seen.append((name, round(self.clock.monotonic(), 5)))

        self.tasks[name] = asyncio.create_task(run())
        await self.clock.advance(0)

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.seen]


@pytest.fixture
def queue(manual_clock: ManualClock) -> Queue:
    return Queue(manual_clock)


async def test_they_pass_in_order_and_at_the_rate(
    make: Make, queue: Queue, manual_clock: ManualClock
) -> None:
    limiter = make(TokenBucket(2, 1))
    for number in range(5):
        await queue.start(str(number), limiter.acquire("k"))
    assert limiter.stats().waiting == 4
    await manual_clock.advance(10)
    assert queue.seen == [("0", 0.0), ("1", 0.5), ("2", 1.0), ("3", 1.5), ("4", 2.0)]
    stats = limiter.stats()
    assert (stats.allowed, stats.waited, stats.waiting, stats.limited) == (5, 4, 0, 0)


@pytest.mark.parametrize(
    ("limit", "times"),
    [
        (SlidingWindowLog("2/second"), [0.0, 0.0, 1.0, 1.0, 2.0]),
        (FixedWindow("2/second"), [0.0, 0.0, 1.0, 1.0, 2.0]),
        (SlidingWindowCounter("2/second"), [0.0, 0.0, 1.5, 2.0, 3.0]),
        (LeakyQueue("2/second", 9), [0.0, 0.5, 1.0, 1.5, 2.0]),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_by_any_algorithm(
    make: Make, queue: Queue, limit: Limit, times: list[float], manual_clock: ManualClock
) -> None:
    limiter = make(limit)
    for number in range(5):
        await queue.start(str(number), limiter.acquire())
    await manual_clock.advance(10)
    assert queue.order == list("01234")
    assert [at for _, at in queue.seen] == pytest.approx(times, abs=1e-4)


async def test_wake_ups_are_computed_not_polled(manual_clock: ManualClock) -> None:
    limiter = RateLimiter(
        "x", FixedWindow("1/minute"), on_limit="wait", max_wait=100, clock=manual_clock
    )
    manual_clock.set_time(1_700_000_040.0)
    await limiter.acquire()
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
    await manual_clock.advance(0)
    slept: list[float] = []
    sleep = manual_clock.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ManualClock, "sleep", lambda self, seconds: noted(seconds))
        await manual_clock.advance(200)
    assert all(task.done() for task in tasks)
    assert len(slept) <= 2  # one each, to the moment at which a window begins


@pytest.mark.parametrize("leaves", [["1", "2"], ["2"], ["1"], ["3"]])
async def test_who_leaves_takes_nothing_and_delays_nobody(
    leaves: list[str], make: Make, queue: Queue, manual_clock: ManualClock
) -> None:
    limiter = make(TokenBucket(1, 1))
    for name in "01234":
        await queue.start(name, limiter.acquire("k"))
    await manual_clock.advance(0.5)
    for name in leaves:
        queue.tasks[name].cancel()
        await manual_clock.advance(0)
        assert queue.tasks[name].cancelled()  # at once
    await manual_clock.advance(10)
    stay = [name for name in "01234" if name not in leaves]
    assert queue.seen == [(name, float(number)) for number, name in enumerate(stay)]
    assert limiter.stats().waiting == 0
    await limiter.release()
    assert (await limiter.peek("k")).remaining == 1


async def test_who_is_granted_and_cancelled_gives_it_back(
    make: Make, manual_clock: ManualClock
) -> None:
    """The head of a line has taken its tokens ahead, and sleeps until they are due."""
    limiter = make(TokenBucket("1/second", 2))
    await limiter.acquire(cost=2)
    head = asyncio.create_task(limiter.acquire(cost=2))
    await manual_clock.advance(1.9)
    head.cancel()
    await manual_clock.advance(0.1)
    assert (await limiter.peek()).remaining == 2


async def test_a_newcomer_stands_behind(
    make: Make, queue: Queue, manual_clock: ManualClock
) -> None:
    limiter = make(TokenBucket(1, 3), key="key")
    decorated = limiter(nothing)
    await limiter.acquire("7", 3)
    await queue.start("large", limiter.acquire("7", 3))
    await manual_clock.advance(1.5)  # one token is there, and the large cost waits for three
    for number in range(3):
        await queue.start(f"small{number}", decorated(7))
    assert queue.seen == []
    await manual_clock.advance(10)
    assert queue.seen == [("large", 3.0), ("small0", 4.0), ("small1", 5.0), ("small2", 6.0)]


async def nothing(key: int) -> None: ...


async def test_a_key_that_waits_holds_up_no_other(
    make: Make, queue: Queue, manual_clock: ManualClock
) -> None:
    limiter = make("1/minute", max_wait=100)
    await limiter.acquire("a")
    await queue.start("a", limiter.acquire("a"))
    await queue.start("b", limiter.acquire("b"))
    assert queue.order == ["b"]
    queue.tasks["a"].cancel()
    await manual_clock.advance(0)


async def test_a_large_cost_is_not_starved_by_small_ones_of_another_process(
    manual_clock: ManualClock, queue: Queue
) -> None:
    backend = open_backend("memory://", clock=manual_clock)
    one, two = (
        RateLimiter(
            "x",
            TokenBucket(1, 5),
            on_limit="wait",
            max_wait=60,
            backend=backend,
            clock=manual_clock,
        )
        for _ in range(2)
    )
    await one.acquire(cost=5)
    await queue.start("large", one.acquire(cost=5))
    for number in range(20):
        await queue.start(f"small{number}", two.acquire())
    await manual_clock.advance(40)
    assert queue.seen[0] == ("large", 5.0)
    assert len(queue.seen) == 21


async def test_who_would_wait_too_long_is_refused_at_once(
    make: Make, manual_clock: ManualClock
) -> None:
    limiter = make(TokenBucket(1, 1), max_wait=2.5)
    await limiter.acquire()
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
    await manual_clock.advance(0)
    with pytest.raises(RateLimitedError) as caught:
        await limiter.acquire()
    assert caught.value.retry_after == pytest.approx(3.0)
    assert manual_clock.monotonic() == 0.0
    await manual_clock.advance(3)
    assert [task.exception() for task in waiting] == [None, None]


@pytest.mark.parametrize("limit", [SlidingWindowLog("1/second"), FixedWindow("1/second")])
async def test_nobody_waits_longer_than_said(
    limit: Limit, make: Make, manual_clock: ManualClock
) -> None:
    limiter = make(limit, max_wait=1.5)
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
    await manual_clock.advance(1.5)
    errors = [task.exception() for task in tasks]
    assert [isinstance(error, RateLimitedError) for error in errors] == [False, False, True, True]


async def test_the_line_is_bounded(make: Make, manual_clock: ManualClock) -> None:
    limiter = make(TokenBucket(1, 1), max_waiting=2)
    await limiter.acquire()
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await manual_clock.advance(5)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, RateLimitedError) for each in results] == [False, False, True]


async def test_a_queue_shapes_calls_that_do_not_wait_in_line(
    manual_clock: ManualClock, queue: Queue
) -> None:
    limiter = RateLimiter("x", LeakyQueue("10/second", 2), clock=manual_clock)

    @limiter
    async def f() -> None: ...

    for number in range(3):
        await queue.start(str(number), f())
    with pytest.raises(RateLimitedError):
        await f()
    queue.tasks["1"].cancel()
    await manual_clock.advance(1)
    assert queue.seen == [("0", 0.0), ("2", 0.2)]
    # The second gave its place back, but not to who had been told a time already.
    permit = await limiter.reserve(max_delay=1)
    assert permit.delay == 0


async def test_who_is_cancelled_while_the_backend_is_asked_leaves_nothing_taken(
    manual_clock: ManualClock,
) -> None:
    backend = Slow(manual_clock)
    limiter = RateLimiter("x", TokenBucket("1/hour", 1), on_limit="wait", backend=backend,
                          clock=manual_clock)  # fmt: skip
    task = asyncio.create_task(limiter.acquire())
    await manual_clock.advance(0)
    assert backend.asked == 1
    task.cancel()
    await manual_clock.advance(0)
    assert task.cancelled()
    backend.answer()
    await limiter.release()
    assert (await limiter.peek()).remaining == 1


async def test_a_queue_is_no_longer_than_it_is(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", LeakyQueue("1/second", 2), clock=manual_clock)
    delays = [(await limiter.reserve(max_delay=60)).delay for _ in range(3)]
    assert delays == [0, 1, 2]
    for max_delay in (60, 1):
        with pytest.raises(RateLimitedError) as caught:
            await limiter.reserve(max_delay=max_delay)
        assert caught.value.retry_after == 3
    manual_clock.tick(1)
    with pytest.raises(RateLimitedError):
        await limiter.reserve(max_delay=1.5)  # there is room, but not so soon
    assert (await limiter.reserve(max_delay=2)).delay == 2


async def test_who_waits_for_one_limit_is_not_refused_for_another(
    make: Make, queue: Queue, manual_clock: ManualClock
) -> None:
    """The bucket that is not what they wait for has room for all of them at once."""
    limiter = make([TokenBucket("1/minute", 10), SlidingWindowLog("3/second")], max_wait=3)
    for number in range(9):
        await queue.start(str(number), limiter.acquire())
    await manual_clock.advance(5)
    assert [at for _, at in queue.seen] == pytest.approx([0] * 3 + [1] * 3 + [2] * 3, abs=1e-4)


async def test_nobody_waits_in_a_queue_longer_than_said(
    make: Make, manual_clock: ManualClock
) -> None:
    limiter = make(LeakyQueue("1/second", 9), max_wait=2)
    await limiter.acquire(cost=5)
    with pytest.raises(RateLimitedError) as caught:
        await limiter.acquire()
    assert caught.value.retry_after == pytest.approx(5)
    assert (await limiter.peek()).reset == pytest.approx(5)  # nothing was taken


async def test_a_newcomer_that_would_fit_stands_behind_all_the_same(
    queue: Queue, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", FixedWindow("3/second"), key="key", on_limit="wait",
                          clock=manual_clock)  # fmt: skip
    decorated = limiter(nothing)
    await decorated(7)
    await decorated(7)
    await queue.start("large", limiter.acquire("7", 2))
    await queue.start("small", decorated(7))
    assert queue.seen == []
    await manual_clock.advance(2)
    assert queue.order == ["large", "small"]


async def test_a_loop_that_was_held_up_lets_nobody_overtake(
    queue: Queue, manual_clock: ManualClock
) -> None:
    limiter = RateLimiter("x", TokenBucket(1, 5), key="key", on_limit="wait", clock=manual_clock)
    decorated = limiter(nothing)
    await limiter.acquire("7", 5)
    await queue.start("first", limiter.acquire("7"))
    await queue.start("second", limiter.acquire("7"))
    manual_clock.tick(4)  # all at once: there is room for everybody, and nobody has moved yet
    await queue.start("newcomer", decorated(7))
    assert queue.order == ["first", "second", "newcomer"]


async def test_a_queue_is_waited_for_by_what_is_before_not_by_what_one_costs(
    make: Make, queue: Queue, manual_clock: ManualClock
) -> None:
    limiter = make(LeakyQueue("1/second", 9), max_wait=3)
    await limiter.acquire()
    await queue.start("head", limiter.acquire())
    await queue.start("large", limiter.acquire(cost=5))
    assert limiter.stats().waiting == 2
    with pytest.raises(RateLimitedError) as caught:
        await limiter.acquire()  # after both
    assert caught.value.retry_after == pytest.approx(7)
    await manual_clock.advance(9)
    assert queue.seen == [("head", 1.0), ("large", 2.0)]


async def test_who_will_not_wait_so_long_takes_no_place_in_a_shared_queue(
    manual_clock: ManualClock,
) -> None:
    """Not even for a moment: whoever came meanwhile would stand behind an empty place."""
    backend = Slow(manual_clock)
    one, two = (
        RateLimiter("x", LeakyQueue("1/second", 9), backend=backend, clock=manual_clock)
        for _ in range(2)
    )
    first = asyncio.create_task(one.reserve(cost=2, max_delay=0))
    impatient = asyncio.create_task(one.reserve(max_delay=1))
    patient = asyncio.create_task(two.reserve(max_delay=9))
    await manual_clock.advance(0)
    backend.answer()
    await manual_clock.advance(0)
    assert isinstance(impatient.exception(), RateLimitedError)
    assert [task.result().delay for task in (first, patient)] == [0, 2]


async def test_what_was_taken_before_a_reset_is_not_given_back_after(
    make: Make, queue: Queue, manual_clock: ManualClock
) -> None:
    limiter = make(TokenBucket("1/hour", 5), max_wait=9_999)
    old = await limiter.acquire("k", 5)
    other = await limiter.acquire("other", 5)
    await queue.start("ahead", limiter.acquire("k"))
    await limiter.reset("k")
    new = await limiter.acquire("j", 5)
    await limiter.reserve("k", 5, max_delay=0)
    await old.cancel()
    queue.tasks["ahead"].cancel()
    await manual_clock.advance(0)
    assert (await limiter.peek("k")).remaining == 0
    for permit in (other, new):  # of keys that were not reset
        await permit.cancel()
    assert (await limiter.peek("other")).remaining == (await limiter.peek("j")).remaining == 5


async def test_many_resets_are_known_in_bounded_memory(manual_clock: ManualClock) -> None:
    limiter = RateLimiter("x", TokenBucket("1/hour", 5), clock=manual_clock)
    old = await limiter.acquire("k", 5)
    await limiter.reset("k")
    for number in range(2_500):
        await limiter.reset(str(number))
    assert len(limiter._gate._reset) <= 1_000
    await limiter.acquire("k", 5)
    await old.cancel()
    assert (await limiter.peek("k")).remaining == 0
