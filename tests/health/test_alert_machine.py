"""The life of alerts in any order of events, against what must hold whatever happens."""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mobius_infra.health import Inhibition, Phase, Route, Severity, Silence, Step
from mobius_infra.health._alert_book import BOOK, Book, Delivery
from mobius_infra.health._alert_desk import carry_out
from mobius_infra.health._alert_engine import Look, advance, take_up
from mobius_infra.health._alert_reader import Reader
from mobius_infra.health._alert_store import Action
from mobius_infra.health._outbox import finish, refuse, waiting_for
from tests.health.alerting import T0, Recorder, Timeline, World

NAMES = ["root", "child", "grown", "loud", "alone"]


class Life(RuleBasedStateMachine):
    """Readings, silences, acknowledgements, restarts, channels that take, refuse or are slow."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        rules = [
            self.world.rule("root", "warning", for_=20),
            self.world.rule("child", "warning", parents=("root",)),
            self.world.rule("grown", "critical", parents=("root",)),  # worse than its parent
            self.world.rule("loud", "critical", for_=10, keep_firing_for=30),
            self.world.rule("alone", "info", keep_firing_for=10),
        ]
        self.patience = {each.name: each.timing for each in rules}
        route = Route(
            channels=(Recorder("one"),), group_by=("severity",), wait=10, interval=60, repeat=300,
            most_incidents=2, listed=2, escalation=(Step(100, (Recorder("two"),)),),
        )  # fmt: skip
        inhibition = Inhibition(source={"alert": "loud"}, target={"alert": "alone"})
        self.time = Timeline(rules, [route], (inhibition,))
        self.seen: dict[str, list[tuple[float, bool | None]]] = defaultdict(list)
        self.phases: dict[str, Phase] = dict.fromkeys(NAMES, Phase.INACTIVE)
        self.open: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.taken: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.handled: set[str] = set()
        self.made = 0
        self.serial = 0

    @property
    def book(self) -> Book:
        return self.time.book

    # What happens.

    @rule(name=st.sampled_from(NAMES), how=st.sampled_from(["bad", "good", "unknown"]))
    def a_reading_changes(self, name: str, how: str) -> None:
        for states, word in ((self.world.bad, "bad"), (self.world.unknown, "unknown")):
            (states.add if how == word else states.discard)(name)

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0, 30.0]), times=st.integers(1, 8))
    def time_passes(self, seconds: float, times: int) -> None:
        for _ in range(times):
            self.look(seconds)

    @rule(name=st.sampled_from([*NAMES, "*"]), seconds=st.sampled_from([15.0, 90.0]))
    def somebody_silences(self, name: str, seconds: float) -> None:
        self.serial += 1
        now = self.time.now
        made = Silence(id=f"s{self.serial}", match={"alert": name}, starts_at=now,
                       ends_at=now + seconds)  # fmt: skip
        carry_out(self.book, Action(made.id, "silence", now, made.id, "ann", "", made))

    @rule(name=st.sampled_from(NAMES))
    def somebody_acknowledges(self, name: str) -> None:
        carry_out(self.book, Action("x", "acknowledge", self.time.now, name, "ann"))

    @rule(channel=st.sampled_from(["one", "two"]), takes=st.booleans(), most=st.integers(1, 3))
    def a_channel_works(self, channel: str, takes: bool, most: int) -> None:
        for delivery in waiting_for(self.book, channel)[:most]:
            if delivery.progress == "waiting":
                self.arrive(delivery, takes=takes)

    @rule(seconds=st.sampled_from([0.0, 50.0]))
    def it_is_restarted(self, seconds: float) -> None:
        stored = BOOK.dump_json(self.book)
        self.time.book = BOOK.validate_json(stored)
        assert BOOK.dump_json(self.book) == stored
        self.time.now += seconds
        self.time.reader = Reader(self.time.plan.rules.values())
        take_up(self.book, self.time.now, self.time.plan)
        for name in NAMES:
            self.seen[name].append((self.time.now, None))

    # What must hold.

    def look(self, seconds: float) -> None:
        self.time.now += seconds
        before = set(self.book.deliveries)
        seen = self.time.reader.read(self.time.now, {})
        for each in seen.values():
            self.seen[each.id].append((self.time.now, each.verdict.active))
        look = advance(self.book, self.time.now, seen.values(), self.time.plan)
        self.check_phases(look)
        for id_, delivery in self.book.deliveries.items():
            if id_ not in before:
                self.check_made(delivery)

    def check_phases(self, look: Look) -> None:
        for change in look.changes:
            name, timing = change.alert, self.patience[change.alert]
            before, after = self.phases[name], self.book.alerts[name].state.phase
            if after is Phase.FIRING:
                assert before is not Phase.FIRING
                assert self.held(name) >= timing.for_
            if after is Phase.RESOLVED:
                assert before is Phase.FIRING
                assert self.time.now - self.cleared(name) >= timing.keep_firing_for
        for name in NAMES:
            alert = self.book.alerts.get(name)
            self.phases[name] = Phase.INACTIVE if alert is None else alert.state.phase
            last = self.seen[name][-1][1]
            if self.phases[name] is Phase.INACTIVE:
                assert not last
            if last and self.held(name) >= self.patience[name].for_:
                assert self.phases[name] is Phase.FIRING

    def held(self, name: str) -> float:
        """Return how long it has been seen to be so, without a break that was seen."""
        held, later = 0.0, None
        for when, active in reversed(self.seen[name]):
            if active is False:
                break
            if active and later is not None:
                held += later - when
            later = when if active else None
        return held

    def cleared(self, name: str) -> float:
        """Return since when it has not been so."""
        since = float("inf")
        for when, active in reversed(self.seen[name]):
            if active:
                break
            since = when if active is False else since
        return since

    def check_made(self, delivery: Delivery) -> None:
        what = delivery.notification
        target = (delivery.channel, what.step)
        self.made += 1
        for id_ in delivery.news:
            alert = self.book.alerts[id_]
            assert alert.state.phase is Phase.FIRING
            assert alert.hidden is None
            assert id_ not in self.open[target]
            self.open[target].add(id_)
            if alert.severity is Severity.CRITICAL:
                assert not any(each.lasts(self.time.now) and each.hides(alert.labels, self.time.now)
                               for each in self.book.silences.values())  # fmt: skip
        for line in what.resolved:
            assert line.alert in self.open[target]  # exactly those who were told that it fires
            self.open[target].remove(line.alert)
        assert len(what.firing) <= 2
        if what.step == 1:
            assert self.time.now - T0 >= 100

    def arrive(self, delivery: Delivery, *, takes: bool) -> None:
        what = delivery.notification
        target = (delivery.channel, what.step)
        assert what.id not in self.handled
        self.handled.add(what.id)
        if not takes:
            refuse(self.book, delivery, self.time.now, "no")
            self.open[target] -= set(delivery.news)
            for each in self.book.deliveries.values():
                if each.progress == "withdrawn":
                    self.handled.add(each.notification.id)
            return
        finish(delivery, "sent", self.time.now)
        self.taken[target] |= set(delivery.news)

    @invariant()
    def what_is_worse_is_never_hidden_by_what_is_less(self) -> None:
        if not hasattr(self, "time"):
            return
        for alert in self.book.alerts.values():
            if alert.hidden is not None and alert.hidden[1] in self.book.alerts:
                assert self.book.alerts[alert.hidden[1]].severity.rank >= alert.severity.rank

    @invariant()
    def it_is_bounded(self) -> None:
        if hasattr(self, "time"):
            assert len(self.book.incidents) <= 3
            span = self.time.now - T0
            # Two targets of three incidents, an interval apart; what is worse goes at once.
            assert self.made <= 2 * 3 * (span / 60 + 4) + len(self.seen["root"])

    def teardown(self) -> None:
        if not hasattr(self, "time"):
            return
        self.all_is_bad_and_nobody_silences()
        self.all_is_well()

    def all_is_bad_and_nobody_silences(self) -> None:
        self.book.silences.clear()
        self.world.unknown = set()
        self.world.bad = {"loud", "grown"}
        for _ in range(20):
            self.look(10)
            self.deliver()
        for name in self.world.bad:
            alert = self.book.alerts[name]
            incident = self.book.incidents[alert.incident or ""]
            # It is told, unless somebody deals with it, or the channel would not have it.
            assert alert.acknowledged or name in incident.told["0#one"].alerts

    def all_is_well(self) -> None:
        self.world.bad = set()
        for _ in range(200):
            self.look(10)
            self.deliver()
        assert not self.book.incidents
        assert not any(each.state.active for each in self.book.alerts.values())
        assert not any(waiting_for(self.book, each) for each in ("one", "two"))
        assert not any(self.open.values())  # whoever was told that it fires was told that it ended

    def deliver(self) -> None:
        for channel in ("one", "two"):
            for delivery in waiting_for(self.book, channel):
                if delivery.progress == "waiting":
                    self.arrive(delivery, takes=True)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
