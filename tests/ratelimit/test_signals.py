"""What a process feels, from files as Linux writes them."""

import asyncio
import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from math import inf
from pathlib import Path
from typing import Any

import psutil
import pytest

from mobius_infra.core import Cgroup, ConfigurationError
from mobius_infra.ratelimit import CpuLoad, LoopLag, MemoryLoad, Pressure
from mobius_infra.ratelimit._signals import machine_bytes, resident_bytes
from mobius_infra.testing import ManualClock
from tests.core.cgroups import GROUP, V2, write

NAN = float("nan")


# Memory


def test_memory_is_what_the_group_uses_of_what_it_may(tmp_path: Path) -> None:
    signal = MemoryLoad(most=0.8, cgroup=Cgroup(write(tmp_path, V2)))
    assert signal.limit == 1_000_000_000
    assert signal.value() == pytest.approx(0.5 / 0.8)
    (tmp_path / GROUP / "app.slice/api/memory.current").unlink()
    assert signal.value() == pytest.approx(resident_bytes() / 1e9 / 0.8, rel=0.2)


def test_memory_is_what_the_process_uses_of_a_given_limit() -> None:
    signal = MemoryLoad(1_000, most=1.0, resident=lambda: 1_500)
    assert signal.value() == 1.5
    assert repr(signal) == "MemoryLoad(limit=1000, most=1)"


def test_without_a_limit_memory_is_the_machines(tmp_path: Path) -> None:
    signal = MemoryLoad(cgroup=Cgroup(tmp_path))
    assert signal.limit == machine_bytes() == psutil.virtual_memory().total
    assert resident_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.05)


# CPU


class Busy:
    """Processor time that is used as told."""

    def __init__(self, clock: ManualClock, root: Path | None = None) -> None:
        self.clock = clock
        self.root = root
        self.used = 0.0

    def work(self, share: float, group: float = 0.0) -> None:
        """Let half a second pass, in which this process and its group use so many processors."""
        self.clock.tick(0.5)
        self.used += 0.5 * share
        if self.root is not None:
            stat = self.root / GROUP / "app.slice/api/cpu.stat"
            before = int(stat.read_text().split()[1])
            stat.write_text(f"usage_usec {before + int(group * 500_000)}\n")


def test_cpu_is_the_share_of_one_processor(manual_clock: ManualClock, tmp_path: Path) -> None:
    busy = Busy(manual_clock)
    signal = CpuLoad(0.5, clock=manual_clock, cgroup=Cgroup(tmp_path), used=lambda: busy.used)
    assert signal.value() == 0
    busy.work(0.4)
    assert signal.value() == pytest.approx(0.8)
    manual_clock.tick(0.1)
    busy.used += 5
    assert signal.value() == pytest.approx(0.8)  # too early for another value
    assert repr(signal) == "CpuLoad(most=0.5, quota=none)"


def test_cpu_is_the_groups_share_of_its_quota_where_that_is_higher(
    manual_clock: ManualClock, tmp_path: Path
) -> None:
    busy = Busy(manual_clock, write(tmp_path, V2))
    signal = CpuLoad(1.0, clock=manual_clock, cgroup=Cgroup(tmp_path), used=lambda: busy.used)
    busy.work(0.2, group=1.2)
    assert signal.value() == pytest.approx(1.2 / 1.5)
    busy.work(0.9, group=1.2)
    assert signal.value() == pytest.approx(0.9)
    assert repr(signal) == "CpuLoad(most=1, quota=1.5)"


# Pressure


def test_pressure_is_the_share_of_time_that_something_waited(tmp_path: Path) -> None:
    text = "some avg10=12.50 avg60=1.00 avg300=0.10 total=1\nfull avg10=90.00 avg60=0 total=0"
    write(tmp_path, {"cpu": text})
    signal = Pressure("cpu", most=0.25, file=tmp_path / "cpu")
    assert (signal.name, signal.value()) == ("cpu pressure", 0.5)
    assert repr(signal) == "Pressure('cpu pressure', most=0.25)"


@pytest.mark.parametrize("text", ["", "full avg10=1.00", "some avg60=1.00", "some avg10=x"])
def test_pressure_that_is_not_told_is_refused(text: str, tmp_path: Path) -> None:
    write(tmp_path, {"cpu": text})
    with pytest.raises(ConfigurationError, match="resource is 'cpu'"):
        Pressure("cpu", file=tmp_path / "cpu")
    with pytest.raises(ConfigurationError, match="resource is 'io'"):
        Pressure("io", file=tmp_path / "missing")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells by these files")
def test_this_machine_is_read_without_an_error() -> None:
    cgroup = Cgroup()
    cgroup.cpus()
    cgroup.cpu_seconds()
    assert 0 < MemoryLoad().value() < 10
    assert 0 <= CpuLoad().value() < 10
    if os.access("/proc/pressure/cpu", os.R_OK):
        assert 0 <= Pressure("cpu").value() <= 2.5


# The event loop


class RequestLike:
    """What a web framework keeps in a context variable."""


REQUEST: ContextVar[RequestLike | None] = ContextVar("REQUEST", default=None)


@contextmanager
def watching(clock: ManualClock, **options: Any) -> Iterator[LoopLag]:
    lag = LoopLag(clock=clock, **options)
    yield lag
    lag.close()


async def test_lag_is_how_late_the_sampler_wakes_and_halves_from_then_on(
    manual_clock: ManualClock,
) -> None:
    with watching(manual_clock, most=0.1, interval=0.05) as lag:
        assert lag.value() == 0
        await manual_clock.advance(0.5)
        assert lag.value() == 0
        manual_clock.tick(0.25)  # a callback that blocks: nothing else runs meanwhile
        assert lag.value() == pytest.approx(2.0)  # felt before the sampler wakes
        await asyncio.sleep(0)
        assert lag.value() == pytest.approx(2.0)
        await manual_clock.advance(0.05)
        assert lag.value() == pytest.approx(1.0)
        await manual_clock.advance(0.5)
        assert lag.value() < 0.01
        assert repr(lag).startswith("LoopLag(most=0.1, lag=")


async def test_the_sampler_keeps_no_request_alive(manual_clock: ManualClock) -> None:
    request = RequestLike()
    alive = weakref.ref(request)
    REQUEST.set(request)
    with watching(manual_clock) as lag:
        lag.value()
        REQUEST.set(None)
        del request
        await manual_clock.advance(1)
        assert alive() is None


def test_without_a_loop_there_is_no_lag_to_be_told() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        LoopLag().value()


async def test_the_sampler_runs_once_and_ends_when_it_is_closed(manual_clock: ManualClock) -> None:
    with watching(manual_clock) as lag:
        for _ in range(10):
            lag.value()
            await manual_clock.advance(0.07)
        assert manual_clock.sleepers == 1
    await asyncio.sleep(0)
    assert manual_clock.sleepers == 0
    lag.value()
    await asyncio.sleep(0)
    assert manual_clock.sleepers == 1
    lag.close()


def test_the_sampler_begins_anew_in_another_loop() -> None:
    clock = ManualClock()
    lag = LoopLag(clock=clock, interval=0.05)

    async def use() -> float:
        lag.value()
        await asyncio.sleep(0)
        clock.tick(0.15)
        return lag.value()

    assert asyncio.run(use()) == pytest.approx(1.0)
    clock.tick(1_000)
    assert asyncio.run(use()) == pytest.approx(1.0)


def test_a_sampler_left_behind_in_another_loop_does_not_look_late() -> None:
    clock = ManualClock()
    lag = LoopLag(clock=clock)

    async def use() -> float:
        return lag.value()

    loops = [asyncio.new_event_loop() for _ in range(2)]
    assert loops[0].run_until_complete(use()) == 0
    (left,) = asyncio.all_tasks(loops[0])
    clock.tick(1_000)
    assert loops[1].run_until_complete(use()) == 0
    for loop, task in zip(loops, [left, *asyncio.all_tasks(loops[1])], strict=True):
        task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: LoopLag(0), "most"),
        (lambda: LoopLag(interval=NAN), "interval"),
        (lambda: CpuLoad(True), "most"),
        (lambda: CpuLoad(interval=-1), "interval"),
        (lambda: MemoryLoad(0), "limit"),
        (lambda: MemoryLoad(most=inf), "most"),
        (lambda: Pressure("cpu", 0), "most"),
    ],
)
def test_bad_settings_are_refused_by_field(make: Any, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.field == field
