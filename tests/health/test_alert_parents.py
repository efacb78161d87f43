"""Parents are asked again before a child goes out: all at once, and only for what goes out."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mobius_infra.testing import ManualClock
from tests.health.alerting import Recorder, World, manager

Ask = Callable[[], Awaitable[None]]


def asks(asked: list[str], name: str, world: World | None = None) -> Ask:
    async def ask() -> None:
        asked.append(name)
        if world is not None:
            world.bad.add(name)

    return ask


async def test_a_parent_that_turns_out_to_be_down_has_its_own_parents_asked(
    manual_clock: ManualClock,
) -> None:
    world, phone, asked = World(), Recorder(), list[str]()
    rules = [
        world.rule("network", ask_again=asks(asked, "network", world)),
        world.rule("database", ask_again=asks(asked, "database", world), parents=("network",)),
        world.rule("api", parents=("database",)),
    ]
    async with manager(manual_clock, None, rules, phone) as alerts:
        world.bad = {"api"}
        await manual_clock.advance(5)
        assert asked == ["database", "network"]
        (incident,) = alerts.snapshot().incidents
        assert set(incident.folded) == {"database", "api"}
    assert phone.heard() == [("firing", ["network"], [])]


@pytest.mark.parametrize("why", ["pending", "silenced", "told", "its parent alarms"])
async def test_nothing_is_asked_for_what_does_not_go_out(
    manual_clock: ManualClock, why: str
) -> None:
    world, phone, asked = World(), Recorder(), list[str]()
    rules = [
        world.rule("database", ask_again=asks(asked, "database")),
        world.rule("api", for_=3600 if why == "pending" else 0, parents=("database",)),
    ]
    async with manager(manual_clock, None, rules, phone) as alerts:
        if why == "silenced":
            await alerts.silence({"alert": "api"}, by="ann", seconds=9999)
        if why == "its parent alarms":
            world.bad = {"database"}
        await manual_clock.advance(5)
        world.bad |= {"api"}
        await manual_clock.advance(600)
    assert len(asked) == (1 if why == "told" else 0)


async def test_many_parents_that_hang_cost_no_more_than_one(manual_clock: ManualClock) -> None:
    world, phone = World(), Recorder()

    async def hang() -> None:
        await asyncio.Event().wait()

    parents = tuple(f"p{number}" for number in range(20))
    rules = [world.rule(each, ask_again=hang) for each in parents]
    rules.append(world.rule("api", parents=parents))
    async with manager(manual_clock, None, rules, phone):
        world.bad.add("api")
        await manual_clock.advance(10)
    assert phone.heard() == [("firing", ["api"], [])]
