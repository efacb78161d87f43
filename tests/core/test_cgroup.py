"""What a control group allows and uses is read from both versions' files."""

from pathlib import Path

import pytest

from mobius_infra.core import Cgroup
from tests.core.cgroups import GROUP, V1, V1_APART, V2, write


@pytest.mark.parametrize(("files", "cpus"), [(V2, 1.5), (V1, 0.5), (V1_APART, 0.5)])
def test_the_smallest_limit_on_the_way_up_counts(
    files: dict[str, str], cpus: float, tmp_path: Path
) -> None:
    cgroup = Cgroup(write(tmp_path, files))
    assert cgroup.unified == (files is V2)
    assert cgroup.cpus() == cpus
    assert cgroup.cpu_seconds() == 2.5
    assert cgroup.throttled_seconds() == 1.5
    assert cgroup.memory_limit() == 1_000_000_000
    assert cgroup.memory_used() == 500_000_000


def test_in_a_container_the_mount_is_the_group_though_the_path_is_the_hosts(
    tmp_path: Path,
) -> None:
    files = {
        "proc/self/cgroup": "0::/kubepods/pod1/c1",
        f"{GROUP}/cgroup.controllers": "cpu memory",
        f"{GROUP}/cpu.max": "25000 100000",
        f"{GROUP}/memory.max": "5000",
    }
    cgroup = Cgroup(write(tmp_path, files))
    assert (cgroup.cpus(), cgroup.memory_limit()) == (0.25, 5_000)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/"},
        {"proc/self/cgroup": "no group at all\n::"},
        {
            "proc/self/cgroup": "0::/../../etc",
            f"{GROUP}/cgroup.controllers": "",
            "sys/etc/memory.max": "1",
        },
        {
            "proc/self/cgroup": "4:memory:/",
            f"{GROUP}/memory/memory.limit_in_bytes": "9223372036854771712",
        },
        {
            f"{GROUP}/cgroup.controllers": "cpu",
            f"{GROUP}/cpu.max": "what is this",
            f"{GROUP}/memory.max": "",
            f"{GROUP}/memory.current": "many",
            f"{GROUP}/cpu.stat": "usage_usec",
        },
        {f"{GROUP}/cgroup.controllers": "cpu", f"{GROUP}/cpu.max": "100 0"},
    ],
)
def test_what_is_missing_or_not_understood_is_no_limit(
    files: dict[str, str], tmp_path: Path
) -> None:
    cgroup = Cgroup(write(tmp_path, files))
    assert cgroup.cpus() is None
    assert cgroup.cpu_seconds() is None
    assert cgroup.throttled_seconds() is None
    assert cgroup.memory_limit() is None
    assert cgroup.memory_used() is None
    assert cgroup.pressure_file("cpu") is None


def test_the_groups_own_pressure_is_found(tmp_path: Path) -> None:
    cgroup = Cgroup(
        write(tmp_path, {**V2, f"{GROUP}/app.slice/api/io.pressure": "some avg10=0.00"})
    )
    assert cgroup.pressure_file("io") == tmp_path / GROUP / "app.slice/api/io.pressure"
    assert cgroup.pressure_file("cpu") is None
