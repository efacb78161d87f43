"""PostgreSQL, where it can be lost: everything goes on by itself."""

import asyncio

import pytest

from mobius_infra.core import BackendError, BackendUnavailableError, Event, open_backend
from mobius_infra.core._backend import BackendLost, BackendRestored
from tests.conftest import OwnPostgresServer
from tests.core.sql.workers import ADD
from tests.servers.waiting import eventually


async def test_after_a_restart_everything_goes_on(
    own_postgres_server: OwnPostgresServer,
) -> None:
    server, heard = own_postgres_server(), list[Event]()
    async with open_backend(f"{server.url}?timeout=30&connect_timeout=30") as backend:
        backend.events.subscribe(heard.append)
        await backend.run(ADD, "n", 1)
        server.stop()
        for _ in range(3):
            with pytest.raises(BackendUnavailableError):
                await backend.get("k")
        server.start()
        await backend.set("k", b"1")
        assert await backend.get("k") == b"1"
        assert await backend.run(ADD, "n", 1) == (2,)
    assert [type(event) for event in heard] == [BackendLost, BackendRestored]


async def test_kill_9_loses_no_acknowledged_write(own_postgres_server: OwnPostgresServer) -> None:
    server = own_postgres_server()
    async with open_backend(f"{server.url}?timeout=30&connect_timeout=30") as backend:
        acknowledged = 0

        async def count() -> None:
            nonlocal acknowledged
            while True:
                (acknowledged,) = await backend.run(ADD, "n", 1)

        async def counted() -> bool:
            return acknowledged >= 50

        counting = asyncio.create_task(count())
        await eventually(counted, timeout=60, what="50 writes")
        server.kill()
        with pytest.raises(BackendError):
            await counting
        server.start()
        # The write under way when it died may have been made without having been acknowledged.
        (after,) = await backend.run(ADD, "n", 0)
        assert after in (acknowledged, acknowledged + 1)


async def test_a_server_that_hangs_is_a_time_out_and_later_well_again(
    own_postgres_server: OwnPostgresServer,
) -> None:
    server = own_postgres_server()
    async with open_backend(f"{server.url}?timeout=0.3&connect_timeout=0.3") as backend:
        await backend.set("k", b"1")
        server.pause()
        try:
            for _ in range(3):
                with pytest.raises(BackendUnavailableError):
                    await backend.get("k")
        finally:
            server.resume()

        async def well() -> bool:
            try:
                return await backend.get("k") == b"1"
            except BackendUnavailableError:
                return False

        await eventually(well, timeout=60, what="the server's return")


async def test_a_server_that_is_not_there_is_unavailable_and_no_secret_is_told() -> None:
    async with open_backend("postgresql://me:s3cret@127.0.0.1:9/db?timeout=5") as backend:
        with pytest.raises(BackendUnavailableError) as caught:
            await backend.get("k")
    assert "s3cret" not in str(caught.value)
    assert caught.value.backend == "postgresql://me@127.0.0.1:9/db"
