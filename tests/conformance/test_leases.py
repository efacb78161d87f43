"""Leases: one holder at a time, by the backend's time."""

import asyncio

import pytest

from mobius_infra.core import Backend, ConfigurationError, Lease
from tests.servers.waiting import eventually


async def test_one_of_many_who_ask_at_once_holds_it(backend: Backend) -> None:
    asked = await asyncio.gather(*(Lease.acquire(backend, "k", ttl=100) for _ in range(20)))
    assert sum(lease is not None for lease in asked) == 1


async def test_given_back_it_can_be_had_again_under_a_higher_fence(backend: Backend) -> None:
    first = await Lease.acquire(backend, "k", ttl=100)
    assert first is not None
    assert await first.release()
    assert not await first.release()
    second = await Lease.acquire(backend, "k", ttl=100)
    assert second is not None
    assert second.fence > first.fence


async def test_who_does_not_hold_it_can_neither_renew_nor_take_it_away(backend: Backend) -> None:
    held = await Lease.acquire(backend, "k", ttl=100)
    assert held is not None
    other = Lease(backend, "k", "somebody else", 100, 0)
    assert not await other.renew()
    assert not await other.release()
    assert await held.renew()


async def test_it_runs_out_by_itself_and_a_late_holder_learns_it(backend: Backend) -> None:
    first = await Lease.acquire(backend, "k", ttl=0.05)
    assert first is not None

    second = await eventually(
        lambda: Lease.acquire(backend, "k", ttl=100), timeout=60, what="the lease to run out"
    )
    assert second is not None
    assert second.fence > first.fence
    assert not await first.renew()
    assert not await first.release()
    assert await second.renew()


async def test_the_same_owner_may_ask_again_and_keeps_the_fence(backend: Backend) -> None:
    first = await Lease.acquire(backend, "k", ttl=100, owner="me")
    again = await Lease.acquire(backend, "k", ttl=100, owner="me")
    assert first is not None
    assert again is not None
    assert first.fence == again.fence


async def test_as_a_context_it_gives_itself_back(backend: Backend) -> None:
    lease = await Lease.acquire(backend, "k", ttl=100)
    assert lease is not None
    async with lease:
        assert await Lease.acquire(backend, "k", ttl=100) is None
    assert await Lease.acquire(backend, "k", ttl=100) is not None


async def test_a_time_that_is_not_positive_is_refused(backend: Backend) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        await Lease.acquire(backend, "k", ttl=0)
