"""PostgreSQL, where it can be lost: everything goes on by itself."""

import pytest

from mobius_infra.core import BackendUnavailableError, Event, open_backend
from mobius_infra.core._backend import BackendLost, BackendRestored
from tests.conftest import OwnPostgresServer
from tests.core.sql.workers import ADD


async def test_after_a_restart_everything_goes_on(
    own_postgres_server: OwnPostgresServer,
) -> None:
    server, heard = own_postgres_server(), list[Event]()
    async with open_backend(f"{server.url}?timeout=5&connect_timeout=5") as backend:
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


async def test_a_server_that_is_not_there_is_unavailable_and_no_secret_is_told() -> None:
    async with open_backend("postgresql://me:s3cret@127.0.0.1:9/db?timeout=5") as backend:
        with pytest.raises(BackendUnavailableError) as caught:
            await backend.get("k")
    assert "s3cret" not in str(caught.value)
    assert caught.value.backend == "postgresql://me@127.0.0.1:9/db"
