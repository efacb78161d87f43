"""What this process uses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mobius_infra.core import (
    Cgroup,
    Clock,
    Events,
    Kept,
    Readings,
    Share,
    Stats,
    SystemClock,
    SystemSource,
    counter,
    find_source,
    gauge,
    processors,
    require,
)
from mobius_infra.metrics._checks import require_seconds


@dataclass(frozen=True, slots=True)
class ProcessStats(Stats):
    """What a process used and uses; None where the system does not tell."""

    cpu_seconds: Mapping[str, float] = counter("Processor time used, by mode", label="mode")
    cpu_share: float | None = gauge("Processor time since the last reading, of what may be used")
    resident_bytes: int | None = gauge("Memory in RAM")
    open_files: int | None = gauge("File descriptors in use")
    max_files: int | None = gauge("File descriptors that may be in use")
    threads: int | None = gauge("Threads, not only Python's")
    uptime_seconds: float | None = gauge("Seconds since the process began")
    failures: Mapping[str, int] = counter("Readings that failed, by what was read", label="reading")


class Process:
    """The numbers of this process: processor time, memory, files, threads, age.

        process = Process()
        metrics.watch(process)

    Read when somebody looks, by psutil where the extra `perf` is installed, else by the standard
    library and `/proc`. What can't be read on a system is left out and counted, and never raises.

    Args:
        name: of the process, for its numbers.
        keep: seconds for which a reading holds, so that several who look cost one reading.
        source: where to read; found by itself if None.
        cgroup: the control group (the container) whose quota of processor time counts.
        clock: measures the share and the age of a reading.

    Raises:
        ConfigurationError: if `name` is empty or `keep` is not positive and finite.
    """

    __slots__ = (
        "__weakref__",
        "_cgroup",
        "_kept",
        "_readings",
        "_share",
        "_source",
        "events",
        "name",
    )

    def __init__(
        self,
        name: str = "process",
        *,
        keep: float = 1.0,
        source: SystemSource | None = None,
        cgroup: Cgroup | None = None,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "a name for its numbers")
        require_seconds("keep", keep)
        self.name = name
        self.events = Events()
        self._source = source or find_source()
        self._cgroup = cgroup or Cgroup()
        self._readings = Readings(f"process {name!r}")
        self._share = Share()
        self._kept = Kept(self._read, keep, clock or SystemClock())

    def stats(self) -> ProcessStats:
        """Return the numbers, at most `keep` seconds old."""
        return self._kept.value()

    def _read(self, now: float) -> ProcessStats:
        read, source = self._readings.read, self._source
        used = os.times()
        return ProcessStats(
            cpu_seconds={"user": used.user, "system": used.system},
            cpu_share=self._share.step(now, used.user + used.system, processors(self._cgroup)),
            resident_bytes=read("memory", source.resident_bytes),
            open_files=read("open files", source.open_files),
            max_files=read("limit of open files", _max_files),
            threads=read("threads", source.threads),
            uptime_seconds=read("uptime", source.uptime),
            failures=dict(self._readings.failures),
        )

    def __repr__(self) -> str:
        return f"Process({self.name!r}, source={self._source!r})"


def _max_files() -> int | None:
    """Return how many files may be open; None: no limit."""
    import resource  # noqa: PLC0415 - not on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
