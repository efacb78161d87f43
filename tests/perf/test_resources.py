"""What a process runs out of first is named, in a container and outside of one."""

import os
from collections.abc import Mapping
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.core import Cgroup, ConfigurationError, samples
from mobius_infra.perf import ResourceMonitor
from mobius_infra.ratelimit import Signal
from mobius_infra.testing import ManualClock
from tests.core.cgroups import GROUP, V1, V2, write


class System:
    """Tells what it is told to."""

    def __init__(self) -> None:
        self.available = 750
        self.files = 3
        self.traffic = 1_000, 2_000

    def resident_bytes(self) -> int:
        return 1

    def open_files(self) -> int:
        return self.files

    def threads(self) -> int:
        return 1

    def uptime(self) -> float:
        return 1.0

    def memory(self) -> tuple[int, int]:
        return 1_000, self.available

    def network(self) -> Mapping[str, tuple[int, int]]:
        return {"eth0": self.traffic}


class Silent(System):
    """Tells nothing."""

    def open_files(self) -> int:
        raise PermissionError

    def memory(self) -> tuple[int, int]:
        raise KeyError("MemTotal")

    def network(self) -> Mapping[str, tuple[int, int]]:
        raise IndexError


def monitor(root: Path, clock: ManualClock, **options: Any) -> ResourceMonitor:
    system = options.pop("source", None) or System()
    return ResourceMonitor(
        cgroup=Cgroup(root), source=system, clock=clock, root=root, **{"disks": []} | options
    )


def test_in_a_container_it_is_the_containers(tmp_path: Path, manual_clock: ManualClock) -> None:
    write(tmp_path, V2 | {f"{GROUP}/app.slice/api/cpu.pressure": "some avg10=12.50 avg60=0.00"})
    resources = monitor(tmp_path, manual_clock)
    quota = min(1.5, len(os.sched_getaffinity(0)))
    assert resources.stats().cpus == quota
    assert resources.stats().share["memory"] == 0.5
    assert resources.stats().share["cpu pressure"] == 0.125
    stat = f"{GROUP}/app.slice/api/cpu.stat"
    write(tmp_path, {stat: "usage_usec 4000000\nthrottled_usec 1700000"})
    manual_clock.tick(2)
    shares = resources.stats().share
    assert shares["cpu"] == pytest.approx(1.5 / 2 / quota)
    assert shares["throttled"] == pytest.approx(0.1)
    assert (resources.tightest() or ("",))[0] == "throttled"
    assert resources.value() == pytest.approx(1)
    assert repr(resources) == f"ResourceMonitor('resources', load={resources.value():g})"


def test_so_it_is_in_a_container_of_version_1(tmp_path: Path, manual_clock: ManualClock) -> None:
    resources = monitor(write(tmp_path, V1), manual_clock)
    assert resources.stats().cpus == 0.5
    assert "memory" in resources.stats().share


def test_outside_it_is_the_machines(tmp_path: Path, manual_clock: ManualClock) -> None:
    write(tmp_path, {"proc/pressure/memory": "some avg10=20.00 avg60=0.00 avg300=0.00 total=1"})
    resources = monitor(tmp_path, manual_clock)
    assert resources.stats().share["memory"] == 0.25
    assert resources.tightest() == ("memory pressure", 0.2)
    assert resources.value() == 1


def test_where_nothing_is_told_nothing_is_made_up(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    resources = monitor(tmp_path, manual_clock, source=Silent(), disks=["/no/such"])
    assert (resources.value(), resources.tightest()) == (0, None)
    assert set(resources.stats().failures) == {"open files", "memory", "network", "disk /no/such"}


def test_a_reading_holds_for_a_while(tmp_path: Path, manual_clock: ManualClock) -> None:
    system = System()
    resources = monitor(tmp_path, manual_clock, source=system, keep=0.5)
    system.available = 100
    assert resources.stats().share["memory"] == 0.25
    manual_clock.tick(0.5)
    assert resources.stats().share["memory"] == pytest.approx(0.9)


def test_the_network_counts_if_its_limit_is_known(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    system = System()
    resources = monitor(tmp_path, manual_clock, source=system, network=1_000)
    assert resources.stats().received_rate is None
    system.traffic = 2_000, 2_400
    manual_clock.tick(2)
    stats = resources.stats()
    assert (stats.received_rate, stats.sent_rate) == (500, 200)
    assert stats.share["network"] == 0.5
    system.traffic = 0, 0  # the interface went
    manual_clock.tick(2)
    assert resources.stats().received_rate == 0


def test_what_may_be_used_is_the_users_choice(tmp_path: Path, manual_clock: ManualClock) -> None:
    resources = monitor(tmp_path, manual_clock, most={"memory": 0.2, "files": inf})
    assert resources.value() == pytest.approx(0.25 / 0.2)


def test_it_reads_this_very_machine() -> None:
    resources = ResourceMonitor(disks=["/"])
    signal: Signal = resources
    assert signal.name == "resources"
    names = {sample.labels.get("resource") for sample in samples(resources.stats())}
    assert {"memory", "files", "disk /"} <= names
    assert all(0 <= share <= 1 for share in resources.stats().share.values())
    assert resources.value() > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("disks", "/"), ("keep", 0), ("keep", nan), ("network", True), ("network", 0),
        ("most", {"gpu": 1}), ("most", {"cpu": nan}), ("most", {"cpu": True}), ("name", ""),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=field):
        ResourceMonitor(**{field: value})
