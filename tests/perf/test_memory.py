"""Room is made before memory is gone, levels do not flap, and a leak is told from a saw."""

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Iterator, Mapping
from math import nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import Cgroup, ConfigurationError
from mobius_infra.perf import (
    LeakSuspected,
    MemoryLevelChanged,
    MemoryMonitor,
    ReliefFailed,
    count_types,
)
from mobius_infra.perf._memory_allocator import Allocator
from mobius_infra.perf._memory_step import LEVELS, WINDOWS, Levels, Minima, rises
from mobius_infra.perf._memory_types import Grown, grown
from mobius_infra.testing import ManualClock
from tests.core.cgroups import GROUP, V2, write

MIB = 1 << 20


class Ram:
    """A process that uses as much as it is told."""

    def __init__(self, used: int = 0) -> None:
        self.used = used

    def resident_bytes(self) -> int:
        return self.used

    def memory(self) -> tuple[int, int]:
        return 1000 * MIB, 1000 * MIB - self.used

    def open_files(self) -> int:
        return 0

    def threads(self) -> int:
        return 1

    def uptime(self) -> float:
        return 1.0

    def network(self) -> Mapping[str, tuple[int, int]]:
        return {}


@pytest.fixture
def ram() -> Ram:
    return Ram(100 * MIB)


def monitor(ram: Ram, clock: ManualClock, **options: Any) -> MemoryMonitor:
    made = MemoryMonitor(limit=1000 * MIB, source=ram, clock=clock, **options)
    made._allocator = Allocator()
    made._allocator._trim = None  # another test's matter
    return made


async def test_levels_are_told_and_room_is_made(ram: Ram, manual_clock: ManualClock) -> None:
    memory, told, called = monitor(ram, manual_clock), list[Any](), list[str]()
    memory.events.subscribe(told.append)

    async def shed() -> None:
        called.append("shed")

    memory.relieve("high", lambda: called.append("shrink"))
    stop = memory.relieve("critical", shed)
    for used, level in ((700, "normal"), (800, "high"), (760, "high"), (900, "critical")):
        ram.used = used * MIB
        assert await memory.look() == level
    assert called == ["shrink", "shrink", "shed"]
    stop()
    stop()
    for used, level in ((860, "critical"), (849, "high"), (751, "high"), (749, "normal")):
        ram.used = used * MIB
        assert await memory.look() == level
    assert called == ["shrink", "shrink", "shed"]  # falling is no reason
    assert [(each.before, each.level) for each in told] == [
        ("normal", "high"), ("high", "critical"), ("critical", "high"), ("high", "normal"),
    ]  # fmt: skip
    assert isinstance(told[0], MemoryLevelChanged)
    assert (told[0].used, told[0].limit) == (800 * MIB, 1000 * MIB)
    assert repr(memory) == "MemoryMonitor('memory', level=normal)"


async def test_room_is_made_again_while_it_lasts(ram: Ram, manual_clock: ManualClock) -> None:
    memory, called = monitor(ram, manual_clock, again=30), []
    memory.relieve("high", lambda: called.append(manual_clock.monotonic()))
    ram.used = 850 * MIB
    for _ in range(70):
        await memory.look()
        manual_clock.tick(1)
    assert called == [0, 30, 60]


async def test_a_function_that_raises_keeps_none_of_the_others(
    ram: Ram, manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    memory, called = monitor(ram, manual_clock), []
    memory.relieve("high", lambda: 1 / 0)
    memory.relieve("high", lambda: called.append(1))
    ram.used = 850 * MIB
    await memory.look()
    assert called == [1]
    stats = memory.stats()
    assert (stats.reliefs, stats.relief_failures, stats.level) == (2, 1, "high")
    assert "could not make room" in caplog.text


@pytest.mark.parametrize("resists", [False, True])
async def test_one_that_hangs_is_given_up_told_and_counted(
    ram: Ram, manual_clock: ManualClock, resists: bool
) -> None:
    memory, called, ended = monitor(ram, manual_clock, patience=5), list[float](), asyncio.Event()
    failed: list[ReliefFailed] = []
    memory.events.subscribe(lambda e: failed.append(e) if isinstance(e, ReliefFailed) else None)

    async def hang() -> None:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                if not resists:
                    raise

    memory.relieve("high", hang)
    memory.relieve("high", lambda: called.append(manual_clock.monotonic()))
    ram.used = 850 * MIB
    async with memory:
        await manual_clock.advance(4)
        assert called == []
        await manual_clock.advance(1)
        assert called == [5]
        ram.used = 100 * MIB
        await manual_clock.advance(1)
        assert memory.level == "normal"  # it goes on looking
    stats = memory.stats()
    assert (stats.reliefs, stats.relief_failures) == (2, 1)
    (told,) = failed
    assert told.function is hang
    assert isinstance(told.error, TimeoutError)
    ended.set()
    await asyncio.sleep(0)


async def test_one_that_cancels_itself_does_not_end_the_monitor(
    ram: Ram, manual_clock: ManualClock
) -> None:
    memory = monitor(ram, manual_clock)

    async def cancelled() -> None:
        raise asyncio.CancelledError

    memory.relieve("high", cancelled)
    ram.used = 850 * MIB
    async with memory:
        await manual_clock.advance(1)
        ram.used = 100 * MIB
        await manual_clock.advance(1)
        assert memory.level == "normal"
    assert memory.stats().relief_failures == 1


async def test_left_while_room_is_made_it_cancels_what_makes_it(
    ram: Ram, manual_clock: ManualClock
) -> None:
    memory, told = monitor(ram, manual_clock), list[str]()

    async def slow() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            told.append("ended")

    memory.relieve("high", slow)
    ram.used = 850 * MIB
    async with memory:
        await manual_clock.advance(1)
    await asyncio.sleep(0)
    assert told == ["ended"]
    assert memory.stats().relief_failures == 0


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_level_changes_only_across_its_margin(shares: list[float]) -> None:
    levels, level = Levels(0.8, 0.9, 0.05), LEVELS[0]
    for share in shares:
        before, level = level, levels.step(level, share)
        if LEVELS.index(level) > LEVELS.index(before):
            assert share >= (0.8 if level == "high" else 0.9)
        elif level != before:
            assert share < (0.85 if before == "critical" else 0.75)
        assert levels.step(level, share) == level


async def test_the_limit_is_the_containers_and_then_the_machines(tmp_path: Path, ram: Ram) -> None:
    inside = MemoryMonitor(cgroup=Cgroup(write(tmp_path, V2)), source=ram)
    assert (inside.stats().used_bytes, inside.stats().limit_bytes) == (500_000_000, 1_000_000_000)
    write(tmp_path, {f"{GROUP}/app.slice/api/memory.current": "1010000000"})
    assert await inside.look() == "critical"
    outside = MemoryMonitor(cgroup=Cgroup(tmp_path / "none"), source=ram)
    assert (outside.stats().used_bytes, outside.stats().limit_bytes) == (100 * MIB, 1000 * MIB)


async def test_the_allocator_is_trimmed_in_a_thread_and_only_where_it_can_be(
    ram: Ram, manual_clock: ManualClock
) -> None:
    memory, threads = monitor(ram, manual_clock), []
    assert not await memory.trim()
    ram.used = 850 * MIB
    await memory.look()
    assert memory.stats().trims == 0

    def trim(pad: int) -> int:
        threads.append(threading.current_thread())
        return 1

    memory._allocator._trim = trim
    ram.used = 950 * MIB
    await memory.look()
    assert memory.stats().trims == 1
    assert threads != [threading.current_thread()]
    assert len(threads) == 1


def test_what_the_allocator_keeps_is_seen_where_it_tells() -> None:
    allocator = Allocator()
    if allocator.slack() is None:
        pytest.skip("no mallinfo2 here")
    held = [bytearray(50_000) for _ in range(200)]
    before = allocator.slack()
    last = held[-1]  # keeps the top of the heap from being given back by itself
    held.clear()
    after = allocator.slack()
    assert before is not None
    assert after is not None
    assert after - before > 5_000_000
    assert allocator.trim is not None
    allocator.trim()
    assert len(last) == 50_000
    assert "trims=True" in repr(allocator)


def readings(values: list[float], window: float = 10) -> Minima:
    minima = Minima(window)
    for number, value in enumerate(values):
        minima.add(number, value)
    return minima


def test_a_saw_is_no_leak_and_one_that_climbs_is() -> None:
    flat = readings([100 + 50 * (at % 10) for at in range(200)])
    assert not rises(flat.values, 0.05)
    assert flat.slope() == 0
    climbs = readings([100 + at + 50 * (at % 10) for at in range(200)])
    assert rises(climbs.values, 0.05)
    assert climbs.slope() == pytest.approx(1)
    assert not rises(climbs.values, 10)  # not by so much
    step = readings([100.0 if at < 40 else 200.0 for at in range(200)])
    assert not rises(step.values, 0.05)
    assert readings([1.0] * 20).slope() is None


@given(st.permutations(range(WINDOWS)))
def test_what_is_certain_is_only_what_nearly_always_rises(order: list[int]) -> None:
    pairs = sum(a < b for at, a in enumerate(order) for b in order[at + 1 :])
    found = rises([100.0 + each for each in order], -1)
    assert found == (pairs - (28 - pairs) >= 20)


class Leaked:
    pass


async def test_a_leak_is_told_with_the_types_that_grow(ram: Ram, manual_clock: ManualClock) -> None:
    memory, told = monitor(ram, manual_clock, window=10, leak=0.05), list[Any]()
    memory.events.subscribe(told.append)
    held: list[Leaked] = []
    for _ in range(100):
        ram.used += MIB
        held += [Leaked() for _ in range(200)]
        await memory.look()
        manual_clock.tick(1)
    (leak,) = told
    assert isinstance(leak, LeakSuspected)
    assert leak.growth == pytest.approx(MIB)
    assert leak.full_in == pytest.approx(820, rel=0.1)
    assert any("Leaked" in each.what and each.by > 5_000 for each in leak.types)
    assert memory.stats().leaks_suspected == 1


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_types_are_counted_exactly_or_by_a_sample_that_is_not_fooled_by_order() -> None:
    before = count_types(most=10**9)
    held = [(Leaked(), [0]) for _ in range(20_000)]  # two kinds in turn
    name = f"{__name__}.Leaked"
    exact = count_types(most=10**9)
    assert exact[name] - before.get(name, 0) == len(held)
    sampled = count_types(most=5_000)
    assert sampled[name] == pytest.approx(exact[name], rel=0.3)


def test_growth_is_sorted_and_cut() -> None:
    found = grown({"a": 5, "b": 1, "c": 9}, {"a": 6, "b": 9, "c": 2, "d": 4}, top=2)
    assert found == (Grown("b", 1, 9), Grown("d", 0, 4))
    assert str(found[0]) == "b: 1 -> 9"


async def test_lines_that_keep_memory_are_found_and_tracing_ends(
    ram: Ram, manual_clock: ManualClock
) -> None:
    memory = monitor(ram, manual_clock)
    held: list[bytes] = []
    tracing = asyncio.create_task(memory.trace(10))
    while not manual_clock.sleepers:
        await asyncio.sleep(0.001)
    with pytest.raises(ConfigurationError, match="once at a time"):
        await memory.trace(1)
    held += [bytes(1000) for _ in range(2000)]
    await manual_clock.advance(10)
    (first, *_) = await tracing
    assert "test_memory.py" in first.what
    assert first.by >= 2_000_000
    assert not tracemalloc.is_tracing()
    assert len(held) == 2000


async def test_it_looks_by_itself_and_leaves_nothing(ram: Ram, manual_clock: ManualClock) -> None:
    before = asyncio.all_tasks()
    memory = monitor(ram, manual_clock)
    async with memory:
        with pytest.raises(ConfigurationError, match="once at a time"):
            await memory.__aenter__()
        ram.used = 950 * MIB
        await manual_clock.advance(1)
        assert memory.level == "critical"
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", 0), ("high", 0.95), ("high", nan), ("critical", 1.5), ("margin", -1),
        ("interval", 0), ("again", True), ("patience", 0), ("window", nan), ("leak", 0),
        ("name", ""),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        MemoryMonitor(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="level"):
        MemoryMonitor().relieve("normal", print)
