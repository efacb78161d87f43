"""What a bot sends, and when."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, open_backend
from mobius_infra.ratelimit import Outbound, RateLimitedError, RateLimiter, TokenBucket, telegram
from mobius_infra.testing import ManualClock
from tests.ratelimit.models import most_in
from tests.ratelimit.support import Flaky, Slow


class TooManyRequestsError(Exception):
    """As clients of the Bot API raise it for a 429."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Sender:
    """Sends by way of the limits, and notes what went out when."""

    def __init__(self, limits: Outbound, clock: ManualClock) -> None:
        self.limits = limits
        self.clock = clock
        self.out: list[tuple[int | str, float]] = []
        self.errors: dict[int | str, float] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, chat: int | str, times: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._send(chat)) for _ in range(times)]

    async def _send(self, chat: int | str) -> None:
        async with self.limits.sending(chat):
            if chat in self.errors:
                raise TooManyRequestsError(self.errors.pop(chat))
            self.out.append((chat, round(self.clock.monotonic(), 4)))

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def of(self, chat: int | str) -> list[float]:
        return [at for to, at in self.out if to == chat]


@pytest.fixture
async def sender(manual_clock: ManualClock) -> AsyncIterator[Sender]:
    sender = Sender(telegram(clock=manual_clock), manual_clock)
    yield sender
    await sender.end()


async def test_a_chat_gets_one_a_second_in_order(sender: Sender, manual_clock: ManualClock) -> None:
    sender.start(7, times=4)
    await manual_clock.advance(10)
    assert sender.of(7) == pytest.approx([0, 1, 2, 3], abs=1e-3)
    assert sender.limits.stats().sent == 4


async def test_a_group_gets_never_more_than_20_in_any_minute(
    sender: Sender, manual_clock: ManualClock
) -> None:
    sender.start(-100, times=50)
    await manual_clock.advance(200)
    times = [(round(at * 1e6), 1) for at in sender.of(-100)]
    assert len(times) == 50
    assert most_in(times, 60_000_000) == 20
    assert times[20][0] >= 60_000_000


async def test_all_together_get_never_more_than_30_in_any_second() -> None:
    manual_clock = ManualClock(settle=500)  # turns that it takes thirty to go out, one by one
    sender = Sender(telegram(clock=manual_clock), manual_clock)
    for chat in range(1, 101):
        sender.start(chat)
    await manual_clock.advance(0)
    assert len(sender.out) == 30
    assert manual_clock.sleepers == 1  # the others stand behind
    await manual_clock.advance(10)
    assert [chat for chat, _ in sender.out] == list(range(1, 101))
    assert most_in([(round(at * 1e6), 1) for _, at in sender.out], 1_000_000) == 30
    assert sender.out[-1][1] == pytest.approx(3, abs=1e-3)


async def test_a_chat_that_waits_holds_up_no_other(
    sender: Sender, manual_clock: ManualClock
) -> None:
    sender.start(-100, times=25)
    await manual_clock.advance(25)
    sender.start(7)
    sender.start("@channel")
    await manual_clock.advance(0)
    assert sender.of(7) == sender.of("@channel") == [25]
    for task in sender.tasks:
        task.cancel()
    await manual_clock.advance(0)
    assert sender.limits.stats().waiting == 0


async def test_a_429_of_a_chat_pauses_that_chat(sender: Sender, manual_clock: ManualClock) -> None:
    sender.errors[7] = 30
    sender.start(7, times=3)
    await manual_clock.advance(1)
    sender.start(8)
    await manual_clock.advance(60)
    assert isinstance(sender.tasks[0].exception(), TooManyRequestsError)
    assert sender.of(7) == pytest.approx([30, 31], abs=1e-3)
    assert sender.of(8) == [1]
    assert sender.limits.stats().pauses == {"chat": 1, "all": 0}


async def test_a_second_one_for_another_chat_pauses_everybody(
    sender: Sender, manual_clock: ManualClock
) -> None:
    sender.errors |= {7: 30, 8: 20}
    sender.start(7)
    sender.start(8)
    await manual_clock.advance(0)
    sender.start(9)
    sender.start(7)
    await manual_clock.advance(60)
    assert sender.of(9) == pytest.approx([20], abs=1e-3)
    assert sender.of(7) == pytest.approx([30], abs=1e-3)
    assert sender.limits.stats().pauses == {"chat": 1, "all": 1}
    # Long over: the next is its chat's again.
    sender.errors[8] = 5
    sender.start(8)
    sender.start(9)
    await manual_clock.advance(0)
    assert len(sender.of(9)) == 2


async def test_pauses_can_be_told(sender: Sender, manual_clock: ManualClock) -> None:
    heard: list[Any] = []
    sender.limits.events.subscribe(heard.append)
    sender.start(7, times=2)
    await manual_clock.advance(0.5)
    sender.limits.pause(10)
    sender.limits.pause(3)  # the longer one stays
    sender.limits.pause(2, 8)
    sender.start(8)
    await manual_clock.advance(20)
    assert sender.of(7) == pytest.approx([0, 10.5], abs=1e-3)
    assert sender.of(8) == pytest.approx([10.5], abs=1e-3)
    assert [(event.chat, event.seconds) for event in heard] == [(None, 10), (None, 3), ("8", 2)]
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="seconds"):
            sender.limits.pause(seconds)


async def test_a_pause_that_begins_while_the_door_is_shut_holds(
    sender: Sender, manual_clock: ManualClock
) -> None:
    for chat in range(1, 32):
        sender.start(chat)
    await manual_clock.advance(0.5)  # the 31st waits for the overall limit
    sender.limits.pause(30, 31)
    sender.start(50)
    await manual_clock.advance(60)
    assert sender.of(31) == pytest.approx([30.5], abs=1e-3)
    assert sender.of(50) == pytest.approx([1], abs=1e-3)


async def test_a_refusal_of_our_own_is_no_pause(manual_clock: ManualClock) -> None:
    limits = telegram(clock=manual_clock)
    inner = RateLimiter("inner", TokenBucket("1/hour", 1), clock=manual_clock)
    await inner.acquire()
    with pytest.raises(RateLimitedError, match="inner"):
        async with limits.sending(7):
            await inner.acquire()
    assert limits.stats().pauses == {"chat": 0, "all": 0}


async def test_who_would_wait_too_long_is_refused(manual_clock: ManualClock) -> None:
    limits = telegram(max_wait=10, clock=manual_clock)
    limits.pause(11)
    with pytest.raises(RateLimitedError) as caught:
        await limits.slot(7)
    assert caught.value.retry_after == pytest.approx(11)
    assert limits.stats().refused == 1
    assert repr(limits) == "Outbound('telegram', waiting=0)"


async def test_two_processes_share_the_limits_of_a_bot(manual_clock: ManualClock) -> None:
    backend = open_backend("memory://", clock=manual_clock)
    one, two = (
        Sender(telegram(backend=backend, clock=manual_clock), manual_clock) for _ in range(2)
    )
    for user in range(1, 61):
        one.start(user)
        two.start(user)
    await manual_clock.advance(20)
    out = sorted(one.out + two.out, key=lambda each: each[1])
    assert len(out) == 120
    assert most_in([(round(at * 1e6), 1) for _, at in out], 1_000_000) <= 30
    by_chat: dict[Any, list[float]] = defaultdict(list)
    for chat, at in out:
        by_chat[chat].append(at)
    assert all(second - first >= 0.9999 for first, second in by_chat.values())


@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.01, 0.5, 1.0, 7.0]),
            st.sampled_from([1, 2, -1, -2, "@c"]),
            st.integers(1, 12),
            st.sampled_from([0, 0, 0, 3, 20]),  # a 429, and for how long
        ),
        max_size=12,
    )
)
async def test_whatever_is_sent_no_limit_is_exceeded(todo: list[Any]) -> None:
    clock = ManualClock()
    sender = Sender(telegram(clock=clock), clock)
    for pause, chat, times, retry_after in todo:
        await clock.advance(pause)
        if retry_after:
            sender.errors[chat] = retry_after
        sender.start(chat, times)
    await clock.advance(1000)
    assert all(task.done() for task in sender.tasks)
    for task in sender.tasks:
        assert task.exception() is None or not isinstance(task.exception(), AssertionError)
    every = [(round(at * 1e6), 1) for _, at in sender.out]
    assert most_in(every, 1_000_000) <= 30
    for chat in (1, 2, -1, -2, "@c"):
        times = [(round(at * 1e6), 1) for at in sender.of(chat)]
        assert most_in(times, 999_000) <= 1  # the clock's floats are read to a microsecond
        if str(chat)[0] in "-@":
            assert most_in(times, 59_999_000) <= 20


async def test_what_a_share_refuses_after_an_outage_is_waited_for(
    manual_clock: ManualClock,
) -> None:
    """The backend, back and empty, would let it out; the process knows what went out meanwhile."""
    backend = Flaky(manual_clock)
    sender = Sender(telegram(backend=backend, clock=manual_clock), manual_clock)
    backend.away = True
    sender.start(-1, 20)
    await manual_clock.advance(20)
    backend.away = False
    sender.start(-2, 5)  # their decisions find out that it is back
    await manual_clock.advance(5)
    assert len(sender.of(-1)) == 20
    sender.start(-1)
    asked = backend.asked
    await manual_clock.advance(1)
    assert backend.asked - asked < 10
    await manual_clock.advance(60)
    assert sender.of(-1)[20:] == pytest.approx([60], abs=1e-3)
    await sender.end()


async def test_processes_keep_to_shares_while_the_backend_is_away(
    manual_clock: ManualClock,
) -> None:
    backend = Flaky(manual_clock)
    backend.away = True
    senders = [
        Sender(telegram(backend=backend, replicas=2, clock=manual_clock), manual_clock)
        for _ in range(2)
    ]
    for sender in senders:
        sender.start(-1, 30)
    await manual_clock.advance(59)
    assert sum(len(sender.of(-1)) for sender in senders) == 20
    for sender in senders:
        await sender.end()


async def test_nobody_is_let_out_later_than_said_by_a_slow_backend(
    manual_clock: ManualClock,
) -> None:
    backend = Slow(manual_clock)
    limits = telegram(max_wait=1, backend=backend, clock=manual_clock)
    tasks = [asyncio.create_task(limits.slot(chat)) for chat in (1, 2)]
    await manual_clock.advance(2)
    backend.answer()
    await manual_clock.advance(0)
    assert [isinstance(task.exception(), RateLimitedError) for task in tasks] == [True, True]
    assert limits.stats().sent == 0


async def test_a_pause_without_end_does_not_hide_the_error(sender: Sender) -> None:
    sender.errors[7] = float("inf")
    with pytest.raises(TooManyRequestsError):
        await sender._send(7)


async def test_a_group_gets_no_more_when_the_backend_is_lost(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    sender = Sender(telegram(backend=backend, clock=manual_clock), manual_clock)
    sender.start(-1, 20)
    await manual_clock.advance(20)
    assert len(sender.of(-1)) == 20
    backend.away = True
    sender.start(-1, 40)
    await manual_clock.advance(30)
    backend.away = False
    await manual_clock.advance(150)
    out = [(round(at * 1e6), 1) for at in sender.of(-1)]
    assert len(out) == 60
    assert most_in(out, 60_000_000) == 20
    await sender.end()
