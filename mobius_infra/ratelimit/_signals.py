"""What a process feels of its load, each as one number: 1 is as much as may be."""

import asyncio
import os
import re
import time
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Literal, Protocol

from mobius_infra.core import Cgroup, Clock, ConfigurationError, SystemClock
from mobius_infra.ratelimit._overload_checks import require_positive

_SOME = re.compile(r"^some avg10=(\d+\.\d+)", re.MULTILINE)


class Signal(Protocol):
    """Says how loaded the process is. Write your own: a pool's queue, a battery, a switch."""

    @property
    def name(self) -> str:
        """What is measured, for errors and events."""
        ...

    def value(self) -> float:
        """Return the load: 0 is none, 1 as much as may be, more is too much.

        Called some ten times a second, on the event loop: it must not block.
        """
        ...


class LoopLag:
    """How late the event loop runs what is due: the surest sign that a process can't keep up.

    A task of its own sleeps for `interval` and sees how late it wakes. It begins with the first
    value that is asked for, and ends with the loop or by `close`.

    Args:
        most: seconds of lag that make a load of 1.
        interval: seconds between two looks.
        clock: measures them.
    """

    __slots__ = ("_clock", "_due", "_interval", "_lag", "_most", "_task", "name")

    def __init__(
        self, most: float = 0.1, *, interval: float = 0.05, clock: Clock | None = None
    ) -> None:
        require_positive("most", most, "seconds")
        require_positive("interval", interval, "seconds")
        self.name = "event-loop lag"
        self._most = most
        self._interval = interval
        self._clock = clock or SystemClock()
        self._lag = 0.0
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None

    def value(self) -> float:
        """Return the lag as a load."""
        loop, task = asyncio.get_running_loop(), self._task
        if task is None or task.done() or task.get_loop() is not loop:
            self._due = self._clock.monotonic() + self._interval
            # In a context of its own: it would keep that of some request for ever.
            self._task = loop.create_task(self._watch(), name=self.name, context=Context())
        # The sampler itself may be late right now.
        overdue = self._clock.monotonic() - self._due
        return max(self._lag, overdue, 0.0) / self._most

    def close(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._lag = 0.0

    async def _watch(self) -> None:
        while True:
            self._due = self._clock.monotonic() + self._interval
            await self._clock.sleep(self._interval)
            late = max(self._clock.monotonic() - self._due, 0.0)
            # Up at once, down by half at each look: one long callback is no overload, a row is.
            self._lag = max(late, self._lag / 2)

    def __repr__(self) -> str:
        return f"LoopLag(most={self._most:g}, lag={self._lag:g})"


class CpuLoad:
    """The processor time that is used, of what the process may use.

    The higher of two: this process against one processor, since one event loop can't use more; and
    all of the control group (the container) against its quota, if it has one.

    Args:
        most: share of it that makes a load of 1.
        interval: seconds that one value is the mean of, at least.
        clock: measures them.
        cgroup: the control group.
        used: returns the seconds of processor time that this process has used.
    """

    __slots__ = (
        "_at", "_cgroup", "_clock", "_group", "_interval", "_most", "_own", "_quota", "_used",
        "_value", "name",
    )  # fmt: skip

    def __init__(
        self,
        most: float = 0.8,
        *,
        interval: float = 0.5,
        clock: Clock | None = None,
        cgroup: Cgroup | None = None,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        require_positive("most", most, "processors")
        require_positive("interval", interval, "seconds")
        self.name = "CPU"
        self._most = most
        self._interval = interval
        self._clock = clock or SystemClock()
        self._cgroup = cgroup or Cgroup()
        self._used = used
        self._quota = self._cgroup.cpus()
        self._value = 0.0
        self._at = self._clock.monotonic()
        self._own, self._group = self._read()

    def value(self) -> float:
        """Return the share in use, as a load."""
        now = self._clock.monotonic()
        elapsed = now - self._at
        if elapsed >= self._interval:
            own, group = self._read()
            busy = (own - self._own) / elapsed
            if self._quota is not None:
                busy = max(busy, (group - self._group) / elapsed / self._quota)
            self._value = busy / self._most
            self._at, self._own, self._group = now, own, group
        return self._value

    def _read(self) -> tuple[float, float]:
        shared = None if self._quota is None else self._cgroup.cpu_seconds()
        return self._used(), shared or 0.0

    def __repr__(self) -> str:
        quota = "none" if self._quota is None else f"{self._quota:g}"
        return f"CpuLoad(most={self._most:g}, quota={quota})"


class MemoryLoad:
    """The memory in use, of what may be used.

    Args:
        limit: bytes that this process may use (as resident set); None: what its control group may
            use, against what the group uses; without such a limit, the machine's memory.
        most: share of it that makes a load of 1.
        cgroup: the control group.
        resident: returns the bytes of this process that are in memory.

    Raises:
        ConfigurationError: if no limit is given and none can be found.
    """

    __slots__ = ("_most", "_used", "limit", "name")

    def __init__(
        self,
        limit: int | None = None,
        *,
        most: float = 0.9,
        cgroup: Cgroup | None = None,
        resident: Callable[[], int] | None = None,
    ) -> None:
        require_positive("most", most, "shares")
        self.name = "memory"
        self._most = most
        self._used: Callable[[], int] = resident or resident_bytes
        if limit is not None:
            require_positive("limit", limit, "bytes")
            self.limit = limit
            return
        cgroup = cgroup or Cgroup()
        found, used = cgroup.memory_limit(), self._used
        self.limit = found or machine_bytes()
        if found is not None:
            self._used = lambda: cgroup.memory_used() or used()

    def value(self) -> float:
        """Return the share in use, as a load."""
        return self._used() / self.limit / self._most

    def __repr__(self) -> str:
        return f"MemoryLoad(limit={self.limit}, most={self._most:g})"


class Pressure:
    """The share of time in which something waited for a resource (Linux's PSI, `some avg10`).

    Args:
        resource: `cpu`, `memory` or `io`.
        most: share of the last ten seconds that makes a load of 1.
        file: where it is read; None: the control group's own, or else the machine's.

    Raises:
        ConfigurationError: if the system does not tell it.
    """

    __slots__ = ("_file", "_most", "name")

    def __init__(
        self,
        resource: Literal["cpu", "memory", "io"],
        most: float = 0.4,
        *,
        file: Path | None = None,
    ) -> None:
        require_positive("most", most, "shares")
        self.name = f"{resource} pressure"
        self._most = most
        machine = Path("/proc/pressure", resource)
        self._file = file or Cgroup().pressure_file(resource) or machine
        try:
            self.value()
        except (OSError, ValueError) as error:
            allowed = "one that this system tells: Linux 4.20 or later, with PSI enabled"
            raise ConfigurationError("resource", resource, allowed) from error

    def value(self) -> float:
        """Return the pressure as a load."""
        return read_pressure(self._file.read_text()) / self._most

    def __repr__(self) -> str:
        return f"Pressure({self.name!r}, most={self._most:g})"


def read_pressure(text: str) -> float:
    """Return the share of `some avg10=12.34 ...`, in 0 to 1.

    Raises:
        ValueError: if the text says something else.
    """
    found = _SOME.search(text)
    if found is None:
        raise ValueError(text)
    return float(found[1]) / 100


def resident_bytes() -> int:
    """Return the bytes of this process that are in memory; on macOS, the most that ever were."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource  # noqa: PLC0415 - not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine_bytes() -> int:
    """Return the machine's memory.

    Raises:
        ConfigurationError: if the system does not tell it.
    """
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError) as error:
        raise ConfigurationError("limit", None, "given: this system does not tell") from error
