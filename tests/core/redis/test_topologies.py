"""Sentinel and Cluster, while they change."""

import asyncio
from collections.abc import Iterator

import pytest

from mobius_infra.core import Backend, BackendUnavailableError, ConfigurationError, open_backend
from mobius_infra.core.backends._redis_client import key_slot
from tests.servers.cluster import RedisCluster
from tests.servers.sentinel import RedisSentinel
from tests.servers.waiting import eventually, patient


@pytest.fixture
def own_sentinel() -> Iterator[RedisSentinel]:
    with RedisSentinel() as sentinel:
        yield sentinel


async def stored(backend: Backend) -> bool:
    try:
        await backend.set("k", b"2")
    except BackendUnavailableError:
        return False
    return True


@pytest.mark.external_service
async def test_after_a_failover_everything_goes_on_with_the_new_master(
    own_sentinel: RedisSentinel,
) -> None:
    async with open_backend(f"{own_sentinel.url}?timeout=5&connect_timeout=5") as backend:
        await backend.set("k", b"1")
        own_sentinel.failover()
        await eventually(lambda: stored(backend), timeout=60, what="the new master")
        assert await backend.get("k") == b"2"


async def test_a_sentinel_url_without_a_master_says_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match="master-name"):
        open_backend("redis+sentinel://127.0.0.1:26379")
    with pytest.raises(ConfigurationError, match="number of a database"):
        open_backend("redis+sentinel://127.0.0.1:26379/main/x")


async def test_a_slot_that_moves_is_followed_and_no_call_fails(redis_cluster: RedisCluster) -> None:
    slot = key_slot(b"mobius:k")
    owner = redis_cluster.owner(slot)
    other = next(node for node in redis_cluster.nodes if node is not owner)
    async with open_backend(patient(redis_cluster.url)) as backend:
        await backend.delete("k")
        await backend.ping()
        redis_cluster.migrate(slot, other)
        try:
            # The owner has no such key any more: it sends us to the other, for this once.
            await asyncio.gather(*(backend.set("k", str(n).encode()) for n in range(20)))
            assert await backend.get("k") == b"19"
            redis_cluster.assign(slot, other)
            assert await backend.get("k") == b"19"
            assert await backend.compare_and_set("k", b"19", b"20")
        finally:
            await backend.delete("k")
            redis_cluster.assign(slot, owner)
        await backend.set("k", b"back")
        assert await backend.get("k") == b"back"
