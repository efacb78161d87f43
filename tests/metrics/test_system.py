"""What the system tells is right where it can be checked, and what it does not tell is left out."""

import gc
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf, nan
from pathlib import Path

import psutil
import pytest

from mobius_infra.core import Cgroup, ConfigurationError, SystemSource, find_source, samples
from mobius_infra.core._proc import Proc
from mobius_infra.core._psutil import Psutil
from mobius_infra.metrics import Machine, MetricsCollector, Process
from mobius_infra.testing import ManualClock
from tests.core.cgroups import GROUP, V1, V2, write

PROC = {
    "proc/self/statm": "5000 1234 300 1 0 900 0",
    # A program's name may hold spaces, brackets and line ends.
    "proc/self/stat": "7 (a) b\n(c) R 1 " + " ".join(map(str, range(5, 53))),
    "proc/self/net/dev": "Inter-| Receive\n face |bytes packets\n"
    "    lo: 99 1 0 0 0 0 0 0 99 1 0 0 0 0 0 0\n"
    "  eth0:1500 2 0 0 0 0 0 0 700 9 0 0 0 0 0 0\n"
    "eth0:1: 10 2 0 0 0 0 0 0 20 9 0 0 0 0 0 0",
    "proc/meminfo": "MemTotal:    1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\nHugePages_Total: 0",
}

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells by these files")


class Broken:
    """A system that tells nothing, each time in another way."""

    def resident_bytes(self) -> int:
        raise PermissionError(13, "no")

    def open_files(self) -> int:
        raise psutil.AccessDenied(1)

    def threads(self) -> int:
        return int("many")

    def uptime(self) -> float:
        raise NotImplementedError

    def memory(self) -> tuple[int, int]:
        raise KeyError("MemTotal")

    def network(self) -> Mapping[str, tuple[int, int]]:
        raise IndexError


@linux
def test_proc_is_read_as_the_kernel_writes_it(tmp_path: Path) -> None:
    proc = Proc(write(tmp_path, PROC))
    assert proc.resident_bytes() == 1234 * os.sysconf("SC_PAGE_SIZE")
    assert proc.threads() == 20
    started = 22 / os.sysconf("SC_CLK_TCK")
    assert proc.uptime() == pytest.approx(
        time.clock_gettime(time.CLOCK_BOOTTIME) - started, abs=0.5
    )
    assert proc.network() == {"eth0": (1500, 700), "eth0:1": (10, 20)}
    assert proc.memory() == (1_024_000, 409_600)
    assert repr(Proc()) == "Proc('/proc')"


@linux
def test_both_sources_say_the_same_of_this_process() -> None:
    ours, theirs = Proc(), Psutil()
    assert ours.resident_bytes() == pytest.approx(theirs.resident_bytes(), rel=0.05)
    assert abs(ours.open_files() - theirs.open_files()) <= 1
    assert ours.threads() == pytest.approx(theirs.threads(), abs=3)
    assert ours.uptime() == pytest.approx(theirs.uptime(), abs=2)
    assert ours.memory()[0] == theirs.memory()[0]
    assert ours.network().keys() == theirs.network().keys()


@linux
@pytest.mark.parametrize("source", [Proc(), Psutil()], ids=repr)
def test_files_and_threads_are_counted(source: SystemSource) -> None:
    gc.collect()  # nothing that others left is closed meanwhile
    files, over = source.open_files(), threading.Event()
    helpers = [threading.Thread(target=over.wait, daemon=True) for _ in range(3)]
    for helper in helpers:
        helper.start()
    try:
        # One that Python has joined may take a moment longer to leave the system's count.
        assert source.threads() >= threading.active_count() >= 4
        with open(os.devnull), open(os.devnull):
            assert source.open_files() == files + 2
    finally:
        over.set()
        for helper in helpers:
            helper.join()


@linux
def test_a_forked_process_is_measured_itself() -> None:
    source = Psutil()
    source._process = psutil.Process(os.getppid())  # as a child's copy of its parent's is
    assert source.open_files() == pytest.approx(psutil.Process().num_fds(), abs=1)
    assert source._process.pid == os.getpid()


@contextmanager
def without_psutil() -> Iterator[None]:
    """Let the import of psutil fail, as where it is not installed."""
    kept = {name: sys.modules.pop(name, None) for name in ("mobius_infra.core._psutil",)}
    psutil_itself = sys.modules["psutil"]
    sys.modules["psutil"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules["psutil"] = psutil_itself
        sys.modules.update({name: module for name, module in kept.items() if module is not None})


def test_psutil_is_asked_where_it_is_installed_and_proc_where_it_is_not() -> None:
    assert repr(find_source()) == "Psutil()"
    with without_psutil():
        assert isinstance(find_source(), Proc)
        assert Process().stats().cpu_seconds["user"] > 0


def test_what_can_not_be_read_is_left_out_and_counted(
    manual_clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = MetricsCollector()
    group = Cgroup(tmp_path)
    process = Process(source=Broken(), cgroup=group, clock=manual_clock)
    machine = Machine(
        source=Broken(), cgroup=group, clock=manual_clock, disks=["/", tmp_path / "gone", "\0"]
    )
    metrics.watch(process, machine)
    manual_clock.tick(1)
    read = {each.name for each in samples(process.stats())}
    assert read == {"cpu_seconds", "cpu_share", "max_files", "failures"}
    assert process.stats().failures == dict.fromkeys(
        ("memory", "open files", "threads", "uptime"), 2
    )
    stats = machine.stats()
    assert stats.failures == {f"disk {tmp_path}/gone": 2, "disk \0": 2, "memory": 2, "network": 2}
    assert list(stats.disk_bytes) == list(stats.disk_free_bytes) == ["/"]
    assert (stats.cpu_share, stats.memory_bytes, stats.received_bytes) == (None, None, {})
    assert len(caplog.records) == 8  # each once
    text = metrics.render()[1].decode()
    assert re.search(r"^mobius_scrape_failures_total\S* [^0]", text, re.MULTILINE) is None
    assert "resident" not in text


@pytest.mark.parametrize("files", [V1, V2])
def test_the_containers_limits_count_not_the_machines(
    files: dict[str, str], manual_clock: ManualClock, tmp_path: Path
) -> None:
    machine = Machine(cgroup=Cgroup(write(tmp_path, files)), clock=manual_clock)
    stats = machine.stats()
    assert stats.cpus == min(1.5 if files is V2 else 0.5, len(os.sched_getaffinity(0)))
    assert (stats.cpu_seconds, stats.throttled_seconds, stats.cpu_share) == (2.5, 1.5, None)
    assert (stats.memory_bytes, stats.memory_used_bytes) == (1_000_000_000, 500_000_000)


@linux
def test_without_a_container_the_machine_counts(tmp_path: Path) -> None:
    stats = Machine(cgroup=Cgroup(tmp_path), disks=[tmp_path]).stats()
    assert stats.cpus == len(os.sched_getaffinity(0))
    assert stats.memory_bytes == psutil.virtual_memory().total
    assert stats.memory_used_bytes is not None
    assert 0 < stats.memory_used_bytes < stats.memory_bytes
    assert stats.disk_bytes[str(tmp_path)] == psutil.disk_usage(str(tmp_path)).total
    assert stats.failures == {}


def test_the_share_is_of_the_quota_and_since_the_last_reading(
    manual_clock: ManualClock, tmp_path: Path
) -> None:
    root = write(tmp_path, V2)
    usage = root / GROUP / "app.slice/api/cpu.stat"
    machine = Machine(cgroup=Cgroup(root), clock=manual_clock, keep=2)
    cpus = machine.stats().cpus

    def use(seconds: float, used: float) -> float | None:
        manual_clock.tick(seconds)
        usage.write_text(f"usage_usec {used * 1e6:.0f}\n")
        return machine.stats().cpu_share

    assert use(2, 2.5 + cpus) == pytest.approx(0.5)
    assert use(1.9, 9.0) == pytest.approx(0.5)  # the last reading holds
    assert use(2.1, 2.5 + 2 * cpus) == pytest.approx(0.25)
    assert use(2, 1.0) is None  # another group's
    assert use(2, 1.0) == 0


def test_several_who_look_cost_one_reading(manual_clock: ManualClock) -> None:
    process, machine = Process(clock=manual_clock), Machine(clock=manual_clock, keep=5)
    before, there = process.stats(), machine.stats()
    manual_clock.tick(0.9)
    assert process.stats() is before
    manual_clock.tick(0.1)
    assert process.stats() is not before
    manual_clock.tick(3.9)
    assert machine.stats() is there


def test_a_host_of_many_containers_shows_a_bounded_number_of_interfaces() -> None:
    class Many(Broken):
        def network(self) -> Mapping[str, tuple[int, int]]:
            return {f"veth{number:03}": (number, number) for number in range(500)}

    stats = Machine(source=Many()).stats()
    assert list(stats.received_bytes) == list(stats.sent_bytes)
    assert len(stats.received_bytes) == 16


@pytest.mark.parametrize("keep", [0, -1, nan, inf, True])
def test_what_makes_no_sense_is_refused(keep: float) -> None:
    for kind in (Process, Machine):
        with pytest.raises(ConfigurationError, match="keep"):
            kind(keep=keep)
        with pytest.raises(ConfigurationError, match="name"):
            kind("")
    with pytest.raises(ConfigurationError, match="disks"):
        Machine(disks="/")


def test_each_says_what_it_is() -> None:
    assert repr(Process(source=Proc())) == "Process('process', source=Proc('/proc'))"
    assert repr(Machine("host")) == "Machine('host', source=Psutil())"
