"""Redis, where it is killed, stopped, forgetful or locked: nobody waits for long, all heals."""

import asyncio
import random
from typing import Any

import pytest

from mobius_infra.core import (
    Backend,
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    Event,
    Gap,
    Lease,
    Message,
    open_backend,
)
from mobius_infra.core._backend import BackendLost, BackendRestored
from tests.conftest import OwnRedisServer
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually, patient


async def answers(backend: Backend) -> bool:
    try:
        await backend.ping()
    except BackendUnavailableError:
        return False
    return True


async def test_after_kill_and_restart_everything_goes_on(own_redis_server: OwnRedisServer) -> None:
    server, heard = own_redis_server(), list[Event]()
    async with open_backend(patient(server.url)) as backend:
        backend.events.subscribe(heard.append)
        lease = await Lease.acquire(backend, "k", ttl=100)
        assert lease is not None
        async with backend.subscribe("c") as subscription:
            server.kill()
            for _ in range(20):
                with pytest.raises(BackendUnavailableError):
                    await backend.get("k")
            server.start()
            await eventually(lambda: answers(backend), timeout=60, what="the server's return")
            # Scripts are forgotten by a new server, and loaded again.
            assert await Lease.acquire(backend, "k", ttl=100) is not None
            assert isinstance(await anext(subscription), Gap)
            await backend.publish("c", b"after")
            assert await anext(subscription) == Message("c", b"after")
    assert [type(event) for event in heard] == [BackendLost, BackendRestored]


async def test_a_server_that_hangs_is_a_time_out_and_later_well_again(
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server()
    async with open_backend(f"{server.url}?timeout=0.2&connect_timeout=0.2") as backend:
        await backend.set("k", b"1")
        server.pause()
        results = await asyncio.gather(
            *(backend.get("k") for _ in range(50)), return_exceptions=True
        )
        assert {type(result) for result in results} == {BackendTimeoutError}
        server.resume()
        await eventually(lambda: answers(backend), timeout=60, what="the server's return")
        assert await backend.get("k") == b"1"


async def test_forgotten_scripts_are_loaded_again(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with open_backend(patient(redis_url)) as backend:
        for _ in range(3):
            lease = await Lease.acquire(backend, "k", ttl=100)
            assert lease is not None
            await lease.release()
            redis_server.call("SCRIPT", "FLUSH")


async def test_an_error_reaches_the_caller_it_belongs_to_and_no_other(redis_url: str) -> None:
    async with open_backend(patient(redis_url)) as backend:
        await backend.set("good", b"1")
        lease = await Lease.acquire(backend, "text", ttl=100)
        assert lease is not None
        await backend.set("bad", b"not a state")
        results = await asyncio.gather(
            backend.get("good"),
            Lease.acquire(backend, "bad", ttl=1),
            backend.get("good"),
            return_exceptions=True,
        )
    assert results[0] == results[2] == b"1"
    assert isinstance(results[1], BackendError)
    assert not isinstance(results[1], BackendUnavailableError)


async def test_no_reply_is_given_to_the_wrong_caller_however_many_are_cancelled(
    redis_url: str,
) -> None:
    chance = random.Random(3)
    async with open_backend(patient(redis_url)) as backend:
        await backend.set_many({f"k{n}": str(n).encode() for n in range(100)})

        async def read(number: int) -> None:
            assert await backend.get(f"k{number}") == str(number).encode()

        for _ in range(50):
            tasks = [asyncio.create_task(read(chance.randrange(100))) for _ in range(60)]
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            for task in chance.sample(tasks, 20):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(
                result is None or isinstance(result, asyncio.CancelledError) for result in results
            )


async def test_a_wrong_password_is_said_without_being_told(
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server(password="right")
    url = patient(server.url.replace("right", "wr0ng"))
    async with open_backend(url) as backend:
        with pytest.raises(BackendUnavailableError, match=r"(?i)password|auth") as caught:
            await backend.ping()
        assert "wr0ng" not in str(caught.value)
    async with open_backend(patient(server.url)) as backend:
        await backend.ping()


async def test_subscribing_while_the_server_is_away_fails_at_once() -> None:
    async with open_backend("redis://127.0.0.1:9") as backend:
        with pytest.raises(BackendUnavailableError):
            async with backend.subscribe("c"):
                pass


async def test_a_value_that_is_none_is_its_callers_error_alone(redis_url: str) -> None:
    """Not a command without a reply: each reply after it would be another caller's."""
    async with open_backend(patient(redis_url)) as backend:
        await backend.set("k", b"1")
        nothing: Any = object()
        for others in (0, 3):
            wrong, *rest = await asyncio.gather(
                backend.set("wrong", nothing),
                *(backend.get("k") for _ in range(others)),
                return_exceptions=True,
            )
            assert isinstance(wrong, TypeError)
            assert rest == [b"1"] * others
        assert await backend.get("k") == b"1"
