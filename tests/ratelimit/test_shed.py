"""Load shedding: how much, whether at all, and of what."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Any, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Event, Rejected
from mobius_infra.ratelimit import (
    LoadShedder,
    LoadShedderConfig,
    LoadShedError,
    Priority,
    SheddingBegan,
    SheddingEnded,
    Signal,
)
from mobius_infra.ratelimit._shed_level import STEEPEST, Capacity, Level
from mobius_infra.testing import ManualClock

NAN = float("nan")


class Given:
    """A signal that says what it is told to."""

    def __init__(self, value: float = 0.0, name: str = "given") -> None:
        self.load = value
        self.name = name
        self.reads = 0

    def value(self) -> float:
        self.reads += 1
        return self.load


# How much


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 5)), max_size=100))
def test_the_level_moves_smoothly_within_its_bounds_and_rests_in_between(
    loads: list[tuple[float, float]],
) -> None:
    level = Level(resume=0.8, ramp=1.0)
    now = 0.0
    for load, passed in loads:
        before = level.value
        now += passed
        after = level.step(load, now)
        assert 0 <= after <= 3
        assert abs(after - before) <= STEEPEST * min(passed, 1.0) + 1e-9
        if 0.8 <= load <= 1:
            assert after == before
        elif load > 1:
            assert after >= before
        else:
            assert after <= before


def test_at_twice_the_load_one_more_priority_is_shed_in_each_ramp() -> None:
    level = Level(resume=0.8, ramp=2.0)
    for tenth in range(61):
        level.step(2.0, tenth / 10)
        shares = [level.share(rank) for rank in range(3)]
        expected = tenth / 20
        assert shares == pytest.approx([min(max(expected - rank, 0), 1) for rank in range(3)])
    assert shares == [1, 1, 1]


def test_a_load_that_was_not_looked_at_for_long_counts_for_a_second() -> None:
    level = Level(resume=0.8, ramp=1.0)
    level.step(2.0, 0.0)
    assert level.step(2.0, 3600.0) == 1.0


# Whether at all


def filled(buckets: Sequence[tuple[int, float]], *, overloaded: bool = False) -> Capacity:
    """Return one whose buckets of a second had so many calls that took so long."""
    capacity = Capacity(width=1.0, buckets=5)
    capacity.step(0.0, overloaded=overloaded)
    for number, (calls, latency) in enumerate(buckets, start=1):
        for _ in range(calls):
            capacity.record(latency)
        capacity.step(float(number), overloaded=overloaded)
    return capacity


def test_capacity_is_the_highest_rate_times_the_lowest_latency() -> None:
    assert filled([(100, 0.2), (40, 0.05), (80, 0.1)]).inflight == pytest.approx(100 * 0.05)
    assert filled([]).inflight == 1
    assert filled([(1, 0.001)]).inflight == 1


def test_capacity_forgets_what_is_long_ago_and_idle_times_say_nothing() -> None:
    old = [(1_000, 0.01)]
    assert filled(old + [(10, 0.5)] * 4).inflight == pytest.approx(10)
    assert filled(old + [(10, 0.5)] * 5).inflight == pytest.approx(5)
    assert filled(old + [(0, 0.5)] * 50).inflight == pytest.approx(10)


def test_an_overload_that_lasts_does_not_become_the_measure_of_itself() -> None:
    capacity = filled([(100, 0.05)])
    for number in range(2, 500):
        for _ in range(100):
            capacity.record(2.0)
        capacity.step(float(number), overloaded=True)
    assert capacity.inflight == pytest.approx(5)
    for _ in range(200):
        capacity.record(2.0)
    capacity.step(500.0, overloaded=True)  # what is better counts at once
    assert capacity.inflight == pytest.approx(10)


# The shedder


def busy(shedder: LoadShedder, calls: int) -> None:
    """Have so many calls under way, whatever is shed."""
    shedder._inflight = calls


def rise(shedder: LoadShedder, clock: ManualClock, level: float) -> None:
    """Go to a level, and stay there."""
    shedder._level.value = level
    shedder._look_at = inf


async def shed_shares(
    shedder: LoadShedder, priorities: Sequence[Priority], times: int = 2_000
) -> dict[str, float]:
    """Return the share of calls of each priority that is shed."""
    shed: Counter[str] = Counter()
    for priority in priorities:
        for _ in range(times):
            try:
                shedder.release(shedder.admit(priority))
            except LoadShedError:
                shed[priority] += 1
    return {priority: shed[priority] / times for priority in priorities}


@pytest.mark.parametrize(
    ("level", "background", "normal", "critical"),
    [(0, 0, 0, 0), (0.3, 0.3, 0, 0), (1, 1, 0, 0), (1.5, 1, 0.5, 0), (2.25, 1, 1, 0.25)],
)
async def test_the_least_important_is_shed_first_and_the_critical_last(
    level: float, background: float, normal: float, critical: float, manual_clock: ManualClock
) -> None:
    shedder = LoadShedder("x", [Given()], clock=manual_clock, draw=random.Random(1).random)
    rise(shedder, manual_clock, level)
    busy(shedder, 100)
    shares = await shed_shares(shedder, ["background", "normal", "critical"])
    expected = {"background": background, "normal": normal, "critical": critical}
    assert shares == pytest.approx(expected, abs=0.03)
    counted = shedder.stats().shed
    assert {name: count / 2_000 for name, count in counted.items()} == shares


async def test_nothing_is_shed_while_no_more_is_under_way_than_need_not_queue(
    manual_clock: ManualClock,
) -> None:
    signal = Given(0.0)
    shedder = LoadShedder("x", [signal], clock=manual_clock, draw=lambda: 0.0)
    for _ in range(30):  # ten calls at once, of 0.1 s each: 100 a second
        started = [shedder.admit() for _ in range(10)]
        manual_clock.tick(0.1)
        for each in started:
            shedder.release(each)
    assert shedder.stats().capacity == pytest.approx(10)
    signal.load = 50.0
    for _ in range(30):
        manual_clock.tick(0.1)
        shedder.admit("critical")
        shedder.release(None)
    assert shedder.stats().level == 3
    for _ in range(10):
        shedder.admit("background")
    with pytest.raises(LoadShedError):
        shedder.admit("critical")
    assert sum(shedder.stats().shed.values()) == 1


async def test_shedding_begins_above_one_ends_below_resume_and_is_told_once_each(
    manual_clock: ManualClock,
) -> None:
    signal, other = Given(0.0), Given(0.2, "other")
    shedder = LoadShedder("x", [other, signal], clock=manual_clock, draw=lambda: 0.0, resume=0.8)
    heard: list[Event] = []
    shedder.events.subscribe(heard.append)
    busy(shedder, 100)

    def look(load: float, times: int = 1) -> None:
        signal.load = load
        for _ in range(times):
            manual_clock.tick(0.1)
            with suppress(LoadShedError):
                shedder.release(shedder.admit("background"))

    look(1.0, 20)
    assert heard == []
    look(1.5)
    began = SheddingBegan(source="x", at=manual_clock.time(), signal="given", load=1.5)
    assert heard == [began]
    assert shedder.stats().mode == "shedding"
    look(1.5, 10)
    look(0.9, 50)  # between the two, all stays as it is: no flapping
    assert heard == [began]
    level = shedder.stats().level
    assert level > 0
    look(0.0, 30)
    ended = heard[-1]
    assert isinstance(ended, SheddingEnded)
    assert len(heard) == 2
    assert ended.shed == shedder.stats().shed["background"] > 50
    assert ended.lasted == pytest.approx(6, abs=1)
    assert shedder.stats().mode == "idle"
    look(1.5)
    assert isinstance(heard[-1], SheddingBegan)


async def test_a_refusal_says_all_that_a_program_needs(manual_clock: ManualClock) -> None:
    signals = [Given(0.3, "CPU"), Given(1.84, "memory")]
    shedder = LoadShedder("api", signals, clock=manual_clock, draw=lambda: 0.0)
    for _ in range(3):
        manual_clock.tick(0.1)
        shedder.admit("critical")
    manual_clock.tick(0.04)
    message = "a background call was shed by 'api': memory is at 184% of what may be"
    with pytest.raises(LoadShedError, match=message) as caught:
        shedder.admit("background")
    assert isinstance(caught.value, Rejected)
    fields = caught.value.fields()
    assert fields.pop("retry_after") == pytest.approx(0.06)
    assert fields == {"name": "api", "priority": "background", "signal": "memory", "load": 1.84}
    assert shedder.stats().load == {"CPU": 0.3, "memory": 1.84}


async def test_the_signals_are_looked_at_once_an_interval(manual_clock: ManualClock) -> None:
    signal = Given()
    shedder = LoadShedder("x", [signal], clock=manual_clock, interval=0.5)
    for _ in range(100):
        shedder.release(shedder.admit())
        manual_clock.tick(0.125)
    assert signal.reads == 25


async def test_a_signal_that_fails_says_nothing_and_is_logged_once(
    manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        name = "broken"

        def value(self) -> float:
            raise OSError("gone")

    broken, nan = Broken(), Given(NAN)
    shedder = LoadShedder("x", [broken, nan], clock=manual_clock)
    with caplog.at_level(logging.ERROR, "mobius_infra"):
        for _ in range(5):
            shedder.release(shedder.admit())
            manual_clock.tick(0.1)
    assert len(caplog.records) == 1
    assert shedder.stats().signal_errors == 10
    assert shedder.stats().load == {"broken": 0, "given": 0}


async def test_the_priority_is_fixed_or_read_from_the_call(manual_clock: ManualClock) -> None:
    shedder = LoadShedder("x", [Given()], priority="priority", clock=manual_clock)

    @shedder
    async def by_name(x: int, priority: str = "background") -> str:
        return f"{x}{priority}"

    @shedder.at(lambda user: "critical" if user == "root" else "other")
    async def by_function(user: str) -> str:
        return user

    @shedder.at("critical")
    async def fixed() -> None: ...

    assert_type(await by_name(1), str)
    await by_name(1, "critical")
    await by_name(1, priority="no such priority")
    await by_function("root")
    await by_function("me")
    await fixed()
    assert shedder.stats().passed == {"background": 1, "normal": 2, "critical": 3}
    with pytest.raises(ConfigurationError, match="priority is 'urgent'"):

        @shedder.at("urgent")
        async def unknown(x: int) -> None: ...

    with pytest.raises(ConfigurationError, match="priority is 'urgent'"):
        shedder.admit("urgent")  # type: ignore[arg-type]  # what is refused


async def test_whatever_a_call_ends_by_it_is_not_under_way_any_more(
    manual_clock: ManualClock,
) -> None:
    shedder = LoadShedder("x", [Given()], clock=manual_clock)

    @shedder
    async def call(error: BaseException | None = None) -> None:
        await manual_clock.sleep(1)
        if error is not None:
            raise error

    tasks = [asyncio.create_task(call(error)) for error in (None, OSError())]
    cancelled = asyncio.create_task(call())
    await asyncio.sleep(0)
    assert shedder.stats().inflight == 3
    cancelled.cancel()
    await manual_clock.advance(1)
    await asyncio.gather(*tasks, cancelled, return_exceptions=True)
    async with shedder:
        assert shedder.stats().inflight == 1
        async with shedder:
            assert shedder.stats().inflight == 2
    with pytest.raises(OSError, match="x"):
        async with shedder:
            raise OSError("x")
    assert shedder.stats().inflight == 0
    assert shedder._entered == {}
    assert shedder.stats().passed["normal"] == 6


async def test_a_call_can_not_end_twice(manual_clock: ManualClock) -> None:
    shedder = LoadShedder("x", [Given()], clock=manual_clock)
    shedder.release(shedder.admit())
    with pytest.raises(RuntimeError, match="not under way"):
        shedder.release(None)
    assert shedder.stats().inflight == 0


async def test_only_calls_that_succeed_are_measured(manual_clock: ManualClock) -> None:
    shedder = LoadShedder("x", [Given()], clock=manual_clock)
    for _ in range(50):
        started = [shedder.admit() for _ in range(8)]
        for _ in range(4):
            shedder.release(None)  # failed at once: no latency of the work
        manual_clock.tick(0.1)
        for each in started[4:]:
            shedder.release(each)
    assert shedder.stats().capacity == pytest.approx(4)


def test_it_says_what_it_is(manual_clock: ManualClock) -> None:
    shedder = LoadShedder("api", [Given()], clock=manual_clock)
    assert repr(shedder) == "LoadShedder('api', idle, level=0)"
    assert repr(shedder.at("critical")) == "LoadShedder('api', idle, level=0).at('critical')"
    signal: Signal = Given()
    assert signal.name == "given"


def test_it_is_built_from_settings() -> None:
    config = LoadShedderConfig.load({"name": "api", "cpu": None, "memory_limit": 10**9})
    shedder = LoadShedder.from_config(config)
    assert list(shedder.stats().load) == ["event-loop lag", "memory"]
    nothing = {"name": "api", "cpu": None, "memory": None, "loop_lag": None}
    with pytest.raises(ConfigurationError, match="signals"):
        LoadShedder.from_config(LoadShedderConfig.load(nothing))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"signals": []}, "signals"),
        ({"signals": [Given(), Given()]}, "signals"),
        ({"interval": 0}, "interval"),
        ({"interval": NAN}, "interval"),
        ({"resume": 0}, "resume"),
        ({"resume": 1.1}, "resume"),
        ({"resume": True}, "resume"),
        ({"ramp": -1}, "ramp"),
        ({"ramp": inf}, "ramp"),
    ],
)
def test_bad_settings_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LoadShedder(**{"name": "x", "signals": [Given()], **options})
    assert caught.value.field == field
