"""Active users, ways through a funnel, and features, against models that keep everything."""

import random
import weakref
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import CodecError, ConfigurationError
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.metrics import (
    ActiveUsers,
    EventLoop,
    FeatureUse,
    Funnel,
    GarbageCollector,
    Machine,
    MetricsCollector,
    Process,
    TooManyFeatures,
)
from mobius_infra.testing import ManualClock

DAY = 86_400.0


# Active users


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), max_size=80), st.integers(1, 3))
def test_windows_are_those_of_a_model(seen: list[tuple[int, int]], workers: int) -> None:
    """By several workers, each with users of its own and of others, merged and stored."""
    clock = ManualClock()
    every = [ActiveUsers(clock=clock) for _ in range(workers)]
    model: list[tuple[int, int]] = []
    for number, (days, user) in enumerate(seen):
        clock.tick(days * DAY / 3)
        every[number % workers].seen(user)
        model.append((int(clock.time() // DAY), user))
    whole = ActiveUsers(clock=clock)
    for each in (*every, *every):  # twice changes nothing
        whole.merge(each)
        whole.load(each.to_bytes())
    today = int(clock.time() // DAY)
    for window, length in (("day", 1), ("week", 7), ("month", 30)):
        expected = {user for day, user in model if today - length < day <= today}
        assert whole.count(window) == whole.stats().users[window] == len(expected)


def test_a_week_of_many_is_within_the_error(manual_clock: ManualClock) -> None:
    users, chance, week = ActiveUsers(clock=manual_clock), random.Random(3), set[int]()
    for day in range(7):
        manual_clock.tick(DAY if day else 0)
        for user in chance.sample(range(30_000), 6_000):
            users.seen(user)
            week.add(user)
    assert users.count("week") == pytest.approx(len(week), rel=3 * 0.0081)
    assert users.count("day") == pytest.approx(6_000, rel=3 * 0.0081)
    assert users.stats().seen == 42_000


def test_a_clock_that_jumps_and_comes_back_loses_nothing(manual_clock: ManualClock) -> None:
    users, now = ActiveUsers(clock=manual_clock), manual_clock.time()
    for day in range(30):
        manual_clock.set_time(now + day * DAY)
        users.seen(day)
    for far in (4e8, -4e8, 1e9):
        manual_clock.set_time(now + far)
        users.seen("somebody")
        assert users.stats().users == {"day": 1, "week": 1, "month": 1}
    manual_clock.set_time(now + 29 * DAY)
    users.seen("back")
    assert users.stats().users["week"] == 8
    assert users.count("month") >= 30


def test_what_a_wrong_clock_left_in_the_future_makes_room_first(manual_clock: ManualClock) -> None:
    users, now = ActiveUsers(clock=manual_clock), manual_clock.time()
    for far in (4e8, 8e8, 12e8):
        manual_clock.set_time(now + far)
        users.seen("somebody")
    for day in range(40):
        manual_clock.set_time(now + day * DAY)
        users.seen(day)
    assert users.stats().users == {"day": 1, "week": 7, "month": 30}


def test_memory_is_bounded_however_long_it_runs(manual_clock: ManualClock) -> None:
    users = ActiveUsers(windows={"short": 2, "long": 5}, precision=8, clock=manual_clock)
    for _ in range(400):
        manual_clock.tick(DAY)
        for user in range(20):
            users.seen(user)
    assert len(users._steps) == 7
    assert len(users.to_bytes()) < 7 * (256 + 32)
    assert users.stats().users == {"short": pytest.approx(20, abs=4), "long": users.count("short")}


async def test_they_survive_a_restart_as_bytes(manual_clock: ManualClock) -> None:
    backend = MemoryBackend(clock=manual_clock)
    before = ActiveUsers(clock=manual_clock, salt=b"secret")
    before.seen("ada")
    await backend.set("users", before.to_bytes())
    manual_clock.tick(DAY)
    after = ActiveUsers(clock=manual_clock, salt=b"secret")
    after.load(await backend.get("users") or b"")
    after.seen("bob")
    assert after.stats().users == {"day": 1, "week": 2, "month": 2}


def test_days_out_of_reach_are_not_taken_from_what_was_stored(manual_clock: ManualClock) -> None:
    old = ActiveUsers(clock=manual_clock)
    old.seen(1)
    manual_clock.tick(30 * DAY)
    new = ActiveUsers(clock=manual_clock)
    new.load(old.to_bytes())
    assert new.stats().users["month"] == 0
    assert len(new._steps) == 0


def test_what_was_not_written_by_it_is_refused(manual_clock: ManualClock) -> None:
    users = ActiveUsers(clock=manual_clock)
    users.seen(1)
    users.seen(2)
    data = users.to_bytes()
    other = ActiveUsers(clock=manual_clock)
    coarse = ActiveUsers(clock=manual_clock, precision=8)
    hourly = ActiveUsers(clock=manual_clock, step=3600)
    salted = ActiveUsers(clock=manual_clock, salt=b"x")
    for each in (coarse, hourly, salted):
        with pytest.raises(CodecError):
            each.load(data)
        with pytest.raises(ConfigurationError):
            each.merge(users)
    for length in range(len(data)):
        if length != 10:  # the head alone: nobody was seen
            with pytest.raises(CodecError):
                other.load(data[:length])
    assert other.stats().users["month"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("windows", {}), ("windows", {"day": 0}), ("windows", {"day": 1.5}),
     ("windows", {"x": 1001}), ("step", 0), ("step", nan), ("step", inf), ("precision", 3)],
)  # fmt: skip
def test_active_users_that_make_no_sense_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        ActiveUsers(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="window"):
        ActiveUsers().count("year")


# Funnel

STEPS = ("start", "price", "alert")


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.sampled_from(STEPS)), max_size=80)
)
def test_a_funnel_is_that_of_a_model(came: list[tuple[int, int, str]]) -> None:
    clock = ManualClock()
    funnel = Funnel("f", STEPS, within=10, clock=clock)
    reached, early = dict.fromkeys(STEPS, 0), dict.fromkeys(STEPS, 0)
    ways: list[tuple[int, float, list[str]]] = []
    for pause, user, step in came:
        clock.tick(pause)
        now = clock.monotonic()
        funnel.reach(step, user)
        way = next((w[2] for w in ways if w[0] == user and w[1] > now - 10), [])
        if step in way:
            continue
        if step == STEPS[len(way)]:
            if not way:
                ways.append((user, now, way))
            way.append(step)
            reached[step] += 1
        else:
            early[step] += 1
    clock.tick(1)
    live = [way for _, began, way in ways if began > clock.monotonic() - 10]
    stats = funnel.stats()
    assert (stats.reached, stats.out_of_order, stats.forgotten) == (reached, early, 0)
    assert stats.users == {step: sum(step in way for way in live) for step in STEPS}
    assert stats.conversion == {
        step: sum(step in way for way in live) / len(live) for step in STEPS if live
    }


def test_a_user_who_repeats_a_step_counts_once(manual_clock: ManualClock) -> None:
    funnel = Funnel("f", STEPS, within=60, clock=manual_clock)
    for step in ("start", "start", "price", "start", "price", "alert", "alert"):
        funnel.reach(step, 7)
    funnel.reach("start", "7")  # the same user
    assert funnel.stats().reached == {"start": 1, "price": 1, "alert": 1}
    manual_clock.tick(60)
    funnel.reach("start", 7)
    assert funnel.stats().reached["start"] == 2  # another way
    assert funnel.stats().users == {"start": 1, "price": 0, "alert": 0}


def test_those_who_began_first_make_room(manual_clock: ManualClock) -> None:
    funnel = Funnel("f", STEPS, max_users=10, clock=manual_clock)
    for user in range(25):
        funnel.reach("start", user)
        funnel.reach("price", user)
    stats = funnel.stats()
    assert (stats.forgotten, stats.users["price"], stats.reached["price"]) == (15, 10, 25)
    funnel.reach("alert", 14)  # forgotten
    funnel.reach("alert", 15)
    assert funnel.stats().out_of_order["alert"] == funnel.stats().reached["alert"] == 1
    assert repr(funnel) == "Funnel('f', steps=['start', 'price', 'alert'], users=10)"


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("steps", ["a"]), ("steps", ["a", "a"]), ("steps", "ab"), ("within", 0),
     ("within", nan), ("max_users", 0), ("max_users", True)],
)  # fmt: skip
def test_a_funnel_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Funnel(**{"name": "f", "steps": STEPS, field: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="step is 'pay'"):
        Funnel("f", STEPS).reach("pay", 7)


# Features


def test_features_past_the_bound_share_one_counter_and_are_told_of_once(
    manual_clock: ManualClock,
) -> None:
    features = FeatureUse(max_features=2, clock=manual_clock)
    events: list[object] = []
    features.events.subscribe(events.append)
    features.use("other")  # somebody's feature of that very name
    for feature in ("price", "alert", "x" * 1000, "price", "y"):
        features.use(feature)
    assert features.stats().uses == {"other": 3, "price": 2, "alert": 1}
    assert events == [TooManyFeatures(source="features", at=manual_clock.time(), feature="x" * 100)]
    assert repr(features) == "FeatureUse('features', features=2)"
    for field, value in (("name", ""), ("max_features", 0)):
        with pytest.raises(ConfigurationError, match=field):
            FeatureUse(**{field: value})  # type: ignore[arg-type]


def test_whoever_watches_need_not_keep_them_alive() -> None:
    for component in (
        ActiveUsers(), FeatureUse(), Funnel("f", STEPS), Process(), Machine(), EventLoop(),
        GarbageCollector(),
    ):  # fmt: skip
        assert weakref.ref(component)() is component


def test_all_of_them_are_exported(manual_clock: ManualClock) -> None:
    users, features = ActiveUsers(clock=manual_clock), FeatureUse()
    funnel = Funnel("f", STEPS, clock=manual_clock)
    users.seen(1)
    features.use("price")
    funnel.reach("start", 1)
    metrics = MetricsCollector()
    metrics.watch(users, features, funnel)
    text = metrics.render()[1].decode()
    for line in (
        'mobius_active_users_users{name="users",window="month"} 1.0',
        'mobius_feature_use_uses_total{feature="price",name="features"} 1.0',
        'mobius_funnel_reached_total{name="f",step="start"} 1.0',
        'mobius_funnel_conversion{name="f",step="price"} 0.0',
    ):
        assert line in text
    assert repr(users) == "ActiveUsers('users', day=1, week=1, month=1)"
