"""Processes that are killed between an alert's firing and its delivery."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


async def run_until(line: str, *arguments: str) -> list[str]:
    """Start a worker, kill it with signal 9 when it has said `line`; return what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.health.alert_worker", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(120):
            while line not in said:
                said.append((await process.stdout.readline()).decode().strip())
                assert process.returncode is None
    finally:
        process.kill()
        await process.wait()
    return said


@pytest.mark.parametrize(("when", "lines"), [("hang", 1), ("write", 2)])
async def test_what_fired_before_a_kill_is_delivered_after_the_restart_once_by_its_id(
    tmp_path: Path, when: str, lines: int
) -> None:
    database, path = str(tmp_path / "alerts.db"), tmp_path / "phone"
    first = await run_until("hangs", database, str(path), when)
    second = await run_until("sent", database, str(path), "live")
    written = [json.loads(each)["id"] for each in path.read_text().splitlines()]
    # Killed after it had arrived and before that was known: it comes again, and can be told.
    assert written == [first[0]] * lines
    assert second[0] == first[0]


async def test_what_was_delivered_before_a_kill_is_not_delivered_again(tmp_path: Path) -> None:
    database, path = str(tmp_path / "alerts.db"), tmp_path / "phone"
    await run_until("sent", database, str(path), "live")
    await run_until("looked", database, str(path), "live")
    assert len(path.read_text().splitlines()) == 1
