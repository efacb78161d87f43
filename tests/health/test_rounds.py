"""Looks that meet: joined where they are of one thing, and no more of them than it takes."""

import asyncio

from mobius_infra.health import CheckFailed, HealthMonitor
from mobius_infra.testing import ManualClock
from tests.health.support import Dependency, listen, report_of


async def test_a_scheduled_run_joins_one_that_somebody_asked_for(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    slow = Dependency(manual_clock, takes=3)
    monitor.check("slow", every=10, timeout=5, jitter=0)(slow.check)
    async with monitor:
        await manual_clock.advance(9)
        asking = asyncio.create_task(monitor.run("slow"))
        await manual_clock.advance(5)  # it was due at 10
        assert slow.asked == [0, 9]
        assert (await asking).runs == 2


async def test_a_child_that_failed_waits_for_a_look_at_its_parent_that_began_meanwhile(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    parent = Dependency(manual_clock, takes=2)
    child = Dependency(manual_clock, takes=1.5)
    monitor.check("parent", every=100, timeout=5, jitter=0)(parent.check)
    monitor.check("child", every=10, timeout=5, jitter=0, depends_on=["parent"])(child.check)
    async with monitor:
        await manual_clock.advance(9)
        heard = listen(monitor)
        parent.error = child.error = OSError("gone")
        await manual_clock.advance(2)  # the child is asked at 10
        asking = asyncio.create_task(monitor.run("parent"))  # from 11 to 13; the child ends at 11.5
        await manual_clock.advance(1)
        assert not any(isinstance(each, CheckFailed) for each in heard)
        await manual_clock.advance(3)
        await asking
        assert parent.asked == [0, 11]
        assert report_of(monitor, "child").consequence_of == ("parent",)
    failed = {each.check: each.consequence_of for each in heard if isinstance(each, CheckFailed)}
    assert failed == {"parent": (), "child": ("parent",)}


async def test_a_parent_that_was_asked_after_its_child_is_not_asked_again(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    parent, child = Dependency(manual_clock), Dependency(manual_clock, takes=2)
    monitor.check("parent", every=100, jitter=0)(parent.check)
    monitor.check("child", every=10, timeout=5, jitter=0, depends_on=["parent"])(child.check)
    async with monitor:
        await manual_clock.advance(9)
        child.error = OSError("gone")
        await manual_clock.advance(2)
        await monitor.run("parent")
        assert report_of(monitor, "child").state == "up"  # it is still being asked, since 10
        await manual_clock.advance(3)
        assert report_of(monitor, "child").state == "down"
        assert parent.asked == [0, 11]


async def test_no_parent_is_asked_about_what_is_known_or_known_to_be_down(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    parent, child = Dependency(manual_clock), Dependency(manual_clock)
    monitor.check("parent", every=1000, jitter=0)(parent.check)
    monitor.check("child", every=10, jitter=0, depends_on=["parent"])(child.check)
    async with monitor:
        await manual_clock.advance(5)
        child.error = OSError("gone")
        await manual_clock.advance(10)
        assert parent.asked == [0, 10]
        await manual_clock.advance(50)  # it says no worse than is known
        assert parent.asked == [0, 10]
        child.error = None
        await manual_clock.advance(10)
        parent.error = child.error = OSError("gone")
        await monitor.run("parent")
        asked = parent.calls
        await manual_clock.advance(100)
        assert parent.calls == asked
