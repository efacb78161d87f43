from collections.abc import Callable

import pytest

from tests.servers.missing import (
    ServerUnavailableError,
    must_have_servers,
    obtain,
    summarise_skips,
)

pytest_plugins = ["pytester"]

SUITE = """
    def test_single(redis_url): ...
    def test_own(own_redis_server): own_redis_server()
    def test_other(postgres_url): ...
    def test_none(): ...
"""


def unavailable() -> None:
    raise ServerUnavailableError("redis", "no program found")


def test_a_server_that_is_there_is_given() -> None:
    assert obtain(lambda: 42, required=True) == 42


def test_a_missing_server_skips_with_the_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="no redis server: no program found"):
        obtain(unavailable, required=False)


def test_a_missing_server_fails_where_servers_are_required() -> None:
    with pytest.raises(pytest.fail.Exception, match="no redis server: no program found"):
        obtain(unavailable, required=True)


def test_a_server_that_does_not_start_is_an_error_not_a_skip() -> None:
    def broken() -> None:
        raise OSError("address in use")

    with pytest.raises(OSError, match="address in use"):
        obtain(broken, required=False)


@pytest.mark.parametrize(
    ("environ", "required"),
    [({}, False), ({"CI": ""}, False), ({"CI": "false"}, False), ({"CI": "true"}, True)],
)
def test_servers_are_required_in_ci(environ: dict[str, str], required: bool) -> None:
    assert must_have_servers(environ) is required


def test_the_summary_counts_by_server() -> None:
    reasons = [
        "Skipped: no redis server: none found",
        "Skipped: needs a faster machine",
        "Skipped: no postgres server: none found",
        "Skipped: no redis server: none found",
    ]
    assert summarise_skips(reasons) == "3 skipped for lack of a server: 1 postgres, 2 redis"


def test_there_is_no_summary_when_no_server_was_missing() -> None:
    assert summarise_skips(["Skipped: needs a faster machine"]) is None


@pytest.fixture
def run_without_servers(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], pytest.RunResult]:
    """Run a suite on the project's fixtures, as on a machine without any server."""

    def run(ci: str) -> pytest.RunResult:
        monkeypatch.setenv("CI", ci)
        monkeypatch.setattr("tests.servers.redis.redis_flavours", list)
        monkeypatch.setattr("tests.servers.postgres.postgres_flavours", list)
        pytester.makeconftest("from tests.conftest import *")
        pytester.makeini("[pytest]\nmarkers = external_service: real servers")
        pytester.makepyfile(SUITE)
        return pytester.runpytest_inprocess("-W", "ignore::pytest.PytestDeprecationWarning")

    return run


def test_a_run_without_servers_says_in_its_last_line_what_it_skipped(
    run_without_servers: Callable[[str], pytest.RunResult],
) -> None:
    result = run_without_servers("")
    result.assert_outcomes(passed=1, skipped=3)
    last = [line for line in result.outlines if line][-1]
    assert last == "3 skipped for lack of a server: 1 postgres, 2 redis"


def test_a_run_without_servers_fails_in_ci(
    run_without_servers: Callable[[str], pytest.RunResult],
) -> None:
    result = run_without_servers("true")
    result.assert_outcomes(passed=1, errors=2, failed=1)
    result.stdout.fnmatch_lines(["*no redis server:*", "*no postgres server:*"])


def test_tests_that_use_a_server_are_marked(
    run_without_servers: Callable[[str], pytest.RunResult], pytester: pytest.Pytester
) -> None:
    run_without_servers("")
    result = pytester.runpytest_inprocess(
        "-m", "external_service", "-W", "ignore::pytest.PytestDeprecationWarning"
    )
    result.assert_outcomes(skipped=3, deselected=1)
