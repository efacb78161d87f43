"""A table of what was shown for each home, at the end of a run."""

from collections import defaultdict
from pathlib import Path

import pytest

HOMES = [
    "memory",
    "sqlite",
    "postgresql",
    "redis",
    "valkey",
    "redis_cluster",
    "redis_sentinel",
]


def show_conformance(terminalreporter: pytest.TerminalReporter) -> None:
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
