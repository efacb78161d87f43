"""Reads what the operating system tells, some of which it may not tell."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from mobius_infra.core._cgroup import Cgroup
from mobius_infra.core._clock import Clock
from mobius_infra.core._errors import MissingExtraError
from mobius_infra.core._extras import import_extra
from mobius_infra.core._proc import Proc

log = logging.getLogger("mobius_infra")

T = TypeVar("T")


class SystemSource(Protocol):
    """Where readings come from that the standard library does not have. Each may raise."""

    def resident_bytes(self) -> int:
        """Return the memory of this process that is in RAM."""
        ...

    def open_files(self) -> int:
        """Return how many file descriptors (on Windows, handles) this process has."""
        ...

    def threads(self) -> int:
        """Return how many threads this process has, not only Python's."""
        ...

    def uptime(self) -> float:
        """Return for how many seconds this process has run."""
        ...

    def memory(self) -> tuple[int, int]:
        """Return the bytes of the machine, and those that could be had without swapping."""
        ...

    def network(self) -> Mapping[str, tuple[int, int]]:
        """Return the bytes received and sent by interface, without the loopback's."""
        ...


def find_source() -> SystemSource:
    """Return psutil's readings where the extra `perf` is installed, else those of `/proc`."""
    try:
        module = import_extra("mobius_infra.core._psutil", feature="psutil", extra="perf")
    except MissingExtraError:
        return Proc()
    source: SystemSource = module.Psutil()
    return source


class Readings:
    """Lets a reading fail alone: it is left out, counted, and logged the first time."""

    __slots__ = ("_of", "failures")

    def __init__(self, of: str) -> None:
        self._of = of
        self.failures: dict[str, int] = {}

    def read(self, what: str, read: Callable[[], T]) -> T | None:
        """Return what `read` returns; None if it raises."""
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - of the system, or of psutil
            if what not in self.failures:
                log.warning("%s: can't read %s: %r", self._of, what, error)
            self.failures[what] = self.failures.get(what, 0) + 1
            return None


class Kept(Generic[T]):
    """Reads again when the last reading is too old, so that several who look cost one reading."""

    __slots__ = ("_at", "_clock", "_keep", "_read", "_value")

    def __init__(self, read: Callable[[float], T], keep: float, clock: Clock) -> None:
        self._read = read
        self._keep = keep
        self._clock = clock
        self._at = clock.monotonic()
        self._value = read(self._at)

    def value(self) -> T:
        """Return what was read at most `keep` seconds ago."""
        now = self._clock.monotonic()
        if now - self._at >= self._keep:
            self._at, self._value = now, self._read(now)
        return self._value


class Share:
    """Processor time as a share of what may be used, from one reading to the next."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def step(self, now: float, used: float | None, processors: float) -> float | None:
        """Return the share since the last step; None at the first, or if that is not known.

        Args:
            now: monotonic seconds.
            used: seconds of processor time up to now. Less than before: another process's, after
                a fork, or another group's.
            processors: how many may be used.
        """
        if used is None:
            return None
        last, self._last = self._last, (now, used)
        if last is None:
            return None
        passed, worked = now - last[0], used - last[1]
        return None if passed <= 0 or worked < 0 else worked / passed / processors


def processors(cgroup: Cgroup) -> float:
    """Return how many processors this process may use: by its affinity and its group's quota."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on macOS and Windows
        allowed = os.cpu_count() or 1
    return min(allowed, cgroup.cpus() or allowed)
