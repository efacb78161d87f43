import asyncio
from typing import assert_type

import pytest

from mobius_infra.breaker import (
    BulkheadFreed,
    BulkheadFull,
    BulkheadFullError,
    CircuitBreaker,
    KeyedBulkhead,
    bulkhead,
    resilient,
)
from mobius_infra.breaker._bulkhead_queue import Fifo
from mobius_infra.core import ConfigurationError, Event
from mobius_infra.testing import ManualClock


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Hosts:
    def __init__(self, limiter: KeyedBulkhead) -> None:
        self.entered: list[str] = []
        self.open = asyncio.Event()
        self.fetch = limiter(self._fetch)

    async def _fetch(self, host: str) -> str:
        self.entered.append(host)
        await self.open.wait()
        return host


async def test_each_key_has_slots_of_its_own() -> None:
    limiter = bulkhead(2, key="host", name="hosts")
    hosts = Hosts(limiter)
    calls = [asyncio.create_task(hosts.fetch(host)) for host in ["a", "a", "a", "b"]]
    await settle()
    assert hosts.entered == ["a", "a", "b"]
    with pytest.raises(BulkheadFullError) as caught:
        await calls.pop(2)
    assert caught.value.name == "hosts[a]"
    assert limiter.stats().keys == 2
    hosts.open.set()
    assert await asyncio.gather(*calls) == ["a", "a", "b"]


async def test_a_key_is_forgotten_with_its_last_call_and_its_numbers_are_kept() -> None:
    limiter = bulkhead(1, queue=1, key="host")
    hosts = Hosts(limiter)
    calls = [asyncio.create_task(hosts.fetch(host)) for host in "aaab"]
    await settle()
    stats = limiter.stats()
    assert (stats.keys, stats.in_use, stats.waiting, stats.limit) == (2, 2, 1, 1)
    hosts.open.set()
    await asyncio.gather(*calls, return_exceptions=True)
    stats = limiter.stats()
    assert (stats.keys, stats.in_use, stats.waiting) == (0, 0, 0)
    assert (stats.admitted, stats.waited, stats.rejected["full"]) == (3, 1, 1)
    assert limiter._parts == {}


@pytest.mark.parametrize("how", ["waits too long", "is cancelled"])
async def test_who_leaves_late_does_not_take_a_key_that_has_begun_anew(
    how: str, manual_clock: ManualClock
) -> None:
    limiter = bulkhead(1, queue=1, max_wait=5.0, key="host", clock=manual_clock)
    first, last = Hosts(limiter), Hosts(limiter)

    async def twice() -> str:
        await first.fetch("a")
        return await last.fetch("a")

    one = asyncio.create_task(twice())
    await settle()
    two = asyncio.create_task(first.fetch("a"))
    await settle()
    if how == "waits too long":
        manual_clock.tick(5)
        first.open.set()
    else:
        first.open.set()
        two.cancel()
    await settle()
    assert two.done()
    stats = limiter.stats()
    assert (stats.keys, stats.in_use) == (1, 1)  # the second time: it is not forgotten
    last.open.set()
    assert await one == "a"
    assert limiter._parts == {}


async def test_it_guards_a_block_and_tells_of_all_keys() -> None:
    limiter, heard = bulkhead(1, key="host", name="hosts"), list[Event]()
    limiter.events.subscribe(heard.append)
    async with limiter.slot("a:1"), limiter.slot("b"):
        with pytest.raises(BulkheadFullError):
            async with limiter.slot("a:1"):
                pass
    assert [type(event) for event in heard] == [BulkheadFull, BulkheadFreed]
    assert heard[0].source == "hosts[a:1]"
    assert repr(limiter) == "KeyedBulkhead('hosts', 1 each, 0 keys)"


async def test_a_parameter_alone_is_the_key_as_it_is() -> None:
    limiter = bulkhead(1, key="host")

    @limiter
    async def fetch(host: str) -> list[str]:
        return list(limiter._parts)

    assert_type(await fetch("::1"), list[str])
    assert await fetch("::1") == ["::1"]


async def test_it_is_a_part_of_a_stack() -> None:
    limiter = bulkhead(1, key="host")

    @resilient(breaker=CircuitBreaker("hosts"), bulkhead=limiter)
    async def fetch(host: str) -> int:
        return limiter.stats().in_use

    assert await fetch("a") == 1


def test_a_key_and_a_queue_that_would_be_shared_are_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        bulkhead(1, queue=Fifo(1), key="host")  # type: ignore[call-overload]  # is refused
    assert caught.value.field == "key"


def test_a_key_must_name_a_parameter() -> None:
    with pytest.raises(ConfigurationError, match="host"):

        @bulkhead(1, key="host")
        async def fetch(url: str) -> None: ...
