"""Availability over looks, restarts, jumps of the clock, and planned work."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from mobius_infra.core import Backend, BackendUnavailableError, ConfigurationError, open_backend
from mobius_infra.health import WINDOWS, Uptime, UptimeNotSaved
from mobius_infra.testing import ManualClock

HOUR = WINDOWS["1h"]


class States(dict[str, str]):
    """What the parts are said to be."""

    def read(self) -> Mapping[str, str]:
        if "broken" in self:
            raise RuntimeError("no states today")
        return dict(self)


def make(states: States, clock: ManualClock, backend: Backend | None = None) -> Uptime:
    return Uptime("shop", read=states.read, backend=backend, clock=clock)


async def test_an_outage_counts_for_as_long_as_it_was_seen(manual_clock: ManualClock) -> None:
    states = States({"": "up", "database": "up"})
    async with make(states, manual_clock) as uptime:
        await manual_clock.advance(1_000)
        states["database"] = "down"
        await manual_clock.advance(500)
        states["database"] = "degraded"
        await manual_clock.advance(2_100)
    found = uptime.availability("database", HOUR)
    assert (found.up, found.down, found.unobserved) == (3_100, 500, 0)
    assert found.share == found.lower == found.upper == 3_100 / 3_600
    assert uptime.availability(window=HOUR).share == 1
    assert uptime.parts == ["database"]
    assert repr(uptime) == "Uptime('shop', parts=1)"


async def test_what_nobody_looked_at_is_neither_up_nor_down(manual_clock: ManualClock) -> None:
    states = States({"": "up", "cache": "up"})
    async with make(states, manual_clock) as uptime:
        await manual_clock.advance(1_799.5)  # between two looks
        states["broken"] = ""
        await manual_clock.advance(900)
        del states["broken"], states["cache"]
        await manual_clock.advance(900.5)
    found = uptime.availability("cache", HOUR)
    assert (found.up, found.down, found.unobserved) == (1_800, 0, 1_800)
    assert (found.share, found.lower, found.upper) == (1, 0.5, 1)
    assert uptime.availability(window=HOUR).unobserved == 900
    assert uptime.stats().read_failures == 900
    assert uptime.availability("nobody", HOUR).share is None


async def test_jumps_of_the_wall_clock_change_nothing(manual_clock: ManualClock) -> None:
    states = States({"": "up"})
    async with make(states, manual_clock) as uptime:
        for jump in (7_200, -90_000, 40):
            await manual_clock.advance(1_200)
            manual_clock.set_time(manual_clock.time() + jump)
        states[""] = "down"
        uptime.observe(states)
        await manual_clock.advance(10)
    found = uptime.availability(window=HOUR)
    assert (found.up, found.down, found.unobserved) == (3_590, 10, 0)


async def test_maintenance_leaves_the_denominator(manual_clock: ManualClock) -> None:
    states = States({"": "down"})
    async with make(states, manual_clock) as uptime:
        now = manual_clock.time()
        uptime.plan(now, now + 1_800)
        uptime.plan(now + 900, now + 2_700)
        await manual_clock.advance(2_699.5)
        states[""] = "up"
        await manual_clock.advance(0.5)
        await manual_clock.advance(900)
    found = uptime.availability(window=HOUR)
    assert (found.up, found.down, found.planned, found.share) == (900, 0, 2_700, 1)
    with pytest.raises(ConfigurationError, match="end is 1"):
        uptime.plan(2, 1)


async def test_the_time_between_a_crash_and_the_restart_counts(
    manual_clock: ManualClock, tmp_path: Path
) -> None:
    states = States({"": "up", "database": "up"})
    async with open_backend(f"sqlite:///{tmp_path / 'kept'}", clock=manual_clock) as backend:
        before = make(states, manual_clock, backend)
        await before.load()
        before.observe(states)
        before.plan(manual_clock.time() - 600, manual_clock.time() - 300)
        await manual_clock.advance(1_000)
        before.observe(states)
        await before.save()  # and then it is killed
        await manual_clock.advance(500)
        after = make(states, manual_clock, backend)
        after.observe(states)  # before it could be loaded
        await after.load()
        await manual_clock.advance(100)
        after.observe(states)
        whole, part = after.availability(window=1_600), after.availability("database", 1_600)
        assert (whole.up, whole.down, whole.unobserved) == (1_100, 500, 0)
        assert (part.up, part.down, part.unobserved) == (1_100, 0, 500)
        assert after.availability(window=2_200).planned == 300
        budget = after.budget(0.5, window=1_600)
        assert (budget.allowed, budget.spent, budget.left) == (800, 500, 1 - 500 / 800)


async def test_a_clock_put_back_before_a_restart_puts_nothing_before_what_was(
    manual_clock: ManualClock,
) -> None:
    states = States({"": "up"})
    async with open_backend("memory://", clock=manual_clock) as backend:
        async with make(states, manual_clock, backend):
            await manual_clock.advance(1_000)
        manual_clock.set_time(manual_clock.time() - 5_000)
        async with make(states, manual_clock, backend) as after:
            await manual_clock.advance(1_000)
        found = after.availability(window=2_000)
        assert (found.up, found.down, found.unobserved) == (2_000, 0, 0)


@pytest.mark.parametrize("kept", [b'{"version": 2, "until": 1}', b"\xff", b"[]", b'{"version": 1}'])
async def test_what_is_not_known_is_left_alone(
    kept: bytes, manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    states = States({"": "up"})
    async with open_backend("memory://", clock=manual_clock) as backend:
        await backend.set("uptime:shop", kept)
        async with make(states, manual_clock, backend) as uptime:
            await manual_clock.advance(100)
            assert uptime.availability(window=100).share == 1
        assert await backend.get("uptime:shop") == kept
    assert "left alone" in caplog.text


async def test_a_part_that_is_damaged_begins_anew(
    manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    states = States({"": "up", "a": "up"})
    async with open_backend("memory://", clock=manual_clock) as backend:
        async with make(states, manual_clock, backend):
            await manual_clock.advance(100)
        await backend.set("uptime:shop:a", b"?")
        async with make(states, manual_clock, backend) as uptime:
            await manual_clock.advance(100)
        assert uptime.availability("a", 200).unobserved == 100
        assert uptime.availability(window=200).share == 1
    assert "what was kept of 'a' is lost" in caplog.text


class Away:
    """A backend's reads and writes, while it is away."""

    def __init__(self, backend: Backend) -> None:
        self.inner, self.away = backend, True

    def __getattr__(self, name: str) -> object:
        if self.away and name in ("get", "set", "set_many"):
            raise BackendUnavailableError("b", name, "gone")
        return getattr(self.inner, name)


async def test_without_its_backend_it_goes_on_and_saves_later(manual_clock: ManualClock) -> None:
    states = States({"": "up"})
    async with open_backend("memory://", clock=manual_clock) as backend:
        away = Away(backend)
        uptime = make(states, manual_clock, away)  # type: ignore[arg-type]  # passes all on
        told: list[object] = []
        uptime.events.subscribe(told.append)
        async with uptime:
            await manual_clock.advance(100)
            assert [type(each) for each in told] == [UptimeNotSaved]
            away.away = False
            await manual_clock.advance(30)
        assert uptime.stats().save_failures >= 2
        async with make(states, manual_clock, backend) as after:
            assert after.availability(window=130).share == 1


async def test_too_many_parts_are_counted(manual_clock: ManualClock) -> None:
    uptime = make(States(), manual_clock)
    uptime.observe({str(number): "up" for number in range(1_003)})
    assert (uptime.stats().parts, uptime.stats().refused) == (1_000, 3)


async def test_days_are_told_one_by_one(manual_clock: ManualClock) -> None:
    manual_clock.set_time(10 * 86_400)
    uptime = make(States(), manual_clock)
    for _ in range(48):
        uptime.observe({"": "up"})
        await manual_clock.advance(3_600)
        uptime.observe({"": "up"})
    assert [round(day.up) for day in uptime.days(days=3)] == [86_400, 86_400, 0]


def test_settings_out_of_range_are_refused() -> None:
    for field in ("interval", "save_interval"):
        with pytest.raises(ConfigurationError, match=field):
            Uptime("x", read=dict, **{field: 0})  # type: ignore[arg-type]  # by name
    with pytest.raises(ConfigurationError, match="objective"):
        Uptime("x", read=dict).budget(1)


async def test_it_ends_with_its_block(manual_clock: ManualClock) -> None:
    async with make(States({"": "up"}), manual_clock):
        pass
    assert len(asyncio.all_tasks()) == 1
