"""History keeps what it should, whatever the clock says, and beyond restarts."""

import asyncio
import math
import random
from collections.abc import Awaitable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import BackendUnavailableError, ConfigurationError, open_backend
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.metrics import History, HistoryNotSaved, Resolution, sparkline
from mobius_infra.metrics._archive import SLICE
from mobius_infra.metrics._cells import Cell, Cells
from mobius_infra.testing import ManualClock

SMALL = (Resolution(1, 10), Resolution(10, 6))
EPOCH = 1_700_000_000.0


class Flaky(MemoryBackend):
    """A backend that can be told to be away, after some more operations."""

    __slots__ = ("left",)

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.left = math.inf

    def _check(self, operation: str, key: str) -> None:
        if self.left <= 0:
            raise BackendUnavailableError(self.name, operation, "away")
        self.left -= 1
        super()._check(operation, key)


def state(history: History) -> dict[str, list[list[Cell]]]:
    """All cells that are shown now, by series and resolution."""
    return {
        series: [history.read(series, each.span) for each in history._resolutions]
        for series in history.series()
    }


def test_each_resolution_has_the_moments_of_its_steps(manual_clock: ManualClock) -> None:
    history = History("h", resolutions=SMALL, clock=manual_clock)
    for value in range(40):
        history.record("x", float(value))
        history.record("x", -float(value))
        manual_clock.tick(1)
    fine, coarse = history.read("x", 5), history.read("x", 60)
    assert [(each.min, each.max, each.mean, each.last, each.size) for each in fine] == [
        (-value, value, 0, -value, 2) for value in range(35, 40)
    ]
    assert [(each.start, each.min, each.max, each.size) for each in coarse] == [
        (EPOCH + at, -at - 9, at + 9, 20) for at in (0, 10, 20, 30)
    ]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(-70, 5), st.floats(-1e3, 1e3)), max_size=60)
)
def test_cells_are_those_of_a_slow_model(steps: list[tuple[int, int, float]]) -> None:
    """With gaps, late values and values from the future, against one that keeps everything."""
    clock = ManualClock()
    history = History("h", resolutions=SMALL, clock=clock)
    kept: dict[int, list[tuple[float, float]]] = {0: [], 1: []}
    for pause, off, value in steps:
        clock.tick(pause)
        now, at = clock.time(), clock.time() + off
        history.record("x", value, at)
        for level, each in enumerate(SMALL):
            if at // each.step > now // each.step - each.cells and at > now - 60:
                kept[level] = [
                    one
                    for one in kept[level]
                    # One that was ahead of its time gives way, or takes another's place.
                    if (one[0] // each.step - at // each.step) % each.cells
                    or one[0] // each.step == at // each.step
                ]
                kept[level].append((at, value))
    now = clock.time()
    for level, each in enumerate(SMALL):
        model: dict[float, list[tuple[float, float]]] = {}
        for at, value in kept[level]:
            if now // each.step - each.cells < at // each.step <= now // each.step:
                model.setdefault(at // each.step * each.step, []).append((at, value))
        cells = history._series.get("x")
        found = list(cells[level].between(0, now)) if cells else []
        assert [cell.start for cell in found] == sorted(model)
        for cell in found:
            values = model[cell.start]
            assert (cell.size, cell.min) == (len(values), min(v for _, v in values))
            assert cell.max == max(v for _, v in values)
            assert cell.sum == pytest.approx(sum(v for _, v in values), abs=1e-9)
            newest = max(at for at, _ in values)
            assert cell.last == [v for at, v in values if at == newest][-1]


@pytest.mark.parametrize("resolution", [Resolution(0.1, 50), Resolution(1 / 3, 50)])
def test_steps_that_no_float_can_hold_lose_no_cell(resolution: Resolution) -> None:
    cells = Cells(resolution)
    for number in range(1_000, 1_100):
        cells.add((number + 0.5) * resolution.step, 1.0)
        assert cells.get(number) is not None
    assert len(list(cells.between(0, 1_099.5 * resolution.step))) == 50


def test_a_wall_clock_that_jumps_shows_only_what_belongs_to_the_time(
    manual_clock: ManualClock,
) -> None:
    history = History("h", resolutions=SMALL, clock=manual_clock)
    history.record("x", 1.0)
    manual_clock.set_time(EPOCH + 3e7)
    assert history.read("x", 60) == []
    history.record("x", 2.0)
    assert [each.last for each in history.read("x", 60)] == [2.0]
    # Back again: the year ahead is not shown, and gives way.
    manual_clock.set_time(EPOCH + 1)
    assert all(each.last != 2.0 for each in history.read("x", 60))
    for value in range(3, 15):
        history.record("x", float(value))
        manual_clock.tick(1)
    assert [each.last for each in history.read("x", 10)] == [float(each) for each in range(6, 15)]
    manual_clock.set_time(-1e9)  # before the epoch
    history.record("x", 7.0)
    assert [each.last for each in history.read("x", 10)] == [7.0]


def test_what_can_not_be_taken_is_counted_by_reason(manual_clock: ManualClock) -> None:
    history = History("h", resolutions=SMALL, max_series=1, clock=manual_clock)
    history.record("x", 1.0)
    for value in (math.nan, math.inf, -math.inf, 1e141, 10**400):
        history.record("x", value)
    history.record("x", 1.0, math.nan)
    history.record("x", 1.0, EPOCH + 11)
    history.record("x", 1.0, EPOCH - 60)
    history.record("y", 1.0)
    for name in ("", "a\nb", "\ud800", "x" * 101):
        history.record(name, 1.0)
    stats = history.stats()
    assert (stats.series, stats.recorded) == (1, 1)
    assert stats.refused == {
        "not a number": 6, "in the future": 1, "too old": 1, "bad name": 4, "too many series": 1,
    }  # fmt: skip
    assert repr(history) == "History('h', series=1)"
    assert history.read("unknown", 60) == []


def test_memory_is_bounded_however_much_is_recorded(manual_clock: ManualClock) -> None:
    history = History("h", clock=manual_clock)
    for _ in range(5_000):
        manual_clock.tick(17)
        history.record("x", 1.0)
    sizes = [each._ring.itemsize * len(each._ring) for each in history._series["x"]]
    assert sizes == [300 * 56, 360 * 56, 1440 * 56]
    assert len(history.read("x", 86_400)) <= 1440


async def test_it_reads_what_is_tracked_at_each_interval(manual_clock: ManualClock) -> None:
    hits = 0
    history = History("h", interval=2, clock=manual_clock)
    history.track("hits", lambda: hits)
    history.track("broken", lambda: 1 // 0)
    history.track("text", lambda: "x")  # type: ignore[arg-type, return-value]
    history.track("not known", lambda: None)
    async with history:
        with pytest.raises(ConfigurationError, match="once at a time"):
            await history.__aenter__()
        for hits in range(1, 5):  # noqa: B007 - read by the lambda
            await manual_clock.advance(2)
    assert [each.last for each in history.read("hits", 60)] == [1, 1, 2, 3, 4]
    assert history.stats().read_failures == 10
    assert manual_clock.sleepers == 0


@pytest.mark.parametrize(
    "home", ["memory", "sqlite", "postgres_url", "redis_url", "valkey_url", "redis_cluster_url"]
)
async def test_it_survives_a_restart(
    home: str, manual_clock: ManualClock, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Cells of before and after, in one step too, and of series that nobody tracks any more."""
    local = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/history.db"}
    url = local.get(home) or f"{request.getfixturevalue(home)}?timeout=60&connect_timeout=60"
    chance = random.Random(1)
    whole = History("h", clock=manual_clock)
    async with open_backend(url) as backend:
        for part in range(4):
            history = History("h", backend=backend, clock=manual_clock)
            async with history:
                for _ in range(60):
                    for series in ("a", f"only {part}"):
                        value = chance.gauss(0, 1)
                        history.record(series, value)
                        whole.record(series, value)
                    await manual_clock.advance(chance.choice([0.2, 1.0, 7.0]))
            again = History("h", backend=backend, clock=manual_clock)
            await again.load()
            await again.load()
            found, expected = state(again), state(whole)
            assert found.keys() == expected.keys()
            for name, resolutions in expected.items():
                for mine, theirs in zip(found[name], resolutions, strict=True):
                    assert [each._replace(sum=0) for each in mine] == [
                        each._replace(sum=0) for each in theirs
                    ]
                    assert [each.sum for each in mine] == pytest.approx(
                        [each.sum for each in theirs]
                    )


async def test_what_is_stored_never_replaces_what_is_newer(manual_clock: ManualClock) -> None:
    """A block reaches further back than the ring, and two cells share a place there."""
    backend = MemoryBackend(clock=manual_clock)
    old = History("h", resolutions=SMALL, backend=backend, clock=manual_clock)
    for _ in range(10):
        old.record("x", 1.0)
        manual_clock.tick(1)
    await old.save()
    new = History("h", resolutions=SMALL, backend=backend, clock=manual_clock)
    for _ in range(5):
        new.record("x", 2.0)
        manual_clock.tick(1)
    await new.load()
    assert [each.last for each in new.read("x", 10)] == [1.0] * 4 + [2.0] * 5


async def turns_of(operation: Awaitable[None]) -> int:
    """Return how many turns the event loop makes for others during an operation."""
    turns, over = 0, False

    async def others() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await operation
    over = True
    await task
    return turns


async def a_long_one(backend: MemoryBackend, clock: ManualClock) -> History:
    """Make and save a history of six series, each of 25 full blocks."""
    history = History("h", resolutions=[Resolution(60, 1440)], backend=backend, clock=clock)
    for series in range(6):
        for minute in range(1440):
            history.record(f"s{series}", minute, clock.time() - 60.0 * minute)
    assert await turns_of(history.save()) >= 6 * 25 // SLICE
    return history


async def test_however_much_is_loaded_or_saved_others_have_their_turn(
    manual_clock: ManualClock,
) -> None:
    backend = MemoryBackend(clock=manual_clock)
    old = await a_long_one(backend, manual_clock)
    new = History("h", resolutions=old._resolutions, backend=backend, clock=manual_clock)
    assert await turns_of(new.load()) >= 6 * 25 // SLICE
    assert state(new) == state(old)


@pytest.mark.parametrize("turns", [1, 4, 9])
async def test_a_cancelled_load_goes_on_where_it_was(turns: int, manual_clock: ManualClock) -> None:
    backend = MemoryBackend(clock=manual_clock)
    old = await a_long_one(backend, manual_clock)
    new = History("h", resolutions=old._resolutions, backend=backend, clock=manual_clock)
    task = asyncio.create_task(new.load())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await new.load()
    assert state(new) == state(old)


async def test_what_comes_while_it_loads_is_not_replaced_by_what_grew_too_old(
    manual_clock: ManualClock,
) -> None:
    """The oldest cell that is stored and the newest have the same place."""

    class Passing(ManualClock):
        """Ten minutes pass at each turn, and each minute brings a value."""

        __slots__ = ()

        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            for _ in range(10):
                self.tick(60)
                new.record("s5", -1.0)

    backend = MemoryBackend(clock=manual_clock)
    old = await a_long_one(backend, manual_clock)
    clock = Passing()
    new = History("h", resolutions=old._resolutions, backend=backend, clock=clock)
    await new.load()
    minutes = round((clock.time() - EPOCH) / 60)
    assert [each.last for each in new.read("s5", 86_400)] == [
        *range(1439 - minutes, -1, -1),
        *[-1.0] * minutes,
    ]


async def test_a_backend_that_is_gone_costs_nothing_but_time(manual_clock: ManualClock) -> None:
    backend = Flaky(manual_clock)
    old = History("h", backend=backend, clock=manual_clock)
    old.record("x", 1.0)
    await old.save()
    backend.left = 0
    manual_clock.tick(5)
    history = History("h", backend=backend, clock=manual_clock)
    events: list[object] = []
    history.events.subscribe(events.append)
    async with history:
        history.record("x", 2.0)
        await manual_clock.advance(35)
        assert [type(each) for each in events] == [HistoryNotSaved]  # once
        assert history.stats().save_failures == 4
        backend.left = math.inf
    # What was stored before was loaded before it could be written over.
    again = History("h", backend=backend, clock=manual_clock)
    await again.load()
    assert [each.last for each in again.read("x", 60)] == [1.0, 2.0]


@pytest.mark.parametrize("operations", range(12))
async def test_wherever_the_backend_fails_nothing_is_lost_or_doubled(
    operations: int, manual_clock: ManualClock
) -> None:
    backend = Flaky(manual_clock)
    old = History("h", resolutions=SMALL, backend=backend, clock=manual_clock)
    for series in ("a", "b", "c"):
        old.record(series, 1.0)
    await old.save()
    new = History("h", resolutions=SMALL, backend=backend, clock=manual_clock)
    new.record("a", 2.0)
    new.record("d", 3.0)
    backend.left = operations
    failed = False
    try:
        await new.save()
    except BackendUnavailableError:
        failed = True
    backend.left = math.inf
    await new.save()
    again = History("h", resolutions=SMALL, backend=backend, clock=manual_clock)
    await again.load()
    assert {name: cells[0][0].sum for name, cells in state(again).items()} == {
        "a": 3.0, "b": 1.0, "c": 1.0, "d": 3.0,
    }  # fmt: skip
    assert failed or operations > 3


async def test_a_cancelled_save_is_made_good_by_the_next(manual_clock: ManualClock) -> None:
    class Slow(MemoryBackend):
        __slots__ = ()

        async def set_many(self, *args: object, **kwargs: object) -> None:
            await asyncio.Event().wait()

    history = History("h", backend=Slow(clock=manual_clock), clock=manual_clock)
    history.record("x", 1.0)
    task = asyncio.create_task(history.save())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(each.changed for each in history._series["x"])


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01\x00[[1]]", b"\x01\x00nonsense", b'\x01\x00[[1e999,1,1,1,1,1,1]]',
     b'\x01\x00[[1700000000,0,1,1,1,1,1]]', b'\x01\x00[[1700000000,1,1,5,1,1,1]]',
     b'\x01\x00[[1e300,1,1,1,1,1,1]]'],
)  # fmt: skip
async def test_damaged_cells_are_left_out(data: bytes, manual_clock: ManualClock) -> None:
    backend = MemoryBackend(clock=manual_clock)
    old = History("h", resolutions=SMALL[:1], backend=backend, clock=manual_clock)
    old.record("x", 1.0)
    await old.save()
    await backend.set(f"history:h:x:1:{int(EPOCH) // 60}", data)
    again = History("h", resolutions=SMALL[:1], backend=backend, clock=manual_clock)
    await again.load()
    assert again.read("x", 10) == []
    await backend.set("history:h", data)
    again = History("h", resolutions=SMALL[:1], backend=backend, clock=manual_clock)
    await again.load()
    assert again.series() == []


async def test_in_memory_only_there_is_nothing_to_load_or_save(manual_clock: ManualClock) -> None:
    history = History("h", clock=manual_clock)
    await history.load()
    await history.save()
    async with history:
        await manual_clock.advance(30)
    assert history.stats().save_failures == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", "a\0"), ("resolutions", ()), ("resolutions", SMALL[::-1]),
     ("resolutions", (SMALL[0], SMALL[0])), ("max_series", 0), ("interval", 0),
     ("interval", math.nan), ("save_interval", math.inf)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        History(**{"name": "h", field: value})  # type: ignore[arg-type]


def test_a_series_is_tracked_once_and_within_bounds() -> None:
    history = History("h", max_series=1)
    history.track("x", lambda: 1)
    for name in ("x", "y", "", "a\nb"):
        with pytest.raises(ConfigurationError, match="series"):
            history.track(name, lambda: 1)
    with pytest.raises(ConfigurationError, match="seconds"):
        history.read("x", math.nan)


@pytest.mark.parametrize(
    ("step", "cells", "field"),
    [(0, 1, "step"), (math.nan, 1, "step"), (1, 0, "cells"), (1, True, "cells"), (1, 2.5, "cells")],
)
def test_a_resolution_that_makes_no_sense_is_refused(step: float, cells: int, field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Resolution(step, cells)


def path_of(svg: str) -> str:
    path = ET.fromstring(svg).find("{http://www.w3.org/2000/svg}path")
    assert path is not None
    return path.attrib["d"]


def test_a_sparkline_goes_from_corner_to_corner() -> None:
    svg = sparkline([(10.0, 1.0), (20.0, 3.0), (15.0, 2.0)], label="hits", width=104, height=24)
    assert path_of(svg) == "M2.0,22.0h0L52.0,12.0L102.0,2.0"
    assert "hits: last 3" in svg
    assert "prefers-color-scheme:dark" in svg


def test_a_sparkline_is_broken_at_gaps_and_shows_lone_points() -> None:
    points = [(0.0, 0.0), (1.0, 1.0), (50.0, 1.0), (100.0, 0.0)]
    path = path_of(sparkline(points, label="x", width=104, height=24, gap=10))
    assert path == "M2.0,22.0h0L3.0,2.0M52.0,2.0h0M102.0,22.0h0"


def test_a_sparkline_of_nothing_or_of_one_value_is_a_picture_all_the_same() -> None:
    assert path_of(sparkline([], label="x")) == ""
    assert "no data" in sparkline([(0.0, math.nan)], label="x")
    assert path_of(sparkline([(5.0, 5.0)], label="x")) == "M60.0,12.0h0"
    assert path_of(sparkline([(0.0, 5.0), (1.0, 5.0)], label="x")) == "M2.0,12.0h0L118.0,12.0"


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=10), st.text())
def test_a_sparkline_is_always_sound(points: list[tuple[float, float]], label: str) -> None:
    svg = sparkline(points, label=label)
    path_of(svg)
    assert "nan" not in path_of(svg)


def test_a_label_can_not_break_out_of_the_picture() -> None:
    svg = sparkline([], label='"><script>alert(1)</script>')
    assert "<script" not in svg
    assert ET.fromstring(svg).attrib["aria-label"].startswith('"><script>')


@pytest.mark.parametrize("field", ["width", "height", "gap"])
def test_a_size_that_makes_no_sense_is_refused(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        sparkline([], label="x", **{field: 0})


async def test_a_rate_is_what_a_counter_grew_by_a_second(manual_clock: ManualClock) -> None:
    counted: list[float | None] = [10]
    history = History("h", clock=manual_clock)
    history.track_rate("orders", lambda: counted[0])
    async with history:
        for value in (10, 14, None, 20, 24, 6):  # not known, and then another that begins anew
            counted[0] = value
            await manual_clock.advance(1)
    assert [value for _, value in history.points("orders", 60)] == [0, 4, 4, 6]
    assert history.stats().refused["not a number"] == 0
    assert history.points("nothing", 60) == []
