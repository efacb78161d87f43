"""Under a real limit of the kernel: what would be killed makes room, and lives.

Needs a machine that lets us make control groups; elsewhere the tests are skipped and counted.
`test_memory.py` and `tests/core/test_cgroup.py` do the same on trees of files.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.perf.cgroups import cpu_quota, memory_limit, real_group
from tests.servers.missing import obtain

ROOT = Path(__file__).parents[2]
LIMIT = 128 << 20


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def run(group: Path, mode: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.perf.cgroup_worker", str(group / "cgroup.procs"), mode]
    return subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_a_process_that_would_be_killed_makes_room_and_lives(stack: ExitStack) -> None:
    limited = real_group("memory", memory_limit(LIMIT))
    # Not required in CI: who runs there may have no right to make groups.
    group = obtain(lambda: stack.enter_context(limited), required=False)
    killed = run(group, "unrelieved")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = run(group, "relieved")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["limit"] == LIMIT
    assert 0 < found["used"] < LIMIT
    assert found["reliefs"] >= 3  # 400 MiB through 128


def test_a_quota_of_the_processor_and_its_throttling_are_seen(stack: ExitStack) -> None:
    limited = real_group("cpu", cpu_quota(25_000))
    group = obtain(lambda: stack.enter_context(limited), required=False)
    done = run(group, "cpu")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["cpus"] == 0.25
    assert found["used"] > 0
