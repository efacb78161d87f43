"""What the control group of this process allows and uses, read straight from its files.

Both versions: 2 (one tree, `cpu.max`, `memory.max`) and 1 (a tree for each controller,
`cpu.cfs_quota_us`, `memory.limit_in_bytes`). A limit of a parent holds for its children too, so
the smallest on the way up counts. What is missing or can't be read is no limit.
"""

import os
from collections.abc import Iterator
from pathlib import Path

UNLIMITED = 1 << 60
"""Version 1 writes "no limit" as the largest number of pages, which no machine has."""


class Cgroup:
    """The control group of one process.

    Args:
        root: where the file system begins; another than `/` in tests.
    """

    __slots__ = ("_accounts", "_cpu", "_memory", "unified")

    def __init__(self, root: Path = Path("/")) -> None:
        mount = root / "sys/fs/cgroup"
        paths = dict(_paths(root / "proc/self/cgroup"))
        self.unified = os.path.exists(mount / "cgroup.controllers")
        if self.unified:
            self._cpu = self._accounts = self._memory = _chain(mount, paths.get("", "/"))
            return
        # Mounted together by most distributions, each by itself by others.
        both = mount / "cpu,cpuacct"
        cpu, accounts = (
            mount / name if os.path.isdir(mount / name) else both for name in ("cpu", "cpuacct")
        )
        self._cpu = _chain(cpu, paths.get("cpu", "/"))
        self._accounts = _chain(accounts, paths.get("cpuacct", "/"))
        self._memory = _chain(mount / "memory", paths.get("memory", "/"))

    def cpus(self) -> float | None:
        """Return how many processors' time may be used; None: no limit."""
        return min(filter(None, map(self._quota, self._cpu)), default=None)

    def cpu_seconds(self) -> float | None:
        """Return the processor time used by the whole group; None: not known."""
        folder = self._accounts[0]
        if self.unified:
            usage = _number(_table(folder / "cpu.stat").get("usage_usec"))
            return None if usage is None else usage / 1e6
        usage = _number(_read(folder / "cpuacct.usage"))
        return None if usage is None else usage / 1e9

    def throttled_seconds(self) -> float | None:
        """Return how long the group had to wait since its quota was used up; None: not known."""
        table = _table(self._cpu[0] / "cpu.stat")
        name, unit = ("throttled_usec", 1e6) if self.unified else ("throttled_time", 1e9)
        waited = _number(table.get(name))
        return None if waited is None else waited / unit

    def memory_limit(self) -> int | None:
        """Return the bytes that may be used; None: no limit."""
        file = "memory.max" if self.unified else "memory.limit_in_bytes"
        limits = (_number(_read(folder / file)) for folder in self._memory)
        return min((n for n in limits if n is not None and n < UNLIMITED), default=None)

    def memory_used(self) -> int | None:
        """Return the bytes in use that can't be taken back; None: not known.

        File cache that was not used lately is left out: the kernel frees it before it kills.
        """
        folder = self._memory[0]
        file = "memory.current" if self.unified else "memory.usage_in_bytes"
        idle = "inactive_file" if self.unified else "total_inactive_file"
        used = _number(_read(folder / file))
        if used is None:
            return None
        return max(0, used - (_number(_table(folder / "memory.stat").get(idle)) or 0))

    def pressure_file(self, resource: str) -> Path | None:
        """Return where the pressure on `cpu`, `memory` or `io` is told; None: nowhere."""
        file = self._cpu[0] / f"{resource}.pressure"
        return file if self.unified and os.path.exists(file) else None

    def _quota(self, folder: Path) -> float | None:
        if self.unified:
            quota, _, period = (_read(folder / "cpu.max") or "").partition(" ")
        else:
            quota = _read(folder / "cpu.cfs_quota_us") or ""
            period = _read(folder / "cpu.cfs_period_us") or ""
        most, each = _number(quota), _number(period)
        return most / each if most and each and most > 0 else None


def _paths(file: Path) -> Iterator[tuple[str, str]]:
    """Read which group each controller puts the process in; version 2's controller is empty."""
    for line in (_read(file) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            yield controller, path


def _chain(mount: Path, path: str) -> list[Path]:
    """Return the group's folder and those of its parents.

    In a container the path may be the host's, and not be there; then the mount is the group.
    """
    folder = mount / path.lstrip("/")
    if ".." in path or not os.path.isdir(folder):
        return [mount]
    parents = [each for each in folder.parents if each == mount or mount in each.parents]
    return [folder, *parents]


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _table(file: Path) -> dict[str, str]:
    pairs = (line.partition(" ") for line in (_read(file) or "").splitlines())
    return {name: value for name, _, value in pairs}


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:  # "max", or nothing
        return None
