"""The one module that imports psutil: readings on every system that it knows."""

import os
import time
from collections.abc import Mapping

import psutil


class Psutil:
    """Asks psutil."""

    __slots__ = ("_process",)

    def __init__(self) -> None:
        self._process = psutil.Process()

    def _own(self) -> psutil.Process:
        if self._process.pid != os.getpid():  # forked since
            self._process = psutil.Process()
        return self._process

    def resident_bytes(self) -> int:
        """Return the memory of this process that is in RAM."""
        return self._own().memory_info().rss

    def open_files(self) -> int:
        """Return how many file descriptors (on Windows, handles) this process has."""
        own = self._own()
        number: int = own.num_handles() if hasattr(own, "num_handles") else own.num_fds()
        return number

    def threads(self) -> int:
        """Return how many threads this process has, not only Python's."""
        return self._own().num_threads()

    def uptime(self) -> float:
        """Return for how many seconds this process has run."""
        # Of the wall clock, as psutil tells it: right until somebody sets that clock.
        return max(time.time() - self._own().create_time(), 0.0)

    def memory(self) -> tuple[int, int]:
        """Return the bytes of the machine, and those that could be had without swapping."""
        memory = psutil.virtual_memory()
        return memory.total, memory.available

    def network(self) -> Mapping[str, tuple[int, int]]:
        """Return the bytes received and sent by interface, without the loopback's."""
        every = psutil.net_io_counters(pernic=True)
        return {
            name: (counts.bytes_recv, counts.bytes_sent)
            for name, counts in every.items()
            if name != "lo" and not name.startswith(("lo0", "Loopback"))
        }

    def __repr__(self) -> str:
        return "Psutil()"
