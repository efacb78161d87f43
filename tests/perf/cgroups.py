"""Real control groups, below the one that the tests run in, where the machine lets us make any."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from tests.servers.missing import ServerUnavailableError

MOUNT = Path("/sys/fs/cgroup")


def memory_limit(limit: int) -> list[Mapping[str, int | str]]:
    """Return what to write for a limit of memory, swap included, by version."""
    return [
        {"memory.max": limit, "memory.swap.max": 0},
        {"memory.limit_in_bytes": limit, "memory.memsw.limit_in_bytes": limit},
    ]


def cpu_quota(microseconds: int) -> list[Mapping[str, int | str]]:
    """Return what to write for so much processor time in each 100 ms, by version."""
    return [
        {"cpu.max": f"{microseconds} 100000"},
        {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": microseconds},
    ]


@contextmanager
def real_group(controller: str, limits: list[Mapping[str, int | str]]) -> Iterator[Path]:
    """Make a group with the limits of one version, and remove it; give its folder.

    Raises:
        ServerUnavailableError: if none can be made: no right to, or no such controller.
    """
    name = f"mobius-test-{uuid4().hex}"
    for parent in _parents(controller):
        folder = parent / name
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if any(_limited(folder, files) for files in limits):
                yield folder
                return
        finally:
            folder.rmdir()
    raise ServerUnavailableError("cgroup", f"can't make a group of {controller} here")


def _parents(controller: str) -> Iterator[Path]:
    """Give the group of the tests: version 1's, then version 2's, which may need a sibling."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                yield MOUNT / controller / path.lstrip("/")
            elif not controllers:
                yield MOUNT / path.lstrip("/")
                yield (MOUNT / path.lstrip("/")).parent


def _limited(folder: Path, files: Mapping[str, int | str]) -> bool:
    """Write the limits; what is first must be there, the rest (swap) may not."""
    first, *rest = files
    if not os.access(folder / first, os.W_OK):
        return False
    for name in (first, *rest):
        if (folder / name).exists():
            (folder / name).write_text(str(files[name]))
    return True
