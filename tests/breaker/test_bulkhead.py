import asyncio
import gc
from typing import Any, assert_type

import pytest

from mobius_infra.breaker import (
    BulkheadConfig,
    BulkheadFreed,
    BulkheadFull,
    BulkheadFullError,
    bulkhead,
)
from mobius_infra.breaker._bulkhead_queue import Fifo
from mobius_infra.core import ConfigurationError, Event, Rejected, samples
from mobius_infra.testing import ManualClock


class Gate:
    """A dependency whose calls go on until they are let go."""

    def __init__(self) -> None:
        self.entered: list[object] = []
        self.open = asyncio.Event()

    async def call(self, name: object = None) -> object:
        self.entered.append(name)
        await self.open.wait()
        return name


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_than_the_limit_are_let_in_and_the_rest_in_order() -> None:
    gate, limiter = Gate(), bulkhead(3, queue=10)
    call = limiter(gate.call)
    calls = [asyncio.create_task(call(number)) for number in range(10)]
    await settle()
    assert gate.entered == [0, 1, 2]
    assert (limiter.in_use, limiter.waiting) == (3, 7)
    gate.open.set()
    assert await asyncio.gather(*calls) == list(range(10))
    assert gate.entered == list(range(10))
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_what_finds_no_room_is_turned_away_with_a_fresh_error() -> None:
    gate, limiter = Gate(), bulkhead(1, queue=1, name="reports")
    call = limiter(gate.call)
    calls = [asyncio.create_task(call()) for _ in range(2)]
    await settle()
    errors = []
    for _ in range(2):
        with pytest.raises(BulkheadFullError) as caught:
            await call()
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert isinstance(errors[0], Rejected)
    assert str(errors[0]) == "bulkhead 'reports' gave no slot (full): its limit is 1, 1 wait"
    assert errors[0].fields() == {
        "name": "reports", "reason": "full", "limit": 1, "waiting": 1, "retry_after": None,
    }  # fmt: skip
    gate.open.set()
    await asyncio.gather(*calls)


async def test_rejections_keep_nothing_alive() -> None:
    limiter = bulkhead(1)
    await limiter.acquire()

    async def rejected() -> int:
        try:
            await limiter.acquire()
        except BulkheadFullError as error:
            depth, trace = 0, error.__traceback__
            while trace is not None:
                depth, trace = depth + 1, trace.tb_next
            return depth
        raise AssertionError

    assert len({await rejected() for _ in range(200)}) == 1
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await rejected()
        assert not [each for each in gc.get_objects() if isinstance(each, BulkheadFullError)]
    finally:
        gc.enable()


async def test_a_call_waits_no_longer_than_it_may(manual_clock: ManualClock) -> None:
    limiter = bulkhead(1, queue=2, max_wait=5.0, clock=manual_clock)
    await limiter.acquire()
    first = asyncio.create_task(limiter.acquire())
    await manual_clock.advance(2)
    second = asyncio.create_task(limiter.acquire())
    await manual_clock.advance(3)
    with pytest.raises(BulkheadFullError, match="waited too long"):
        await first
    assert limiter.waiting == 1
    limiter.release()
    await second
    assert limiter.stats().rejected == {"full": 0, "waited too long": 1, "cancelled": 0}
    with pytest.raises(BulkheadFullError) as caught:
        await asyncio.gather(*(limiter.acquire() for _ in range(3)))
    assert caught.value.retry_after == 3.0  # as long as the second waited
    assert manual_clock.sleepers == 2  # the timers of those that still wait, and no other
    limiter.resize(3)
    await settle()
    assert manual_clock.sleepers == 0


async def test_it_waits_on_the_real_clock_too() -> None:
    limiter = bulkhead(1, queue=1, max_wait=0.001)
    await limiter.acquire()
    with pytest.raises(BulkheadFullError, match="waited too long"):
        await limiter.acquire()


async def test_without_a_bound_it_waits_as_long_as_it_takes(manual_clock: ManualClock) -> None:
    limiter = bulkhead(1, queue=1, max_wait=None, clock=manual_clock)
    await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await manual_clock.advance(1_000_000)
    assert not waiting.done()
    limiter.release()
    await waiting


async def test_a_cancelled_waiter_leaves_at_once() -> None:
    limiter = bulkhead(1, queue=1)
    await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert limiter.waiting == 0
    limiter.release()
    await limiter.acquire()  # no wait: the slot went to nobody who is gone
    assert limiter.in_use == 1


async def test_one_cancelled_in_the_turn_of_its_grant_passes_the_slot_on() -> None:
    limiter = bulkhead(1, queue=2)
    await limiter.acquire()
    gone = asyncio.create_task(limiter.acquire())
    heir = asyncio.create_task(limiter.acquire())
    await settle()
    limiter.release()  # to the first, which has not run since
    gone.cancel()
    await settle()
    assert gone.cancelled()
    assert heir.done()
    assert limiter.in_use == 1
    limiter.release()
    assert limiter.in_use == 0


async def test_one_cancelled_before_its_turn_in_the_same_turn_is_passed_over() -> None:
    limiter = bulkhead(1, queue=2)
    await limiter.acquire()
    gone = asyncio.create_task(limiter.acquire())
    heir = asyncio.create_task(limiter.acquire())
    await settle()
    gone.cancel()
    limiter.release()
    await settle()
    assert gone.cancelled()
    assert heir.done()


async def test_one_cancelled_in_the_turn_in_which_it_waited_too_long_holds_no_slot(
    manual_clock: ManualClock,
) -> None:
    limiter = bulkhead(1, queue=1, max_wait=5.0, clock=manual_clock)
    await limiter.acquire()
    gone = asyncio.create_task(limiter.acquire())
    await settle()
    manual_clock.tick(5)
    await asyncio.sleep(0)
    assert (gone.done(), limiter.waiting) == (False, 0)  # refused, but has not run since
    gone.cancel()
    await settle()
    assert gone.cancelled()
    assert limiter.in_use == 1


async def test_one_granted_in_the_turn_in_which_it_would_have_waited_too_long_has_its_slot() -> (
    None
):
    limiter = bulkhead(1, queue=1)
    await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await settle()
    waiter = next(iter(limiter._queue._items))  # type: ignore[attr-defined]  # of a Fifo
    limiter.release()
    limiter._expire(waiter)  # its timer was due in this turn as well
    await waiting
    assert limiter.in_use == 1


async def test_a_cancelled_waiter_says_that_nothing_was_tried() -> None:
    limiter = bulkhead(1, queue=1)
    await limiter.acquire()
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.001):
            await limiter.acquire()
    assert caught.value.__cause__ is not None
    rejection = caught.value.__cause__.__cause__
    assert isinstance(rejection, BulkheadFullError)
    assert rejection.reason == "cancelled"


async def test_a_waiter_that_is_thrown_away_leaves_the_queue() -> None:
    limiter = bulkhead(1, queue=1, max_wait=None)
    await limiter.acquire()
    waiting = limiter.acquire()
    waiting.send(None)
    assert limiter.waiting == 1
    waiting.close()
    assert limiter.waiting == 0


async def test_a_newcomer_never_overtakes() -> None:
    limiter = bulkhead(1, queue=2)
    await limiter.acquire()
    order = []

    async def call(name: str) -> None:
        await limiter.acquire()
        order.append(name)
        limiter.release()

    first = asyncio.create_task(call("first"))
    await settle()
    limiter.release()
    await asyncio.gather(call("newcomer"), first)  # runs before the first is woken
    assert order == ["first", "newcomer"]


async def test_a_higher_limit_lets_in_who_waits() -> None:
    gate, limiter = Gate(), bulkhead(1, queue=5)
    calls = [asyncio.create_task(limiter(gate.call)(number)) for number in range(5)]
    await settle()
    limiter.resize(3)
    await settle()
    assert gate.entered == [0, 1, 2]
    assert (limiter.limit, limiter.in_use) == (3, 3)
    gate.open.set()
    await asyncio.gather(*calls)


async def test_a_lower_limit_is_reached_as_calls_end() -> None:
    limiter = bulkhead(3, queue=1)
    for _ in range(3):
        await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await settle()
    limiter.resize(1)
    assert repr(limiter) == "Bulkhead('bulkhead', 3 of 1, 1 waiting)"
    for _ in range(2):
        limiter.release()
        await settle()
        assert not waiting.done()
    limiter.release()
    await waiting
    assert limiter.in_use == 1


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError(), SystemExit()], ids=repr)
async def test_a_call_that_fails_gives_its_slot_back(error: BaseException) -> None:
    limiter = bulkhead(1)

    @limiter
    async def fail() -> None:
        raise error

    for _ in range(3):
        with pytest.raises(type(error)):
            await fail()
        assert limiter.in_use == 0


async def test_it_guards_a_block() -> None:
    limiter = bulkhead(2)

    async def fail() -> None:
        async with limiter, limiter:
            assert limiter.in_use == 2
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert limiter.in_use == 0


async def test_giving_back_what_was_not_taken_is_refused() -> None:
    limiter = bulkhead(1)
    with pytest.raises(RuntimeError, match="nobody had acquired"):
        limiter.release()
    assert limiter.in_use == 0


async def test_it_says_once_that_it_is_full_until_half_is_free(manual_clock: ManualClock) -> None:
    limiter, heard = bulkhead(4, clock=manual_clock), list[Event]()
    limiter.events.subscribe(heard.append)
    for _ in range(4):
        await limiter.acquire()
    for _ in range(3):
        with pytest.raises(BulkheadFullError):
            await limiter.acquire()
    limiter.release()
    await limiter.acquire()
    with pytest.raises(BulkheadFullError):
        await limiter.acquire()
    at = manual_clock.time()
    assert heard == [BulkheadFull(source="bulkhead", at=at, limit=4, waiting=0)]
    limiter.release()
    limiter.release()
    assert heard[1:] == [BulkheadFreed(source="bulkhead", at=at, rejected=4)]
    limiter.release()
    assert len(heard) == 2


class ByTurns:
    """A queue that is plugged in: the tenant that was served longest ago is next."""

    def __init__(self) -> None:
        self.lanes: dict[str, list[object]] = {}

    def push(self, tenant: str, item: object) -> bool:
        self.lanes.setdefault(tenant, []).append(item)
        return True

    def pop(self) -> object | None:
        if not self.lanes:
            return None
        tenant = next(iter(self.lanes))
        items = self.lanes.pop(tenant)
        item = items.pop(0)
        if items:
            self.lanes[tenant] = items
        return item

    def remove(self, item: object) -> bool:
        for tenant, items in self.lanes.items():
            if item in items:
                items.remove(item)
                if not items:
                    del self.lanes[tenant]
                return True
        return False

    def __len__(self) -> int:
        return sum(map(len, self.lanes.values()))


async def test_another_queue_can_be_plugged_in_and_is_told_the_tenant() -> None:
    order: list[str] = []
    limiter = bulkhead(1, queue=ByTurns(), tenant="user")

    @limiter
    async def call(user: str) -> None:
        order.append(user)
        await asyncio.sleep(0)

    async with limiter:
        calls = [asyncio.create_task(call(user)) for user in "aaab"]
        await settle()
        calls[0].cancel()
        await settle()
    await asyncio.gather(*calls, return_exceptions=True)
    assert order == ["a", "b", "a"]


def test_first_in_first_out() -> None:
    queue = Fifo(2)
    assert [queue.push("", each) for each in "abc"] == [True, True, False]
    assert repr(queue) == "Fifo(2 of 2)"
    assert [queue.remove("a"), queue.remove("a")] == [True, False]
    assert [queue.pop(), queue.pop()] == ["b", None]


async def test_types_numbers_and_name() -> None:
    limiter = bulkhead(2, name="reports")

    class Client:
        @limiter
        async def get(self, path: str, *, limit: int = 1) -> list[str]:
            return [path] * limit

    assert_type(await Client().get("a", limit=2), list[str])
    assert repr(limiter) == "Bulkhead('reports', 0 of 2)"
    found = {sample.name: sample.value for sample in samples(limiter.stats()) if not sample.labels}
    assert found == {"admitted": 1, "waited": 0, "limit": 2, "in_use": 0, "waiting": 0}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"limit": float("nan")}, "limit"),
        ({"queue": -1}, "queue"),
        ({"queue": True}, "queue"),
        ({"queue": object()}, "queue"),
        ({"max_wait": 0}, "max_wait"),
        ({"max_wait": float("nan")}, "max_wait"),
        ({"max_wait": float("inf")}, "max_wait"),
        ({"max_wait": True}, "max_wait"),
        ({"tenant": "user"}, "tenant"),
        ({"name": ""}, "name"),
    ],
)
def test_values_out_of_range_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        bulkhead(**{"limit": 1, **options})
    assert caught.value.field == field


def test_a_wrong_size_changes_nothing() -> None:
    limiter = bulkhead(2)
    with pytest.raises(ConfigurationError, match="limit"):
        limiter.resize(0)
    assert limiter.limit == 2


def test_it_is_built_from_settings() -> None:
    config = BulkheadConfig.load({"name": "reports", "limit": 5, "queue": 10, "max_wait": None})
    assert repr(bulkhead(**config.options())) == "Bulkhead('reports', 0 of 5)"
    with pytest.raises(ConfigurationError, match="limit"):
        BulkheadConfig.load({"limit": "many"})
