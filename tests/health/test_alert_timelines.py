"""Who is told what, and when: timelines of pure steps, looked at every five seconds."""

from itertools import pairwise

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.health import Above, Inhibition, Route, Rule, Severity, Silence, Step
from mobius_infra.health._alert_book import Acknowledgement
from mobius_infra.health._alert_desk import carry_out
from mobius_infra.health._alert_store import Action
from tests.health.alerting import T0, Recorder, Timeline, World

PHONE, PAGER, BOSS = Recorder("phone"), Recorder("pager"), Recorder("boss")
ROUTE = Route(channels=(PHONE,), wait=10, interval=60, repeat=600)


def silence(start: float, end: float, **match: str) -> Silence:
    return Silence(id="s", match=match, starts_at=T0 + start, ends_at=T0 + end)


def test_an_incident_is_told_after_its_wait_repeated_and_resolved() -> None:
    world = World()
    time = Timeline([world.rule("a", for_=20)], [ROUTE])
    world.bad = {"a"}
    time.until(1300)
    world.bad = set()
    time.until(1400)
    assert time.told == [
        (35, "phone", "firing", ["a"], []),  # seen at 5, firing at 25, told at 35
        (635, "phone", "repeated", ["a"], []),
        (1235, "phone", "repeated", ["a"], []),
        (1305, "phone", "resolved", [], ["a"]),
    ]
    assert not time.book.incidents
    assert time.book.past[0].closed_at == T0 + 1305


def test_what_comes_and_goes_inside_the_patience_tells_nobody() -> None:
    world = World()
    time = Timeline([world.rule("for", for_=20), world.rule("wait")], [ROUTE])
    for _ in range(10):
        world.bad = {"for", "wait"}
        time.until(time.now - T0 + 5)  # shorter than `for_` of one, and the wait of the other
        world.bad = set()
        time.until(time.now - T0 + 5)
    assert time.told == []
    assert not time.book.incidents
    assert not time.book.past


def test_flapping_after_it_was_told_is_told_at_most_once_an_interval() -> None:
    world = World()
    time = Timeline([world.rule("a")], [ROUTE])
    for _ in range(60):
        world.bad ^= {"a"}
        time.until(time.now - T0 + 10)
    assert len(time.told) <= 600 / 60 + 1
    kinds = [kind for _, _, kind, _, _ in time.told]
    assert all(one != next_ for one, next_ in pairwise(kinds))


def test_keep_firing_for_holds_an_alert_over_a_gap() -> None:
    world = World()
    time = Timeline([world.rule("a", keep_firing_for=60)], [ROUTE])
    world.bad = {"a"}
    time.until(30)
    world.bad = set()
    time.until(70)
    assert time.book.alerts["a"].state.reason.endswith("; kept for another 25 s")
    world.bad = {"a"}
    time.until(100)
    world.bad = set()
    time.until(160)
    assert [each[2] for each in time.told] == ["firing"]
    time.until(170)
    assert time.told[-1][:3] == (165, "phone", "resolved")


def test_what_can_not_be_known_neither_fires_nor_resolves() -> None:
    world = World()
    time = Timeline([world.rule("a", for_=20)], [ROUTE])
    world.bad = {"a"}
    time.until(15)
    world.unknown = {"a"}
    time.until(300)
    assert time.told == []
    assert time.book.alerts["a"].state.reason == "the source failed: RuntimeError"
    world.unknown = set()
    time.until(310)  # seen to be so from 5 to 15, and again from 305
    assert time.told == []
    time.until(350)
    assert [each[:3] for each in time.told] == [(325, "phone", "firing")]
    world.unknown, world.bad = {"a"}, set()
    time.until(600)
    assert [each[2] for each in time.told] == ["firing"]


def test_a_silence_that_ends_during_an_incident_lets_it_be_told_then() -> None:
    world = World()
    time = Timeline([world.rule("a")], [ROUTE])
    time.book.silences["s"] = silence(0, 100, alert="a")
    world.bad = {"a"}
    time.until(95)
    assert time.told == []
    assert time.book.alerts["a"].state.phase == "firing"  # looked at as ever
    assert time.book.alerts["a"].hidden == ("silence", "s")
    time.until(120)
    assert time.told == [(110, "phone", "firing", ["a"], [])]


def test_maintenance_comes_again_and_hides_only_while_it_lasts() -> None:
    window = Silence(id="w", match={"alert": "*"}, starts_at=T0, ends_at=T0 + 10, every=100)
    assert [window.lasts(T0 + at) for at in (-1, 0, 9, 10, 99, 100, 109, 110)] == [
        False, True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert not window.over(T0 + 1e9)


def test_a_resolution_is_told_although_it_is_silenced_to_those_who_heard() -> None:
    world = World()
    time = Timeline([world.rule("a"), world.rule("b")], [ROUTE])
    world.bad = {"a"}
    time.until(30)
    time.book.silences["s"] = silence(30, 1000, alert="*")
    world.bad = {"b"}
    time.until(100)
    world.bad = set()
    time.until(200)
    assert time.told[1:] == [(75, "phone", "resolved", [], ["a"])]


@pytest.mark.parametrize(
    ("start", "end"), [(10, 10), (10, 5), (0, float("nan")), (0, float("inf"))]
)
def test_a_silence_that_does_not_end_after_it_starts_is_refused(start: float, end: float) -> None:
    with pytest.raises(ConfigurationError, match="ends_at"):
        silence(start, end, alert="a")


def test_a_silence_of_everything_by_mistake_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="match"):
        silence(0, 1)


def test_a_parent_hides_its_children_lists_them_and_releases_them() -> None:
    world = World()
    rules = [
        world.rule("database", "critical"),
        world.rule("api", parents=("database",)),
        world.rule("page", parents=("api",)),
    ]
    time = Timeline(rules, [ROUTE])
    world.bad = {"database", "api", "page"}
    time.until(60)
    assert time.told == [(15, "phone", "firing", ["database"], [])]
    assert time.book.alerts["page"].hidden == ("parent", "api")
    (incident,) = time.book.incidents.values()
    assert incident.folded == ["api", "page"]
    world.bad = {"api", "page"}
    time.until(120)
    # The parent is well again, and they are not: now it is the next in the chain that is told.
    assert (80, "phone", "firing", ["api"], []) in time.told or (
        75, "phone", "firing", ["api"], []) in time.told  # fmt: skip
    assert not any("page" in each[3] for each in time.told)


def test_one_that_joins_an_incident_gives_the_others_no_more_time() -> None:
    world = World()
    route = Route(channels=(PHONE,), group_by=(), wait=0, interval=60, repeat=1e6,
                  escalation=(Step(100, (PAGER,)),))  # fmt: skip
    time = Timeline([world.rule("a"), world.rule("b")], [route])
    world.bad = {"a"}
    time.until(50)
    world.bad = {"a", "b"}
    time.until(150)
    assert [each[:2] for each in time.told] == [(5, "phone"), (65, "phone"), (105, "pager")]


def test_what_ended_long_before_it_may_be_told_is_still_told_by_its_name() -> None:
    world = World()
    route = Route(channels=(PHONE,), wait=0, interval=3600)
    time = Timeline([world.rule("a")], [route])
    world.bad = {"a"}
    time.until(10)
    world.bad = set()
    time.until(3700)
    assert time.told[1:] == [(3605, "phone", "resolved", [], ["a"])]


def test_what_is_silenced_and_explained_is_shown_as_silenced() -> None:
    world = World()
    time = Timeline([world.rule("a"), world.rule("b", parents=("a",))], [ROUTE])
    time.book.silences["s"] = silence(0, 100, alert="b")
    world.bad = {"a", "b"}
    time.until(50)
    assert time.book.alerts["b"].hidden == ("silence", "s")
    time.until(105)
    assert time.book.alerts["b"].hidden == ("parent", "a")


def test_a_parent_that_is_still_pending_holds_its_children_back() -> None:
    world = World()
    parent = world.rule("database", "critical", for_=60)
    time = Timeline([world.rule("api", parents=("database",)), parent], [ROUTE])
    world.bad = {"database", "api"}
    time.until(50)
    assert time.told == []
    world.bad = {"api"}
    time.until(80)
    assert time.told == [(65, "phone", "firing", ["api"], [])]


@pytest.mark.parametrize("link", ["parent", "inhibition"])
def test_nothing_hides_what_is_more_severe(link: str) -> None:
    world = World()
    parents = ("network",) if link == "parent" else ()
    rules = [world.rule("network"), world.rule("payments", "critical", parents=parents)]
    inhibition = Inhibition(source={"alert": "network"}, target={"alert": "*"})
    time = Timeline(rules, [ROUTE], (inhibition,) if link == "inhibition" else ())
    world.bad = {"network", "payments"}
    time.until(30)
    assert sorted(each[3][0] for each in time.told) == ["network", "payments"]


def test_an_inhibition_hides_where_the_named_labels_are_equal() -> None:
    world = World()
    rules = [
        world.rule("down", "critical", labels={"host": "a"}),
        world.rule("slow", labels={"host": "a"}),
        world.rule("slower", labels={"host": "b"}),
    ]
    inhibition = Inhibition(
        source={"severity": "critical"}, target={"severity": "warning"}, equal=("host",)
    )
    time = Timeline(rules, [ROUTE], (inhibition,))
    world.bad = {"down", "slow", "slower"}
    time.until(30)
    assert sorted(each[3][0] for each in time.told) == ["down", "slower"]
    assert time.book.alerts["slow"].hidden == ("inhibition", "down")


def test_an_alert_that_may_hide_others_is_hidden_by_another_that_may() -> None:
    world = World()
    rules = [world.rule("a", labels={"kind": "st"}), world.rule("b", labels={"kind": "s"})]
    inhibition = Inhibition(source={"kind": "s*"}, target={"kind": "st"})
    time = Timeline(rules, [ROUTE], (inhibition,))
    world.bad = {"a", "b"}
    time.until(30)
    assert [each[3] for each in time.told] == [["b"]]


def test_what_is_only_pending_inhibits_nothing() -> None:
    world = World()
    inhibition = Inhibition(source={"alert": "a"}, target={"alert": "b"})
    time = Timeline([world.rule("a", for_=300), world.rule("b")], [ROUTE], (inhibition,))
    world.bad = {"a", "b"}
    time.until(30)
    assert [each[3] for each in time.told] == [["b"]]


def test_alerts_that_hide_each_other_in_a_circle_are_not_all_hidden() -> None:
    world = World()
    everything = Inhibition(source={"alert": "*"}, target={"alert": "*"})
    time = Timeline([world.rule(each) for each in "abc"], [ROUTE], (everything,))
    world.bad = {"a", "b", "c"}
    time.until(30)
    assert [each[3] for each in time.told] == [["a"]]


def test_who_does_not_answer_is_followed_by_the_next() -> None:
    world = World()
    route = Route(channels=(PHONE,), wait=0, interval=60, repeat=1e6,
                  escalation=(Step(300, (PAGER,)), Step(600, (BOSS,))))  # fmt: skip
    time = Timeline([world.rule("a")], [route])
    world.bad = {"a"}
    time.until(500)
    (incident,) = time.book.incidents.values()
    carry_out(time.book, Action("x", "acknowledge", time.now, incident.id, "ann"))
    time.until(2000)
    assert [each[:3] for each in time.told] == [(5, "phone", "firing"), (305, "pager", "firing")]
    world.bad = set()
    time.until(2100)
    # Resolved goes to exactly those who got the firing one.
    assert sorted(each[1:3] for each in time.told[2:]) == [
        ("pager", "resolved"), ("phone", "resolved"),
    ]  # fmt: skip


def test_what_fires_again_after_it_was_acknowledged_is_given_the_same_time_again() -> None:
    world = World()
    route = Route(channels=(PHONE,), wait=0, interval=1000, repeat=1e6,
                  escalation=(Step(100, (PAGER,)),))  # fmt: skip
    time = Timeline([world.rule("a")], [route])
    world.bad = {"a"}
    time.until(50)
    carry_out(time.book, Action("x", "acknowledge", time.now, "a", "ann"))
    time.until(300)
    world.bad = set()
    time.until(350)
    world.bad = {"a"}
    time.until(450)
    assert [each[:2] for each in time.told] == [(5, "phone")]
    time.until(500)
    assert [each[:2] for each in time.told[1:]] == [(455, "pager")]


def test_an_acknowledged_alert_is_not_repeated_and_a_new_one_is_told() -> None:
    world = World()
    route = Route(channels=(PHONE,), group_by=(), wait=0, interval=60, repeat=120)
    time = Timeline([world.rule("a"), world.rule("b")], [route])
    world.bad = {"a"}
    time.until(10)
    assert carry_out(time.book, Action("x", "acknowledge", time.now, "a", "ann", "on it")) == ["a"]
    time.until(1000)
    assert len(time.told) == 1
    assert time.book.alerts["a"].acknowledged == Acknowledgement("ann", "on it", T0 + 10)
    world.bad = {"a", "b"}
    time.until(1010)
    assert time.told[1] == (1005, "phone", "firing", ["a", "b"], [])


def test_an_acknowledgement_ends_with_what_it_was_for() -> None:
    world = World()
    time = Timeline([world.rule("a")], [ROUTE])
    world.bad = {"a"}
    time.until(20)
    carry_out(time.book, Action("x", "acknowledge", time.now, "a", "ann"))
    world.bad = set()
    time.until(100)
    world.bad = {"a"}
    time.until(200)
    assert time.book.alerts["a"].acknowledged is None
    assert [each[2] for each in time.told] == ["firing", "resolved", "firing"]
    late = Action("y", "acknowledge", T0 + 20, "a", "ann")  # for the one before
    carry_out(time.book, late)
    assert time.book.alerts["a"].acknowledged is None


def test_a_thousand_alerts_are_a_handful_of_notifications_and_none_is_lost_from_sight() -> None:
    world = World()
    names = [f"a{number:03}" for number in range(1000)]
    time = Timeline([world.rule(each) for each in names], [ROUTE])
    world.bad = set(names)
    time.until(300)
    assert len(time.told) <= ROUTE.most_incidents + 1
    listed = {alert for each in time.told for alert in each[3]}
    folded = {id_ for incident in time.book.incidents.values() for id_ in incident.folded}
    assert listed | folded == set(names)
    world.bad = set()
    time.until(600)
    assert len(time.told) <= 2 * (ROUTE.most_incidents + 1)
    assert not time.book.incidents


def test_a_storm_that_grows_alert_by_alert_is_told_once_an_interval() -> None:
    world = World()
    names = [f"a{number:03}" for number in range(200)]
    time = Timeline([world.rule(each) for each in names], [ROUTE])
    for name in names:
        world.bad.add(name)
        time.until(time.now - T0 + 1, every=1)
    assert len(time.told) <= 6 + 200 / 60


def test_something_worse_does_not_wait_for_the_interval() -> None:
    world = World()
    route = Route(channels=(PHONE,), group_by=(), wait=10, interval=3600)
    time = Timeline([world.rule("a"), world.rule("b"), world.rule("c", "critical")], [route])
    world.bad = {"a"}
    time.until(20)
    world.bad = {"a", "b"}
    time.until(40)
    assert len(time.told) == 1
    world.bad = {"a", "b", "c"}
    time.until(45)
    assert time.told[1:] == [(45, "phone", "firing", ["c", "a", "b"], [])]


def test_the_first_route_that_matches_takes_an_alert() -> None:
    world = World()
    routes = [
        Route(channels=(PAGER,), name="pages", match={"severity": "critical"}, wait=0),
        Route(channels=(PHONE,), wait=0),
    ]
    time = Timeline([world.rule("a"), world.rule("b", "critical")], routes)
    world.bad = {"a", "b"}
    time.until(5)
    assert sorted(each[1:4] for each in time.told) == [
        ("pager", "firing", ["b"]), ("phone", "firing", ["a"]),
    ]  # fmt: skip


def test_readings_by_a_label_are_alerts_of_their_own_and_end_when_they_are_gone() -> None:
    queues = {"x": 10.0, "y": 1.0, "z": 10.0}
    rule = Rule(name="long", source=lambda: queues, condition=Above(5), by="queue",
                severity=Severity.INFO)  # fmt: skip
    time = Timeline([rule], [ROUTE])
    time.until(20)
    assert time.told[0][3] == ["long (queue=x)", "long (queue=z)"]
    assert time.book.alerts["long (queue=x)"].labels == {
        "queue": "x", "alert": "long", "severity": "info",
    }  # fmt: skip
    del queues["z"]
    time.until(100)
    assert time.told[1][4] == ["long (queue=z)"]
