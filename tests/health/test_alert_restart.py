"""What survives: restarts, a lost backend, a fleet in which one notifies, foreign documents."""

import asyncio
import json

import pytest

from mobius_infra.core import Backend
from mobius_infra.health import (
    Above,
    AlertManager,
    AlertStoreFailed,
    NotificationSent,
    NotifierChanged,
    Postponed,
    Route,
    Rule,
    Silence,
    Step,
)
from mobius_infra.health._alert_store import AlertStore
from mobius_infra.health._rules import Source
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky
from tests.health.alerting import T0, Recorder, World, events_of, manager, memory


async def test_what_was_told_before_a_restart_is_not_told_again_and_its_end_is(
    manual_clock: ManualClock,
) -> None:
    backend, world = memory(manual_clock), World()
    phone, pager = Recorder("phone"), Recorder("pager")
    route = Route(channels=(phone,), wait=0, escalation=(Step(60, (pager,)),))
    world.bad = {"a"}
    async with manager(manual_clock, backend, [world.rule("a")], routes=[route]) as alerts:
        await manual_clock.advance(30)
        assert await alerts.acknowledge("a", by="ann")
    await manual_clock.advance(1000)
    async with manager(manual_clock, backend, [world.rule("a")], routes=[route]) as alerts:
        await manual_clock.advance(60)
        (alert,) = alerts.snapshot().alerts
        assert (alert.note, alert.phase) == ("still so when watching resumed", "firing")
        assert alert.acknowledged is not None  # so nobody is escalated to
        assert alert.since == T0
        world.bad = set()
        await manual_clock.advance(600)
    assert phone.heard() == [("firing", ["a"], []), ("resolved", [], ["a"])]
    assert pager.sent == []


async def test_what_began_and_what_ended_while_nobody_watched_are_told_apart(
    manual_clock: ManualClock,
) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    rules = [world.rule("old"), world.rule("new", for_=20)]
    world.bad = {"old"}
    async with manager(manual_clock, backend, rules, phone):
        await manual_clock.advance(30)
    world.bad = {"new"}
    await manual_clock.advance(1000)
    async with manager(manual_clock, backend, rules, phone) as alerts:
        await manual_clock.advance(400)
        notes = {each.id: each.note for each in alerts.snapshot().alerts}
    assert notes == {
        "old": "ended while unwatched since 2023-11-14 22:13:50+00:00",
        "new": "began while unwatched since 2023-11-14 22:13:50+00:00",
    }
    assert phone.heard() == [
        ("firing", ["old"], []), ("resolved", [], ["old"]), ("firing", ["new"], []),
    ]  # fmt: skip
    assert phone.sent[2].firing[0].reason.startswith("began while unwatched since 2023-11-14")


async def test_time_that_nobody_watched_does_not_count_as_patience(
    manual_clock: ManualClock,
) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    world.bad = {"a"}
    async with manager(manual_clock, backend, [world.rule("a", for_=60)], phone):
        await manual_clock.advance(30)
    await manual_clock.advance(1000)
    async with manager(manual_clock, backend, [world.rule("a", for_=60)], phone):
        await manual_clock.advance(25)
        assert phone.sent == []
        await manual_clock.advance(10)
        assert phone.heard() == [("firing", ["a"], [])]


async def test_an_alert_whose_rule_was_removed_is_resolved_and_not_kept_for_ever(
    manual_clock: ManualClock,
) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    world.bad = {"a"}
    async with manager(manual_clock, backend, [world.rule("a")], phone):
        await manual_clock.advance(5)
    async with manager(manual_clock, backend, [world.rule("b")], phone) as alerts:
        await manual_clock.advance(400)
        (alert,) = alerts.snapshot().alerts
        assert (alert.phase, alert.reason) == ("resolved", "its rule was removed")
        await manual_clock.advance(900)
        assert alerts.snapshot().alerts == ()
    assert phone.heard() == [("firing", ["a"], []), ("resolved", [], ["a"])]


async def test_alerts_of_a_route_and_a_channel_that_are_gone_go_to_those_that_are_there(
    manual_clock: ManualClock,
) -> None:
    backend, world = memory(manual_clock), World()
    old, new = Recorder("old"), Recorder("new")
    world.bad = {"a"}
    first = Route(channels=(old,), name="first", wait=0)
    async with manager(manual_clock, backend, [world.rule("a")], routes=[first]):
        old.error = OSError()
        await manual_clock.advance(5)
    async with manager(manual_clock, backend, [world.rule("a")], new) as alerts:
        await manual_clock.advance(60)
        assert {each.channel for each in alerts.snapshot().deliveries} == {"new"}
    assert new.heard() == [("firing", ["a"], [])]


async def test_an_alert_whose_rule_is_by_another_label_now_is_resolved(
    manual_clock: ManualClock,
) -> None:
    backend, phone = memory(manual_clock), Recorder()

    def rule(by: str | None) -> Rule:
        source: Source = (lambda: 9.0) if by is None else (lambda: {"x": 9.0})
        return Rule(name="a", source=source, condition=Above(5), by=by)

    for by in ("queue", "host", None):
        async with manager(manual_clock, backend, [rule(by)], phone) as alerts:
            await manual_clock.advance(400)
            firing = [each.id for each in alerts.snapshot().alerts if each.phase == "firing"]
            assert firing == ["a" if by is None else f"a ({by}=x)"]
            if by == "host":
                old = next(each for each in alerts.snapshot().alerts if "queue" in each.id)
                assert old.reason == "its rule was changed"
    ended = [alert for _, _, resolved in phone.heard() for alert in resolved]
    assert ended == ["a (queue=x)", "a (host=x)"]


@pytest.mark.parametrize("change", ["the step is gone", "the route is gone"])
async def test_who_was_told_by_what_is_gone_hears_how_it_ended(
    manual_clock: ManualClock, change: str
) -> None:
    backend, world = memory(manual_clock), World()
    phone, pager = Recorder("phone"), Recorder("pager")
    world.bad = {"a"}
    before = Route(channels=(phone,), name="all", wait=0, escalation=(Step(60, (pager,)),))
    async with manager(manual_clock, backend, [world.rule("a")], routes=[before]):
        await manual_clock.advance(100)
    assert pager.heard() == [("firing", ["a"], [])]
    name = "all" if change == "the step is gone" else "everything"
    after = Route(channels=(phone,), name=name, wait=0, repeat=600)
    other = Route(channels=(pager,), name="other", match={"alert": "other"})
    async with manager(manual_clock, backend, [world.rule("a")], routes=[after, other]) as alerts:
        await manual_clock.advance(5000)
        assert len(pager.sent) == 1  # nobody repeats to it what its step or route would
        members = [each.alerts for each in alerts.snapshot().incidents]
        assert sorted(members) == ([(), ("a",)] if "route" in change else [("a",)])
        world.bad = set()
        await manual_clock.advance(1000)
        assert all(each.closed_at for each in alerts.snapshot().incidents)
    assert pager.heard()[1:] == [("resolved", [], ["a"])]
    assert phone.heard()[-1] == ("resolved", [], ["a"])
    # Told twice by two routes, it hears of both ends.
    told = [kind for kind, _, _ in phone.heard()]
    assert told.count("firing") == told.count("resolved") == (2 if "route" in change else 1)


async def test_maintenance_that_is_no_longer_declared_ends_with_a_restart(
    manual_clock: ManualClock,
) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    world.bad = {"a"}
    window = Silence(id="w", match={"alert": "a"}, starts_at=T0, ends_at=T0 + 50, every=100)
    async with manager(
        manual_clock, backend, [world.rule("a")], phone, maintenance=[window]
    ) as alerts:
        await alerts.silence({"alert": "z"}, by="ann", seconds=9999)
        await manual_clock.advance(5)
        assert phone.sent == []
        assert alerts.snapshot().alerts[0].silenced_by == "w"
    async with manager(manual_clock, backend, [world.rule("a")], phone) as alerts:
        await manual_clock.advance(5)
        assert [each.by for each in alerts.snapshot().silences] == ["ann"]
    assert phone.heard() == [("firing", ["a"], [])]


async def test_what_was_still_to_be_sent_is_sent_after_a_restart_under_its_id(
    manual_clock: ManualClock,
) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    world.bad = {"a"}
    phone.error = Postponed("phone", "it answered 503", 3600)
    async with manager(manual_clock, backend, [world.rule("a")], phone):
        await manual_clock.advance(5)
    phone.error = None
    async with manager(manual_clock, backend, [world.rule("a")], phone):
        await manual_clock.advance(3000)
        assert len(phone.tried) == 1  # what was asked for holds over the restart, too
        await manual_clock.advance(700)
    assert phone.heard() == [("firing", ["a"], [])]
    assert len(set(phone.tried)) == 1


async def test_the_machines_clock_may_jump_and_nothing_fires_or_resolves_by_it(
    manual_clock: ManualClock,
) -> None:
    world, phone = World(), Recorder()
    world.bad = {"a", "b"}
    rules = [world.rule("a", for_=600), world.rule("b", keep_firing_for=600)]
    async with manager(manual_clock, None, rules, phone) as alerts:
        await alerts.silence({"alert": "c"}, by="ann", seconds=600)
        await manual_clock.advance(10)
        for jump in (1e6, -2e6):
            manual_clock.set_time(manual_clock.time() + jump)
            world.bad = {"a"}
            await manual_clock.advance(10)
        phases = {each.id: each.phase for each in alerts.snapshot().alerts}
    assert phases == {"a": "pending", "b": "firing"}
    assert len(phone.sent) == 1


async def test_one_of_a_fleet_notifies_and_another_takes_over_when_it_dies(
    manual_clock: ManualClock,
) -> None:
    backend, world = memory(manual_clock), World()
    phones = [Recorder("phone") for _ in range(3)]
    fleet = [
        manager(manual_clock, backend, [world.rule("a"), world.rule("b")], phone)
        for phone in phones
    ]
    for each in fleet:
        await each.start()
    world.bad = {"a"}
    await manual_clock.advance(60)
    assert [each.stats().state for each in fleet].count("notifying") == 1
    assert [len(each.sent) for each in phones] == [1, 0, 0]
    assert [len(each.snapshot().alerts) for each in fleet] == [1, 1, 1]  # all show the same
    for task in fleet[0]._tasks:  # it dies, and gives nothing back
        task.cancel()
    await manual_clock.advance(60)
    assert [each.stats().state for each in fleet[1:]].count("notifying") == 1
    world.bad = {"b"}
    await manual_clock.advance(400)
    heard = [one for each in phones[1:] for one in each.heard()]
    assert sorted(heard) == [("firing", ["b"], []), ("resolved", [], ["a"])]
    for each in fleet:
        await each.close()


async def test_what_only_one_of_a_fleet_sees_is_told_by_the_one_that_notifies(
    manual_clock: ManualClock,
) -> None:
    backend = memory(manual_clock)
    worlds, phones = [World(), World()], [Recorder("phone"), Recorder("phone")]
    fleet = [
        manager(manual_clock, backend, [world.rule("a")], phone, member=member)
        for world, phone, member in zip(worlds, phones, ("one", "two"), strict=True)
    ]
    async with fleet[0], fleet[1]:
        await manual_clock.advance(10)
        assert [each.stats().state for each in fleet] == ["notifying", "standing by"]
        worlds[1].bad = {"a"}
        await manual_clock.advance(15)
        assert phones[0].heard() == [("firing", ["a"], [])]
        assert phones[0].sent[0].firing[0].reason == "the state is bad (at two)"
        # A person sees it at either, and what they do at one counts for all.
        assert await fleet[1].acknowledge("a", by="ann")
        await fleet[1].silence({"alert": "z"}, by="ann", seconds=60)
        await manual_clock.advance(15)
        for each in fleet:
            (alert,) = each.snapshot().alerts
            assert alert.acknowledged is not None
            assert len(each.snapshot().silences) == 1
        worlds[1].bad = set()
        await manual_clock.advance(400)
    assert [len(each.sent) for each in phones] == [2, 0]


async def test_a_process_that_is_gone_is_not_believed_for_ever(manual_clock: ManualClock) -> None:
    backend = memory(manual_clock)
    worlds, phone = [World(), World()], Recorder("phone")
    fleet = [manager(manual_clock, backend, [world.rule("a")], phone) for world in worlds]
    async with fleet[0]:
        await manual_clock.advance(10)
        worlds[1].bad = {"a"}
        async with fleet[1]:
            await manual_clock.advance(15)
        await manual_clock.advance(400)
    assert phone.heard() == [("firing", ["a"], []), ("resolved", [], ["a"])]


async def test_without_its_backend_the_one_that_notifies_goes_on_and_heals(
    manual_clock: ManualClock,
) -> None:
    backend, world, phone = Flaky(manual_clock), World(), Recorder()
    async with manager(manual_clock, backend, [world.rule("a"), world.rule("b")], phone) as alerts:
        heard = events_of(alerts)
        await manual_clock.advance(10)
        backend.away = True
        world.bad = {"a"}
        await manual_clock.advance(100)
        assert phone.heard() == [("firing", ["a"], [])]
        assert sum(isinstance(each, AlertStoreFailed) for each in heard) == 1
        backend.away = False
        await manual_clock.advance(20)
        world.bad = {"a", "b"}
        await manual_clock.advance(20)
    book, _ = await AlertStore(backend, "m").load()
    assert book is not None
    assert set(book.alerts) == {"a", "b"}
    assert phone.heard() == [("firing", ["a"], []), ("firing", ["b"], [])]


async def test_without_a_backend_from_the_start_it_notifies_after_a_leases_time(
    manual_clock: ManualClock,
) -> None:
    backend, world, phone = Flaky(manual_clock), World(), Recorder()
    backend.away = True
    world.bad = {"a"}
    async with manager(manual_clock, backend, [world.rule("a")], phone):
        await manual_clock.advance(25)
        assert phone.sent == []
        await manual_clock.advance(15)
        assert phone.heard() == [("firing", ["a"], [])]


async def test_who_was_cut_off_and_comes_back_does_not_overwrite_its_successors_book(
    manual_clock: ManualClock,
) -> None:
    backend, world = Flaky(manual_clock), World()
    phones = [Recorder("phone"), Recorder("phone")]
    rules = [world.rule("a"), world.rule("b")]
    one = manager(manual_clock, backend, rules, phones[0])
    two = manager(manual_clock, _Door(backend), rules, phones[1])
    async with one:
        await manual_clock.advance(10)
        door = _Door(backend)
        one._desk._backend = one._desk.store._backend = door
        async with two:
            door.away = True
            await manual_clock.advance(60)
            assert two.stats().state == "notifying"
            await two.silence({"alert": "z"}, by="ann", seconds=9999)
            door.away = False
            heard = events_of(one)
            await manual_clock.advance(60)
            assert [each.stats().state for each in (one, two)] == ["standing by", "notifying"]
            assert any(isinstance(each, NotifierChanged) and not each.notifies for each in heard)
            assert [each.by for each in one.snapshot().silences] == ["ann"]


async def test_what_arrives_after_another_took_over_is_not_told_as_sent_by_both(
    manual_clock: ManualClock,
) -> None:
    backend, world = memory(manual_clock), World()
    phones = [Recorder("phone"), Recorder("phone")]
    gate = phones[0].gate = asyncio.Event()
    world.bad = {"a"}
    one, two = (
        manager(manual_clock, backend, [world.rule("a")], phone, timeout=20) for phone in phones
    )
    async with one:
        heard = events_of(one)
        await manual_clock.advance(5)
        assert phones[0].tried  # and still on its way
        await backend.delete("alerts:m:lease")  # evicted
        async with two:
            await manual_clock.advance(10)
            assert [each.stats().state for each in (one, two)] == ["standing by", "notifying"]
            gate.set()
            await manual_clock.advance(5)
            assert [each.stats().sent for each in (one, two)] == [{"phone": 0}, {"phone": 1}]
    assert not any(isinstance(each, NotificationSent) for each in heard)
    # The receiver was asked twice, with one id.
    assert phones[0].sent == phones[1].sent


async def test_what_somebody_does_where_the_lead_was_lost_unnoticed_reaches_who_has_it(
    manual_clock: ManualClock,
) -> None:
    backend, world = memory(manual_clock), World()
    rules = [world.rule("a")]
    world.bad = {"a"}
    one = manager(manual_clock, backend, rules, Recorder())
    await one.start()
    await manual_clock.advance(5)
    tasks, one._tasks = one._tasks, []
    for each in tasks:  # its loop stands still; it believes that it leads
        each.cancel()
    async with manager(manual_clock, backend, rules, Recorder()) as two:
        await manual_clock.advance(60)
        assert two.stats().state == "notifying"
        assert await one.acknowledge("a", by="ann")
        assert one.stats().state == "standing by"
        await manual_clock.advance(10)
        (alert,) = two.snapshot().alerts
        assert alert.acknowledged is not None


async def test_an_inbox_of_a_newer_release_is_said_once_and_left_alone(
    manual_clock: ManualClock,
) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    stored = b'{"version": 2, "novelty": 1}'
    await backend.set("alerts:m:inbox", stored)
    world.bad = {"a"}
    one = manager(manual_clock, backend, [world.rule("a")], phone)
    two = manager(manual_clock, backend, [world.rule("a")], Recorder())
    async with one, two:
        heard = [events_of(one), events_of(two)]
        await manual_clock.advance(60)
    said = [[each for each in of if isinstance(each, AlertStoreFailed)] for of in heard]
    assert [len(each) for each in said] == [1, 1]
    assert "version 2" in said[0][0].reason
    assert await backend.get("alerts:m:inbox") == stored
    assert phone.heard() == [("firing", ["a"], [])]


class _Door(Flaky):
    """A way to a backend that can be shut for one who uses it."""

    def __init__(self, backend: Flaky) -> None:
        super().__init__(backend._clock)  # type: ignore[arg-type]
        self._entries, self._due = backend._entries, backend._due


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (b'{"version": 99, "novelty": 1}', "a document of version 99; this release knows 1"),
        (b"not json", "a damaged document"),
        (b'{"version": 1, "alerts": 7}', "a document of another shape"),
        (b"[]", "a document of version None"),
    ],
)
async def test_a_stored_book_that_can_not_be_read_is_said_left_alone_and_alerting_goes_on(
    manual_clock: ManualClock, stored: bytes, reason: str
) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    await backend.set("alerts:m:book", stored)
    world.bad = {"a"}
    async with manager(manual_clock, backend, [world.rule("a")], phone) as alerts:
        heard = events_of(alerts)
        await manual_clock.advance(600)
        assert await backend.get("alerts:m:book") == stored
        failed = [each for each in heard if isinstance(each, AlertStoreFailed)]
        assert len(failed) == 1
        assert failed[0].reason.startswith(reason)
        assert phone.heard() == [("firing", ["a"], [])]
        await backend.delete("alerts:m:book")  # somebody has looked into it
        await manual_clock.advance(10)
        data = await backend.get("alerts:m:book")
        assert data is not None
        assert json.loads(data)["alerts"].keys() == {"a"}
    assert phone.heard() == [("firing", ["a"], [])]


async def test_a_book_survives_being_stored(manual_clock: ManualClock) -> None:
    backend: Backend = memory(manual_clock)
    world, phone = World(), Recorder()
    names = [f"a{number}" for number in range(20)]
    world.bad = set(names)
    rules = [world.rule(each, parents=("a0",) if each != "a0" else ()) for each in names]
    async with manager(manual_clock, backend, rules, phone) as alerts:
        await alerts.silence({"alert": "a0"}, by="ann", seconds=10)
        await manual_clock.advance(60)
        await alerts.acknowledge("a0", by="bob")
        before = alerts._desk.book
    book, beat = await AlertStore(backend, "m").load()
    assert (book, beat) == (before, T0 + 60)


async def test_managers_of_different_names_do_not_meddle(manual_clock: ManualClock) -> None:
    backend, world, phone = memory(manual_clock), World(), Recorder()
    world.bad = {"a"}
    route = Route(channels=(phone,), wait=0)
    one, two = (
        AlertManager(name, rules=[world.rule("a")], routes=[route], backend=backend,
                     clock=manual_clock)
        for name in ("one", "two")
    )  # fmt: skip
    async with one, two:
        await manual_clock.advance(10)
    assert [each.manager for each in phone.sent] == ["one", "two"]
