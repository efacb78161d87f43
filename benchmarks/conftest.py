"""Each group's figures as ratios, to its floor and to the fastest peer, at the end of the run."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

CALLS = 1_000
"""Awaited calls in one measured round: the event loop's own cost is spread over them."""

Measure = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop that lasts for the test."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def measure(benchmark: Any, loop: asyncio.AbstractEventLoop) -> Measure:
    """Give a function that measures an awaited call, in one task."""

    def run(call: Callable[[], Awaitable[object]]) -> None:
        async def many() -> None:
            for _ in range(CALLS):
                await call()

        benchmark.extra_info["calls"] = CALLS
        loop.run_until_complete(many())
        benchmark.pedantic(lambda: loop.run_until_complete(many()), rounds=30, warmup_rounds=3)

    return run


FIGURES = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture
def record_figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Give a function that takes a name and a figure, to be printed at the end of the run."""
    figures = request.config.stash.setdefault(FIGURES, [])
    return lambda name, figure: figures.append((f"{request.node.name}: {name}", figure))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print nanoseconds for each call, and ratios to the first of each group: its floor."""
    session = getattr(terminalreporter.config, "_benchmarksession", None)
    groups: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for each in session.benchmarks if session else []:
        calls = each.extra_info.get("calls", 1)
        groups[each.group or "others"].append((each.name, each.stats.min / calls * 1e9))
    for group, rows in groups.items():
        terminalreporter.section(group)
        floor = rows[0][1]
        for name, nanoseconds in rows:
            figures = f"{nanoseconds:12,.0f} ns{nanoseconds / floor:9.2f} x"
            terminalreporter.write_line(f"{name.removeprefix('test_'):44}{figures}")
    if FIGURES in terminalreporter.config.stash:
        terminalreporter.section("figures")
        for name, figure in terminalreporter.config.stash[FIGURES]:
            terminalreporter.write_line(f"{name:72}{figure:>24}")
