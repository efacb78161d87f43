import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.conftest import OwnPostgresServer
from tests.servers._pgwire import PostgresError
from tests.servers.postgres import PostgresServer, postgres_flavours

pytestmark = pytest.mark.usefixtures("postgres_server")


def test_each_flavour_found_runs_in_the_version_it_reports(
    own_postgres_server: OwnPostgresServer,
) -> None:
    for flavour in postgres_flavours():
        ((version,),) = own_postgres_server(flavour).query("SHOW server_version")
        assert version is not None
        assert version.split()[0] == ".".join(map(str, flavour.version))


async def test_an_asynchronous_client_connects_by_the_url(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("SELECT current_user") == "postgres"
    finally:
        await connection.close()


def test_each_database_is_new_and_empty(postgres_server: PostgresServer) -> None:
    first, second = postgres_server.create_database(), postgres_server.create_database()
    postgres_server.query("CREATE TABLE kept (id int)", database=first)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert postgres_server.query(tables, database=first) == [("1",)]
    assert postgres_server.query(tables, database=second) == [("0",)]
    for name in (first, second):
        postgres_server.drop_database(name)


async def test_a_database_is_dropped_although_a_client_is_connected(
    postgres_server: PostgresServer,
) -> None:
    name = postgres_server.create_database()
    connection = await asyncpg.connect(postgres_server.url_of(name))
    postgres_server.drop_database(name)
    assert postgres_server.query(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == []
    connection.terminate()


def test_queries_return_text_nulls_and_errors(postgres_server: PostgresServer) -> None:
    assert postgres_server.query("SELECT 1, NULL, 'é'; SELECT 2, '', ''") == [
        ("1", None, "é"),
        ("2", "", ""),
    ]
    with pytest.raises(PostgresError, match="22012 division by zero"):
        postgres_server.query("SELECT 1/0")
    with pytest.raises(PostgresError, match="3D000"):
        postgres_server.query("SELECT 1", database="absent")


def test_a_committed_row_survives_a_kill_on_the_same_port(
    own_postgres_server: OwnPostgresServer,
) -> None:
    server = own_postgres_server()
    url = server.url
    server.query("CREATE TABLE kept AS SELECT 42 AS value")
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        server.query("SELECT 1")
    server.start()
    assert server.url == url
    assert server.query("SELECT value FROM kept") == [("42",)]


def test_a_paused_server_does_not_answer_until_resumed(
    own_postgres_server: OwnPostgresServer,
) -> None:
    server = own_postgres_server()
    server.pause()
    with pytest.raises(TimeoutError):
        server.query("SELECT 1", timeout=0.05)
    server.resume()
    assert server.query("SELECT 1") == [("1",)]


async def test_a_paused_server_freezes_the_connections_that_are_open(
    own_postgres_server: OwnPostgresServer,
) -> None:
    server = own_postgres_server()
    connection = await asyncpg.connect(server.url)
    server.pause()
    with pytest.raises(TimeoutError):
        await connection.execute("SELECT 1", timeout=0.05)
    connection.terminate()


async def test_a_server_stops_although_a_client_is_connected(
    own_postgres_server: OwnPostgresServer,
) -> None:
    server = own_postgres_server()
    connection = await asyncpg.connect(server.url)
    server.restart()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute("SELECT 1")


def test_durability_is_had_by_asking_for_it(
    postgres_server: PostgresServer, own_postgres_server: OwnPostgresServer
) -> None:
    durable = own_postgres_server(durable=True)
    for setting in ("fsync", "full_page_writes"):
        assert durable.query(f"SHOW {setting}") == [("on",)]
        assert postgres_server.query(f"SHOW {setting}") == [("off",)]


def test_commits_are_acknowledged_only_when_written(postgres_server: PostgresServer) -> None:
    assert postgres_server.query("SHOW synchronous_commit") == [("on",)]


def test_it_starts_from_a_wheel_that_its_user_cannot_reach(
    own_postgres_server: OwnPostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> bool:
        return False

    monkeypatch.setattr(PostgresServer, "_owner_can_run", unreachable)
    (wheel, *_) = postgres_flavours()
    if wheel.name != "postgres":
        pytest.skip("the wheel is not installed")
    server = own_postgres_server(wheel)
    ((library,),) = server.query("SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'")
    assert library is not None
    assert library.startswith(str(server.directory))
