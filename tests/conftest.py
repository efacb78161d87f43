"""Fixtures for the whole suite: real servers, started when the first test asks for one."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import ParamSpec, TypeAlias, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests.conformance.summary import show_conformance
from tests.servers.cluster import RedisCluster
from tests.servers.missing import must_have_servers, obtain, summarise_skips
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer, find_redis_flavour
from tests.servers.sentinel import RedisSentinel

P = ParamSpec("P")
S = TypeVar("S")

OwnRedisServer: TypeAlias = Callable[..., RedisServer]
OwnPostgresServer: TypeAlias = Callable[..., PostgresServer]

SERVER_FIXTURES = {
    "redis_server",
    "valkey_server",
    "postgres_server",
    "redis_cluster",
    "redis_sentinel",
    "own_redis_server",
    "own_postgres_server",
}
"""The fixtures that start a server; whatever uses one, if only by another, gets the mark."""

# What Hypothesis does by itself, CI's repeatable choice of examples included, without its clocks:
# how fast an example is made or runs is a matter of the machine and of what else it does.
settings.register_profile(
    "suite",
    settings(),
    deadline=None,
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that talk to a real server."""
    for item in items:
        if not SERVER_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.external_service)


# Not in the conformance suite's own conftest: where workers share the tests, whoever prints the end
# of the run collects none, and does not load it.
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what held for each backend."""
    show_conformance(terminalreporter)


# First among the wrappers is outermost: what it prints comes after pytest's own last line.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Say in the run's last line how many tests were skipped for lack of which server."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        skipped = reporter.stats.get("skipped", [])
        if line := summarise_skips(report.longreprtext for report in skipped):
            reporter.write_line(line, yellow=True)


@contextmanager
def lending(make: Callable[P, AbstractContextManager[S]]) -> Iterator[Callable[P, S]]:
    """Give a function that starts a server as `make` does; close them all at the end.

    It skips the test, or fails it in CI, if there is no program for the server.
    """
    with ExitStack() as stack:

        def start(*args: P.args, **kwargs: P.kwargs) -> S:
            return obtain(
                lambda: stack.enter_context(make(*args, **kwargs)),
                required=must_have_servers(os.environ),
            )

        yield start


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Give the session's Redis server; a test that stops or floods one takes its own."""
    with lending(RedisServer) as start:
        yield start()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """Give the session's Valkey server."""
    with lending(lambda: RedisServer(find_redis_flavour("valkey"))) as start:
        yield start()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Give the session's PostgreSQL server."""
    with lending(PostgresServer) as start:
        yield start()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Give the URL of the session's Redis server, emptied."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def valkey_url(valkey_server: RedisServer) -> str:
    """Give the URL of the session's Valkey server, emptied."""
    valkey_server.flush()
    return valkey_server.url


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Give the session's Redis Cluster."""
    with lending(RedisCluster) as start:
        yield start()


@pytest.fixture
def redis_cluster_url(redis_cluster: RedisCluster) -> str:
    """Give the URL of the session's cluster, emptied."""
    redis_cluster.flush()
    return redis_cluster.url


@pytest.fixture(scope="session")
def redis_sentinel() -> Iterator[RedisSentinel]:
    """Give the session's Redis behind a sentinel."""
    with lending(RedisSentinel) as start:
        yield start()


@pytest.fixture
def redis_sentinel_url(redis_sentinel: RedisSentinel) -> str:
    """Give the URL of the session's sentinel, its master emptied."""
    redis_sentinel.flush()
    return redis_sentinel.url


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of an empty database on the session's PostgreSQL server."""
    name = postgres_server.create_database()
    yield postgres_server.url_of(name)
    postgres_server.drop_database(name)


@pytest.fixture
def own_redis_server() -> Iterator[OwnRedisServer]:
    """Give a function that starts a Redis server, with `RedisServer`'s arguments, to be killed."""
    with lending(RedisServer) as start:
        yield start


@pytest.fixture
def own_postgres_server() -> Iterator[OwnPostgresServer]:
    """Give a function that starts a PostgreSQL server, with `PostgresServer`'s arguments."""
    with lending(PostgresServer) as start:
        yield start
