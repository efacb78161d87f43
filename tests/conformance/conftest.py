"""One fixture, many homes; and a table of what was shown for each of them."""

from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from mobius_infra.core import Backend, open_backend

HOMES = [
    "memory",
    "sqlite",
    "postgresql",
    "redis",
    "valkey",
    "redis_cluster",
    "redis_sentinel",
]


def url_of(home: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a home that is empty, or as good as: every test has its own namespace."""
    if home == "memory":
        return "memory://"
    if home == "sqlite":
        return f"sqlite:///{tmp_path}/backend.db?timeout=10"
    base = request.getfixturevalue(f"{home}_url".replace("postgresql", "postgres"))
    return f"{base}?namespace={uuid4().hex}&timeout=10"


@pytest.fixture(params=HOMES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of each home in turn."""
    return url_of(request.param, request, tmp_path)


@pytest.fixture
async def backend(url: str) -> AsyncIterator[Backend]:
    """Give an open backend in each home in turn."""
    async with open_backend(url) as backend:
        yield backend


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how many statements of each part of the contract held in each home."""
    table: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for report in terminalreporter.stats.get("passed", []):
        path, _, rest = report.nodeid.partition("::")
        home = rest.partition("[")[2].partition("-")[0].rstrip("]")
        if "tests/conformance/" in path and home in HOMES:
            table[Path(path).stem.removeprefix("test_")][home] += 1
    if not table:
        return
    terminalreporter.section("conformance of backends: statements that held")
    terminalreporter.write_line(f"{'':12}" + "".join(f"{home:>15}" for home in HOMES))
    for part, counts in sorted(table.items()):
        row = "".join(f"{counts[home] or '-':>15}" for home in HOMES)
        terminalreporter.write_line(f"{part:12}{row}")
