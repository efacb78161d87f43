"""Grants through a backend: heard by all, judged by the newest, denied when they can't be read."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.core import (
    Backend,
    BackendTimeoutError,
    BackendUnavailableError,
    CodecError,
    Event,
    open_backend,
)
from mobius_infra.security import (
    Access,
    AccessFailed,
    Condition,
    GrantDeniedError,
    GrantsLost,
    GrantsRestored,
    Policy,
    Role,
    Rule,
)
from mobius_infra.testing import ManualClock
from tests.cache.support import Slow
from tests.servers.waiting import patient

POLICY = Policy(
    [
        Role("admin", allow=("role:*", "wallet:*")),
        Role("reader", allow=("wallet:read",)),
        Role("frozen", deny=("*",)),
    ],
    subjects={"1": ["admin"]},
)


def member(backend: Backend, clock: ManualClock | None = None, **options: Any) -> Access:
    return Access("a", POLICY, backend=backend, clock=clock, **options)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.002)


@pytest.fixture
def slow(manual_clock: ManualClock) -> Slow:
    return Slow(manual_clock)


async def test_a_grant_and_its_end_reach_the_others_by_message(
    slow: Slow, manual_clock: ManualClock
) -> None:
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        await manual_clock.advance(0)
        assert await one.grant("7", "reader", by="1")
        await manual_clock.advance(0)  # no time passes
        assert other.allows("7", "wallet:read")
        assert await other.revoke("7", "reader", by="1")
        assert not other.allows("7", "wallet:read")
        await manual_clock.advance(0)
        assert not one.allows("7", "wallet:read")
    assert manual_clock.sleepers == 0


async def test_a_message_that_is_lost_costs_no_more_than_the_bound(
    slow: Slow, manual_clock: ManualClock
) -> None:
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        await manual_clock.advance(0)
        gate = slow.hold("publish")
        telling = asyncio.ensure_future(one.grant("7", "frozen", by="1"))
        await manual_clock.advance(10.0)
        assert not other.allows("7", "wallet:read")
        assert other.roles_of("7") == ("frozen",)
        gate.set()
        assert await telling


async def test_who_cannot_read_what_is_granted_denies_and_heals(
    slow: Slow, manual_clock: ManualClock
) -> None:
    async with member(slow, manual_clock) as access:
        events: list[Event] = []
        access.events.subscribe(events.append)
        assert access.allows("1", "wallet:read")
        slow.away = True
        await manual_clock.advance(9.0)
        assert access.allows("1", "wallet:read")
        await manual_clock.advance(3.0)
        assert not access.allows("1", "wallet:read")
        assert access.stats().grants == "stale"
        with pytest.raises(BackendUnavailableError):
            await access.grant("7", "reader", by="1")
        slow.away = False
        await manual_clock.advance(3.0)
        assert access.allows("1", "wallet:read")
        assert [type(event) for event in events] == [GrantsLost, AccessFailed, GrantsRestored]


async def test_messages_that_cannot_be_had_are_no_loss_while_grants_can_be_read(
    slow: Slow, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_channels: object) -> None:
        raise BackendUnavailableError("b", "subscribe", "away")

    monkeypatch.setattr(type(slow), "subscribe", lambda _self, *channels: refuse(*channels))
    async with member(slow, manual_clock) as access:
        events: list[Event] = []
        access.events.subscribe(events.append)
        await slow.set("access:a", b'{"subjects":{"7":["reader"]}}')
        await manual_clock.advance(30.0)
        assert access.allows("7", "wallet:read")
    assert events == []


async def test_before_it_is_started_and_after_it_is_closed_everything_is_denied(
    slow: Slow, manual_clock: ManualClock
) -> None:
    access = member(slow, manual_clock)
    assert not access.allows("1", "wallet:read")
    async with access:
        assert access.allows("1", "wallet:read")
    assert not access.allows("1", "wallet:read")


async def test_a_backend_that_is_away_at_the_start_is_waited_for(
    slow: Slow, manual_clock: ManualClock
) -> None:
    slow.away = True
    async with member(slow, manual_clock) as access:
        assert not access.allows("1", "wallet:read")
        slow.away = False
        await manual_clock.advance(2.5)
        assert access.allows("1", "wallet:read")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"subjects":{"7":[5]}}', b"{}", b"\xff"])
async def test_what_is_no_state_of_ours_is_not_believed(
    slow: Slow, manual_clock: ManualClock, data: bytes
) -> None:
    async with member(slow, manual_clock) as access:
        await slow.set("access:a", data)
        await slow.publish("access:a", data)
        await manual_clock.advance(12.0)
        assert not access.allows("1", "wallet:read")
        with pytest.raises(CodecError, match="not of this version"):
            await access.grant("7", "reader", by="1")


async def test_a_message_is_not_believed(slow: Slow, manual_clock: ManualClock) -> None:
    async with member(slow, manual_clock) as access:
        await manual_clock.advance(0)
        await slow.publish("access:a", json.dumps({"subjects": {"7": ["admin"]}}).encode())
        await manual_clock.advance(1.0)
        assert not access.allows("7", "wallet:read")


async def test_an_answer_counts_from_when_it_was_asked_for(
    slow: Slow, manual_clock: ManualClock
) -> None:
    """A read that hangs until long after must not make what it brings seem new."""

    async with member(slow, manual_clock) as access:
        await manual_clock.advance(0)
        gate = asyncio.Event()
        get = slow.get

        async def late(key: str) -> bytes | None:
            data = await get(key)
            await gate.wait()
            return data

        slow_get: Any = late
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(slow), "get", lambda _self, key: slow_get(key))
            await manual_clock.advance(14.0)
            gate.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not access.allows("1", "wallet:read")


async def test_who_was_suspended_elsewhere_grants_no_more(
    slow: Slow, manual_clock: ManualClock
) -> None:
    """The one who grants is judged by what is granted now, not by what this process holds."""
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        await manual_clock.advance(0)
        await one.grant("2", "admin", by="1")
        await manual_clock.advance(0)
        gate = slow.hold("publish")
        revoking = asyncio.ensure_future(one.revoke("2", "admin", by="1"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert other.allows("2", "role:grant:reader")  # has not heard
        with pytest.raises(GrantDeniedError):
            await other.grant("7", "reader", by="2")
        gate.set()
        await revoking


@pytest.mark.parametrize("done", [False, True])
async def test_a_change_whose_answer_came_too_late_is_made_once(
    slow: Slow, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """SQLite is kept by others for as long as an operation may take; or the answer was lost."""
    swap = slow.compare_and_set
    asked = 0

    async def late(*args: Any) -> bool:
        nonlocal asked
        asked += 1
        won = await swap(*args) if done or asked > 2 else False
        if asked <= 2:
            raise BackendTimeoutError("b", "compare_and_set", "database is locked")
        return won

    monkeypatch.setattr(type(slow), "compare_and_set", lambda _self, *args: late(*args))
    async with member(slow, manual_clock) as access:
        assert await access.grant("7", "reader", by="1")
        assert access.allows("7", "wallet:read")
        assert asked == (1 if done else 3)


async def test_a_backend_that_is_too_late_every_time_is_given_up(
    slow: Slow, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def late(*args: Any) -> bool:
        asked.append(args)
        raise BackendTimeoutError("b", "compare_and_set", "database is locked")

    monkeypatch.setattr(type(slow), "compare_and_set", lambda _self, *args: late(*args))
    async with member(slow, manual_clock) as access:
        with pytest.raises(BackendTimeoutError):
            await access.grant("8", "reader", by="1")
        assert len(asked) == 5
        assert not access.allows("8", "wallet:read")


async def test_nothing_of_the_users_runs_under_a_lock(
    slow: Slow, manual_clock: ManualClock
) -> None:
    """Neither a condition of who grants, nor a listener."""
    locked: list[bool] = []

    def look(*_asked: object) -> bool:
        assert access._grants is not None
        locked.append(access._grants._lock.locked())
        return True

    policy = Policy(
        [
            Role("admin", allow=(Rule("role:*", (Condition("look", look),)), "wallet:*")),
            Role("reader", allow=("wallet:read",)),
        ],
        subjects={"1": ["admin"]},
    )
    access = Access("a", policy, backend=slow, clock=manual_clock)
    access.events.subscribe(look)
    async with access:
        with pytest.raises(GrantDeniedError):
            await access.grant("7", "reader", by="8")
        assert await access.grant("7", "reader", by="1")
        slow.away = True
        await manual_clock.advance(9.0)
        slow.away = False
        await manual_clock.advance(3.0)
    assert len(locked) == 5  # refused, asked, changed, lost, restored
    assert not any(locked)


async def test_many_grant_at_once_in_one_process(
    slow: Slow, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than there are attempts of one: who is faster in the same process costs none."""
    swap = slow.compare_and_set

    async def yielding(*args: Any) -> bool:
        await asyncio.sleep(0)
        return await swap(*args)

    monkeypatch.setattr(type(slow), "compare_and_set", lambda _self, *args: yielding(*args))
    async with member(slow, manual_clock) as access:
        jobs = [access.grant(str(number), "reader", by="1") for number in range(10, 120)]
        assert all(await asyncio.gather(*jobs))
        assert access.stats().subjects == 111


async def test_many_grant_at_once_on_redis(redis_url: str) -> None:
    await check_that_none_is_lost(redis_url, members=4)


async def test_many_grant_at_once_on_sqlite(tmp_path: Path) -> None:
    await check_that_none_is_lost(f"sqlite:///{tmp_path}/a.db?timeout=30", members=2)


async def check_that_none_is_lost(url: str, *, members: int) -> None:
    async with AsyncExitStack() as stack:
        fleet = []
        for _ in range(members):
            backend = await stack.enter_async_context(open_backend(patient(url)))
            fleet.append(await stack.enter_async_context(member(backend)))
        subjects = [str(number) for number in range(10, 10 + members * 5)]
        jobs = [
            fleet[number % members].grant(subject, "reader", by="1")
            for number, subject in enumerate(subjects)
        ]
        assert all(await asyncio.gather(*jobs))
        await eventually(
            lambda: all(each.allows(who, "wallet:read") for each in fleet for who in subjects)
        )
        assert await fleet[0].grant("10", "frozen", by="1")
        await eventually(lambda: not any(each.allows("10", "wallet:read") for each in fleet))
