"""All that a process can run out of, each as a share of what there is."""

import os
import re
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
from mobius_infra.perf._checks import is_number, require_name

MOST: Mapping[str, float] = {
    "cpu": 0.9, "throttled": 0.1, "memory": 0.9, "disk": 0.95, "files": 0.8, "network": 0.8,
    "cpu pressure": 0.4, "memory pressure": 0.2, "io pressure": 0.4,
}  # fmt: skip
"""Shares that make a load of 1, by the resource; `disk /var` is a `disk`."""

PRESSURES = ("cpu", "memory", "io")
_SOME = re.compile(r"^some avg10=(\d+\.\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ResourceStats(Stats):
    """The shares of all resources that the system tells."""

    share: Mapping[str, float] = gauge("In use, of what there is", label="resource")
    load: float = gauge("The highest share, of what it may be: 1 is as much as may be")
    cpus: float = gauge("Processors that may be used: the quota's, or the machine's")
    received_rate: float | None = gauge("Bytes a second from the network")
    sent_rate: float | None = gauge("Bytes a second to the network")
    failures: Mapping[str, int] = counter("Readings that failed, by what was read", label="reading")


class ResourceMonitor:
    """Says which resource is the scarcest, and how scarce.

        resources = ResourceMonitor(disks=["/", "/var/lib/bot"])
        resources.tightest()    # ("memory", 0.83)
        limit = AdaptiveLimit("api", signals=[resources])

    It is a `Signal` for adaptive limits: its load is 1 when some resource is used as much as it may
    be, and more beyond. Processor time, throttling and memory are the control group's (the
    container's) where it has a limit, else the process's share of the machine, and the machine's
    memory. What the system does not tell is left out, and counted.

    Args:
        name: for numbers and errors.
        disks: paths whose file systems count. One of a network that is gone blocks who asks, here
            the event loop: give local ones.
        most: shares that make a load of 1, for some resources; `float("inf")` leaves one out.
        network: bytes a second, in or out, that the network can carry; None: not known, and the
            network is no part of the load.
        keep: seconds for which a reading holds. One takes about 0.3 ms.
        clock: measures rates, and the age of a reading.
        cgroup: the control group.
        source: where the system's numbers are read.
        root: where the file system begins; another than `/` in tests.

    Raises:
        ConfigurationError: if a value is out of range, or `most` names what there is not.
    """

    __slots__ = (
        "__weakref__", "_cgroup", "_disks", "_kept", "_last", "_most", "_network", "_pressures",
        "_readings", "_share", "_source", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str = "resources",
        *,
        disks: Sequence[str | Path] = ("/",),
        most: Mapping[str, float] | None = None,
        network: float | None = None,
        keep: float = 0.5,
        clock: Clock | None = None,
        cgroup: Cgroup | None = None,
        source: SystemSource | None = None,
        root: Path = Path("/"),
    ) -> None:
        require_name(name)
        require(not isinstance(disks, str), "disks", disks, 'a list of paths, such as ["/"]')
        require(is_number(keep) and keep > 0, "keep", keep, "a positive number of seconds")
        good = network is None or (is_number(network) and network > 0)
        require(good, "network", network, "bytes a second, or None")
        for resource, share in (most or {}).items():
            require(resource in MOST, "most", resource, "of " + ", ".join(MOST))
            good = not isinstance(share, bool) and share > 0
            require(good, f"most[{resource!r}]", share, "a positive share")
        self.name = name
        self.events = Events()
        self._disks = tuple(map(str, disks))
        self._most = {**MOST, **(most or {})}
        self._network = network
        self._cgroup = cgroup or Cgroup()
        self._source = source or find_source()
        machine = root / "proc/pressure"
        own = {each: self._cgroup.pressure_file(each) or machine / each for each in PRESSURES}
        self._pressures = {each: file for each, file in own.items() if os.path.exists(file)}
        self._readings = Readings(f"resources {name!r}")
        self._share = Share()
        self._last: tuple[float, float | None, tuple[int, int] | None] | None = None
        self._kept = Kept(self._read, keep, clock or SystemClock())

    def value(self) -> float:
        """Return the load: 1 is as much as may be. Of a reading at most `keep` seconds old."""
        return self._kept.value().load

    def tightest(self) -> tuple[str, float] | None:
        """Return the resource that makes the load, and its share; None if nothing is told."""
        shares = self._kept.value().share
        if not shares:
            return None
        resource = max(shares, key=lambda each: shares[each] / self._allowed(each))
        return resource, shares[resource]

    def stats(self) -> ResourceStats:
        """Return the numbers, at most `keep` seconds old."""
        return self._kept.value()

    def _allowed(self, resource: str) -> float:
        return self._most["disk" if resource.startswith("disk ") else resource]

    def _read(self, now: float) -> ResourceStats:
        cpus = processors(self._cgroup)
        shares = {"cpu": self._cpu(now, cpus), "memory": self._memory(), "files": self._files()}
        for path in self._disks:
            shares[f"disk {path}"] = self._readings.read(f"disk {path}", lambda: _disk(path))  # noqa: B023 - called at once
        for each, file in self._pressures.items():
            read = self._readings.read(f"{each} pressure", lambda: _pressure(file))  # noqa: B023
            shares[f"{each} pressure"] = read
        throttled, received, sent = self._since_last(now)
        shares["throttled"] = throttled
        if self._network is not None and received is not None and sent is not None:
            shares["network"] = max(received, sent) / self._network
        known = {resource: share for resource, share in shares.items() if share is not None}
        loads = (share / self._allowed(resource) for resource, share in known.items())
        return ResourceStats(
            share=known,
            load=max(loads, default=0.0),
            cpus=cpus,
            received_rate=received,
            sent_rate=sent,
            failures=dict(self._readings.failures),
        )

    def _cpu(self, now: float, cpus: float) -> float | None:
        used = self._cgroup.cpu_seconds() if self._cgroup.cpus() is not None else None
        if used is None:
            times = os.times()
            used = times.user + times.system
        return self._share.step(now, used, cpus)

    def _memory(self) -> float | None:
        limit, used = self._cgroup.memory_limit(), self._cgroup.memory_used()
        if limit and used is not None:
            return used / limit
        read = self._readings.read("memory", self._source.memory)
        return None if read is None or not read[0] else 1 - read[1] / read[0]

    def _files(self) -> float | None:
        opened = self._readings.read("open files", self._source.open_files)
        most = self._readings.read("limit of open files", _most_files)
        return None if opened is None or not most else opened / most

    def _since_last(self, now: float) -> tuple[float | None, float | None, float | None]:
        """Return the share of time throttled, and bytes a second received and sent."""
        waited = self._cgroup.throttled_seconds()
        read = self._readings.read("network", self._source.network)
        total = None
        if read is not None:
            total = sum(each[0] for each in read.values()), sum(each[1] for each in read.values())
        last, self._last = self._last, (now, waited, total)
        if last is None or now <= last[0]:
            return None, None, None
        seconds = now - last[0]
        throttled = None
        if waited is not None and last[1] is not None:
            # All threads' waiting together: more than the time that passed.
            throttled = min(max(waited - last[1], 0.0) / seconds, 1.0)
        if total is None or last[2] is None:
            return throttled, None, None
        # An interface that went takes its counts along.
        in_, out = (max(a - b, 0) / seconds for a, b in zip(total, last[2], strict=True))
        return throttled, in_, out

    def __repr__(self) -> str:
        return f"ResourceMonitor({self.name!r}, load={self.value():g})"


def _disk(path: str) -> float:
    """Return the used share of what a process without privileges may use."""
    read = shutil.disk_usage(path)
    return read.used / ((read.used + read.free) or 1)


def _pressure(file: Path) -> float | None:
    found = _SOME.search(file.read_text())
    return None if found is None else float(found[1]) / 100


def _most_files() -> int | None:
    import resource  # noqa: PLC0415 - not on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
