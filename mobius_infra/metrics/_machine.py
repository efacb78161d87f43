"""What there is to use: the container's share of the machine, or the machine."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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

MOST_INTERFACES = 16
"""A host of containers has an interface for each of them, and makes new ones all the time."""


@dataclass(frozen=True, slots=True)
class MachineStats(Stats):
    """What there is and how much of it is in use; None where the system does not tell."""

    cpus: float = gauge("Processors that may be used: the quota's, or the machine's")
    cpu_seconds: float | None = counter("Processor time used by the control group")
    cpu_share: float | None = gauge("Processor time since the last reading, of what may be used")
    throttled_seconds: float | None = counter("Time waited since the quota was used up")
    memory_bytes: int | None = gauge("Memory that may be used: the limit's, or the machine's")
    memory_used_bytes: int | None = gauge("Memory in use that can't be taken back")
    disk_bytes: Mapping[str, int] = gauge("Size of the file system, by path", label="path")
    disk_free_bytes: Mapping[str, int] = gauge("Bytes still to be written, by path", label="path")
    received_bytes: Mapping[str, int] = counter(
        "Received from the network, by interface", label="interface"
    )
    sent_bytes: Mapping[str, int] = counter("Sent to the network, by interface", label="interface")
    failures: Mapping[str, int] = counter("Readings that failed, by what was read", label="reading")


class Machine:
    """The numbers of the container or machine: processors, memory, disks, network.

        machine = Machine(disks=["/", "/var/lib/bot"])
        metrics.watch(machine)

    Where a control group (version 1 or 2, as containers have) limits the process, the limits and
    the use are the group's: a container of half a processor at work is fully used, however idle
    its machine is. What can't be read on a system is left out and counted, and never raises.

    Args:
        name: for its numbers.
        disks: paths whose file systems are measured. A network's file system that is gone can
            block whoever asks for it, here the event loop: give local ones.
        keep: seconds for which a reading holds, so that several who look cost one reading.
        source: where to read; found by itself if None.
        cgroup: the control group.
        clock: measures the share and the age of a reading.

    Raises:
        ConfigurationError: if `name` is empty, `keep` is not positive and finite, or `disks` is
            one path instead of several.
    """

    __slots__ = (
        "__weakref__",
        "_cgroup",
        "_disks",
        "_kept",
        "_readings",
        "_share",
        "_source",
        "events",
        "name",
    )

    def __init__(
        self,
        name: str = "machine",
        *,
        disks: Sequence[str | Path] = ("/",),
        keep: float = 1.0,
        source: SystemSource | None = None,
        cgroup: Cgroup | None = None,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "a name for its numbers")
        require_seconds("keep", keep)
        require(not isinstance(disks, str), "disks", disks, 'a list of paths, such as ["/"]')
        self.name = name
        self.events = Events()
        self._disks = tuple(map(str, disks))
        self._source = source or find_source()
        self._cgroup = cgroup or Cgroup()
        self._readings = Readings(f"machine {name!r}")
        self._share = Share()
        self._kept = Kept(self._read, keep, clock or SystemClock())

    def stats(self) -> MachineStats:
        """Return the numbers, at most `keep` seconds old."""
        return self._kept.value()

    def _read(self, now: float) -> MachineStats:
        cgroup = self._cgroup
        cpus, used = processors(cgroup), cgroup.cpu_seconds()
        memory, memory_used = self._memory()
        disks = {path: self._disk(path) for path in self._disks}
        network = self._readings.read("network", self._source.network) or {}
        network = {name: network[name] for name in sorted(network)[:MOST_INTERFACES]}
        return MachineStats(
            cpus=cpus,
            cpu_seconds=used,
            cpu_share=self._share.step(now, used, cpus),
            throttled_seconds=cgroup.throttled_seconds(),
            memory_bytes=memory,
            memory_used_bytes=memory_used,
            disk_bytes={path: each[0] for path, each in disks.items() if each},
            disk_free_bytes={path: each[1] for path, each in disks.items() if each},
            received_bytes={name: received for name, (received, _) in network.items()},
            sent_bytes={name: sent for name, (_, sent) in network.items()},
            failures=dict(self._readings.failures),
        )

    def _memory(self) -> tuple[int | None, int | None]:
        """Return what may be used and what is: both of the group, or both of the machine."""
        limit = self._cgroup.memory_limit()
        if limit is not None:
            return limit, self._cgroup.memory_used()
        read = self._readings.read("memory", self._source.memory)
        return (None, None) if read is None else (read[0], read[0] - read[1])

    def _disk(self, path: str) -> tuple[int, int] | None:
        """Return the size, and what a process without privileges can still write."""
        read = self._readings.read(f"disk {path}", lambda: shutil.disk_usage(path))
        return None if read is None else (read.total, read.free)

    def __repr__(self) -> str:
        return f"Machine({self.name!r}, source={self._source!r})"
