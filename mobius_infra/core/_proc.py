"""Readings from Linux's `/proc`, for where psutil is not installed."""

import os
import time
from collections.abc import Mapping
from pathlib import Path


class Proc:
    """Reads files of `/proc`, as proc(5) describes them.

    Args:
        root: where the file system begins; another than `/` in tests.
    """

    __slots__ = ("_files", "_root")

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root / "proc"
        self._files = self._root / "self/fd"

    def resident_bytes(self) -> int:
        """Return the memory of this process that is in RAM."""
        pages = (self._root / "self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        """Return how many file descriptors this process has."""
        return len(os.listdir(self._files)) - 1  # without the one that lists them

    def threads(self) -> int:
        """Return how many threads this process has, not only Python's."""
        return int(self._stat()[17])

    def uptime(self) -> float:
        """Return for how many seconds this process has run."""
        started = int(self._stat()[19]) / os.sysconf("SC_CLK_TCK")  # after the machine's start
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started

    def memory(self) -> tuple[int, int]:
        """Return the bytes of the machine, and those that could be had without swapping."""
        lines = (self._root / "meminfo").read_text().splitlines()
        kilobytes = {name: rest.split()[0] for name, _, rest in (x.partition(":") for x in lines)}
        return int(kilobytes["MemTotal"]) * 1024, int(kilobytes["MemAvailable"]) * 1024

    def network(self) -> Mapping[str, tuple[int, int]]:
        """Return the bytes received and sent by interface, without the loopback's."""
        found = {}
        for line in (self._root / "self/net/dev").read_text().splitlines()[2:]:
            name, _, rest = line.rpartition(":")  # an alias has a colon in its own name
            numbers = rest.split()
            if name.strip() != "lo":
                found[name.strip()] = int(numbers[0]), int(numbers[8])
        return found

    def _stat(self) -> list[str]:
        """Return the fields after the program's name, which may hold spaces and brackets."""
        return (self._root / "self/stat").read_text().rpartition(")")[2].split()

    def __repr__(self) -> str:
        return f"Proc({str(self._root)!r})"
