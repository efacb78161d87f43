"""Grants through a backend: heard by all, judged by the newest, denied when they can't be read."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.core import Backend, BackendUnavailableError, Event, open_backend
from mobius_infra.security import (
    Access,
    AccessFailed,
    GrantDeniedError,
    GrantsLost,
    GrantsRestored,
    Policy,
    Role,
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
        with pytest.raises(ValueError, match="not of this version"):
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


async def test_many_grant_at_once_on_redis(redis_url: str) -> None:
    await check_that_none_is_lost(redis_url, members=4)


async def test_many_grant_at_once_on_sqlite(tmp_path: Path) -> None:
    await check_that_none_is_lost(f"sqlite:///{tmp_path}/a.db", members=2)


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
