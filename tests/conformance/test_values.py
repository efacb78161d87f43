"""Values: bytes by key, with expiry, in batches."""

import asyncio

import pytest

from mobius_infra.core import Backend, BackendUnavailableError, ConfigurationError, open_backend
from tests.conformance.summary import HOMES
from tests.servers.waiting import eventually

KEYS = [
    "a",
    "with space",
    "{tag}:x",
    "ключ-鍵-🔑",
    "nul\0inside",
    "%:/\\'\"",
    "k" * 1024,
    "é" * 512,
]
VALUES = [b"", b"x", bytes(range(256)), b"\0", b"v" * 1_000_000]


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
async def test_any_key_can_be_set_read_and_deleted(backend: Backend, key: str) -> None:
    assert await backend.get(key) is None
    await backend.set(key, b"1")
    assert await backend.get(key) == b"1"
    assert await backend.get_many([key, key + "!" if len(key) < 9 else "other"]) == [b"1", None]
    assert await backend.delete(key) == 1
    assert await backend.get(key) is None


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
async def test_any_bytes_come_back_as_they_were(backend: Backend, value: bytes) -> None:
    await backend.set("k", value)
    assert await backend.get("k") == value
    assert await backend.get_with_ttl("k") == (value, None)


@pytest.mark.parametrize("key", ["", "k" * 1025, "é" * 513, "\ud800"], ids=range(4))
async def test_a_key_that_not_all_could_store_is_refused_everywhere(
    backend: Backend, key: str
) -> None:
    for ask in (backend.get(key), backend.set(key, b""), backend.delete(key)):
        with pytest.raises(ConfigurationError, match="key"):
            await ask


@pytest.mark.parametrize("ttl", [0.0, -1.0, float("nan"), float("inf")])
async def test_a_ttl_that_is_not_positive_is_refused(backend: Backend, ttl: float) -> None:
    for ask in (
        backend.set("k", b"", ttl),
        backend.set_many({"k": b""}, ttl),
        backend.compare_and_set("k", None, b"", ttl),
    ):
        with pytest.raises(ConfigurationError, match="ttl"):
            await ask


async def test_setting_replaces_value_and_expiry(backend: Backend) -> None:
    await backend.set("k", b"1", ttl=100)
    await backend.set("k", b"2")
    assert await backend.get_with_ttl("k") == (b"2", None)
    await backend.set("k", b"3", ttl=50)
    found = await backend.get_with_ttl("k")
    assert found is not None
    assert found[0] == b"3"
    assert found[1] is not None
    assert 40 < found[1] <= 50


async def test_what_has_expired_is_gone_for_every_operation(backend: Backend) -> None:
    await backend.set_many({"a": b"1", "b": b"2", "c": b"3"}, ttl=0.05)
    await backend.set("stays", b"4", ttl=1000)

    async def gone() -> bool:
        return await backend.get_many(["a", "b", "c"]) == [None] * 3

    await eventually(gone, timeout=60, what="the expiry")
    assert await backend.get_many(["a", "b", "stays"]) == [None, None, b"4"]
    assert await backend.get_with_ttl("b") is None
    assert await backend.delete("a", "b") == 0
    assert not await backend.compare_and_set("c", b"3", b"4")
    assert await backend.compare_and_set("c", None, b"5")
    assert await backend.get_with_ttl("c") == (b"5", None)


async def test_batches_keep_the_order_of_their_keys(backend: Backend) -> None:
    items = {f"k{n}": str(n).encode() for n in range(300)}
    await backend.set_many(items)
    keys = [f"k{n}" for n in (5, 299, 1000, 0, 5)]
    assert await backend.get_many(keys) == [b"5", b"299", None, b"0", b"5"]
    assert await backend.delete(*items, "k1000", "k0") == 300
    assert await backend.get_many(list(items)) == [None] * 300


async def test_empty_batches_do_nothing(backend: Backend) -> None:
    assert await backend.get_many([]) == []
    await backend.set_many({})
    assert await backend.delete() == 0


async def test_compare_and_set_stores_only_over_what_was_expected(backend: Backend) -> None:
    assert not await backend.compare_and_set("k", b"old", b"new")
    assert await backend.compare_and_set("k", None, b"one")
    assert not await backend.compare_and_set("k", None, b"two")
    assert not await backend.compare_and_set("k", b"two", b"three")
    assert await backend.compare_and_set("k", b"one", b"two", 100)
    found = await backend.get_with_ttl("k")
    assert found is not None
    assert found[0] == b"two"
    assert found[1] is not None
    assert not await backend.compare_and_set("k", b"one", None)
    assert await backend.compare_and_set("k", b"two", None)
    assert await backend.get("k") is None
    assert await backend.compare_and_set("k", None, None)


async def test_of_many_who_compare_and_set_at_once_one_wins(backend: Backend) -> None:
    for before in (None, b"0"):
        if before is not None:
            await backend.set("k", before)
        else:
            await backend.delete("k")
        wins = await asyncio.gather(
            *(backend.compare_and_set("k", before, str(n).encode() * 2) for n in range(30))
        )
        assert sum(wins) == 1
        winner = wins.index(True)
        assert await backend.get("k") == str(winner).encode() * 2


async def test_a_hundred_tasks_count_by_compare_and_set_without_losing_one(
    backend: Backend,
) -> None:
    await backend.set("n", b"0")

    async def add() -> None:
        while True:
            before = await backend.get("n")
            assert before is not None
            if await backend.compare_and_set("n", before, str(int(before) + 1).encode()):
                return

    await asyncio.gather(*(add() for _ in range(20)))
    assert await backend.get("n") == b"20"


async def test_a_caller_who_is_cancelled_disturbs_nobody(backend: Backend) -> None:
    await backend.set_many({f"k{n}": str(n).encode() for n in range(40)})
    tasks = [asyncio.create_task(backend.get(f"k{n}")) for n in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for number, result in enumerate(results):
        if number % 2:
            assert result == str(number).encode()
        else:
            assert isinstance(result, asyncio.CancelledError) or result == str(number).encode()
    assert await backend.get("k7") == b"7"


async def test_the_backends_time_moves_and_is_about_now(backend: Backend) -> None:
    first = await backend.now()
    assert 1.7e9 < first < 1e10
    assert await backend.now() >= first
    await backend.ping()


# Not in memory: each memory backend is a world of its own.
@pytest.mark.parametrize("url", HOMES[1:], indirect=True)
async def test_namespaces_do_not_see_each_other(url: str) -> None:
    base, _, _ = url.partition("?")
    async with (
        open_backend(f"{base}?namespace=one&timeout=60&connect_timeout=60") as one,
        open_backend(f"{base}?namespace=two&timeout=60&connect_timeout=60") as two,
    ):
        await one.set("k", b"1")
        assert await two.get("k") is None
        assert await two.delete("k") == 0
        assert await one.delete("k") == 1


async def test_a_closed_backend_says_so_and_closing_twice_is_harmless(url: str) -> None:
    backend = open_backend(url)
    await backend.set("k", b"1")
    await backend.close()
    await backend.close()
    for ask in (backend.get("k"), backend.ping(), backend.set("k", b""), backend.publish("c", b"")):
        with pytest.raises(BackendUnavailableError, match="closed"):
            await ask


async def test_the_name_is_the_url_without_secrets_and_options(backend: Backend, url: str) -> None:
    assert backend.name == url.partition("?")[0]
    assert backend.name in repr(backend) or backend.name == "memory://"
