"""Alerts of a monitor's checks: the root is told, its consequences are listed, and let go of."""

from mobius_infra.health import HealthMonitor, Route, check_rules
from mobius_infra.testing import ManualClock
from tests.health.alerting import Recorder, manager


class Things:
    """What is broken, as checks see it, and a monitor of it."""

    def __init__(self, clock: ManualClock) -> None:
        self.broken: set[str] = set()
        self.vague: set[str] = set()
        self.runs: list[str] = []
        self.monitor = HealthMonitor(clock=clock, draw=lambda: 0.0)

    def add(self, name: str, *depends_on: str, every: float = 10.0, failures: int = 1) -> None:
        @self.monitor.check(name, every=every, failures=failures, depends_on=depends_on, jitter=0)
        async def check() -> object:
            self.runs.append(name)
            return "nonsense" if name in self.vague else name not in self.broken


async def test_of_what_breaks_together_the_root_is_told_and_the_rest_is_listed(
    manual_clock: ManualClock,
) -> None:
    things, phone = Things(manual_clock), Recorder()
    things.add("database", every=30)
    things.add("api", "database")
    things.monitor.component("shop", depends_on=["api"])
    async with (
        things.monitor,
        manager(manual_clock, None, check_rules(things.monitor), phone) as alerts,
    ):
        await manual_clock.advance(100)
        assert phone.sent == []
        things.broken = {"database", "api"}
        await manual_clock.advance(60)
        assert phone.heard() == [("firing", ["database is down"], [])]
        assert phone.sent[0].firing[0].labels["check"] == "database"
        (incident,) = alerts.snapshot().incidents
        assert set(incident.folded) == {"api is down", "shop is down"}  # created, and not told
        things.broken = {"api"}  # the root is well first: what is left is told for itself
        await manual_clock.advance(400)
        assert ("firing", ["api is down"], []) in phone.heard()
        assert ("resolved", [], ["database is down"]) in phone.heard()
        things.broken = set()
        await manual_clock.advance(400)
    told = [alert for _, firing, _ in phone.heard() for alert in firing]
    assert sorted(told) == ["api is down", "database is down"]
    ended = [alert for _, _, resolved in phone.heard() for alert in resolved]
    assert sorted(ended) == sorted(told)


async def test_an_alert_that_becomes_a_consequence_is_resolved_when_it_is_well(
    manual_clock: ManualClock,
) -> None:
    things, phone = Things(manual_clock), Recorder()
    things.add("database")
    things.add("api", "database")
    async with things.monitor, manager(manual_clock, None, check_rules(things.monitor), phone):
        things.broken = {"api"}
        await manual_clock.advance(30)
        things.broken = {"api", "database"}
        await manual_clock.advance(400)
        assert [kind for kind, _, _ in phone.heard()] == ["firing", "firing"]  # neither ended
        things.broken = set()
        await manual_clock.advance(400)
    ended = [alert for _, _, resolved in phone.heard() for alert in resolved]
    assert sorted(ended) == ["api is down", "database is down"]


async def test_a_consequence_of_what_is_not_believed_yet_waits_for_it(
    manual_clock: ManualClock,
) -> None:
    things, phone = Things(manual_clock), Recorder()
    things.add("database", failures=3)
    things.add("api", "database")
    async with (
        things.monitor,
        manager(manual_clock, None, check_rules(things.monitor), phone, every=1) as alerts,
    ):
        await manual_clock.advance(15)
        things.broken = {"database", "api"}
        await manual_clock.advance(9)
        assert alerts.snapshot().alerts == ()
        await manual_clock.advance(60)
    assert phone.heard() == [("firing", ["database is down"], [])]


async def test_a_check_that_was_down_and_can_not_be_asked_is_not_resolved(
    manual_clock: ManualClock,
) -> None:
    things, phone = Things(manual_clock), Recorder()
    things.add("api")
    async with things.monitor, manager(manual_clock, None, check_rules(things.monitor), phone):
        things.broken = {"api"}
        await manual_clock.advance(30)
        things.vague = {"api"}
        await manual_clock.advance(400)
        assert things.monitor.report().checks[0].state == "unknown"
        assert phone.heard() == [("firing", ["api is down"], [])]
        things.broken = things.vague = set()
        await manual_clock.advance(400)
    assert phone.heard()[1:] == [("resolved", [], ["api is down"])]


async def test_a_parent_is_asked_again_before_the_alert_of_its_child_goes_out(
    manual_clock: ManualClock,
) -> None:
    things, phone = Things(manual_clock), Recorder()
    things.add("database", every=3600)
    things.add("api", "database", every=20)
    rules = check_rules(things.monitor, for_=35)
    routes = [Route(channels=(phone,), wait=0)]
    async with things.monitor, manager(manual_clock, None, rules, routes=routes):
        await manual_clock.advance(5)
        things.broken = {"api"}
        await manual_clock.advance(20)  # down by itself: its parent is well, as was asked then
        asked = things.runs.count("database")
        things.broken = {"api", "database"}
        await manual_clock.advance(30)
        assert things.runs.count("database") == asked
        await manual_clock.advance(20)
        assert things.runs.count("database") == asked + 1
        assert phone.sent == []  # it is pending, and holds its child back
        await manual_clock.advance(40)
    assert phone.heard() == [("firing", ["database is down"], [])]
