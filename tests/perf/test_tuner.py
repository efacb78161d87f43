"""Knobs end near the best value, stay where they are under noise, and go back when it was wrong."""

import asyncio
import random
from collections.abc import Callable
from math import inf, log2, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.perf import Knob, PerSecond, Tuner, TunerDecided
from mobius_infra.perf._tuner_step import Climb, compare
from mobius_infra.testing import ManualClock


class Setting:
    """A knob's other side."""

    def __init__(self, value: float = 1) -> None:
        self.value = value
        self.written: list[float] = []

    def write(self, value: float) -> None:
        self.value = value
        self.written.append(value)

    def knob(self, name: str = "size", least: float = 1, most: float = 256, **more: Any) -> Knob:
        return Knob(name, lambda: self.value, self.write, least, most, **more)


def tuner(*settings: Setting, **options: Any) -> Tuner:
    knobs = [setting.knob(f"knob {at}") for at, setting in enumerate(settings)]
    return Tuner("t", knobs, lambda: 0.0, **{"cool_down": 0, "rest": 50} | options)


def windows(
    of: Tuner,
    number: int,
    score: Callable[[], float | None],
    guard: Callable[[], float] = lambda: 0,
) -> list[TunerDecided]:
    """Run so many windows without waiting for any."""
    decided = []
    for _ in range(number):
        of._apply()
        made = of.step(score(), guard())
        if made is not None:
            decided.append(made)
    of._apply()
    return decided


def hill(best: float, value: float) -> float:
    """Throughput of a pool of a size: too few wait, too many fight."""
    return 100 / (1 + 0.3 * log2(value / best) ** 2)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("start", "best"), [(1, 40), (256, 12), (1, 200), (30, 30)])
def test_it_ends_within_a_tenth_of_the_best(start: float, best: float, seed: int) -> None:
    chance, setting = random.Random(seed), Setting(start)
    of = tuner(setting)
    windows(of, 600, lambda: hill(best, setting.value) * chance.gauss(1, 0.05))
    assert hill(best, of.stats().value["knob 0"]) > 90


def test_two_knobs_are_turned_one_at_a_time() -> None:
    chance, size, wait = random.Random(1), Setting(1), Setting(256)
    of = tuner(size, wait)

    def score() -> float:
        assert sum(a != b for a, b in zip((size.value, wait.value), good(), strict=True)) <= 1
        return hill(32, size.value) * hill(8, wait.value) * chance.gauss(1, 0.03)

    def good() -> list[float]:
        return list(of.stats().value.values())

    windows(of, 1500, score)
    assert hill(32, good()[0]) * hill(8, good()[1]) > 8000


def test_under_noise_it_stays_still() -> None:
    """2,000 trials at most a hundredth of which may be moves; and it rests longer and longer."""
    trials = moves = 0
    for seed in range(40):
        chance, setting = random.Random(seed), Setting(16)
        decided = windows(tuner(setting, rest=10), 600, lambda: chance.gauss(100, 10))  # noqa: B023
        trials += len(decided)
        moves += sum(each.outcome == "kept" for each in decided)
    assert trials > 300
    assert moves / trials < 0.02


def test_a_load_that_rises_meanwhile_is_no_gain() -> None:
    chance, setting, at = random.Random(5), Setting(16), 0

    def score() -> float:
        nonlocal at
        at += 1
        return (100 + at) * chance.gauss(1, 0.01)

    decided = windows(tuner(setting), 400, score)
    assert decided
    assert not [each for each in decided if each.outcome == "kept"]


def test_a_gain_that_is_not_worth_it_is_refused() -> None:
    setting = Setting(16)
    of = tuner(setting, gain=0.03)
    decided = windows(of, 100, lambda: 100 + (2 if setting.value > 16 else 0))
    assert of.stats().value == {"knob 0": 16}
    first = decided[0]
    assert (first.outcome, first.before, first.tried) == ("refused", 16, 32)
    assert first.gain == pytest.approx(0.02)
    assert first.t == inf
    assert (first.base, first.trial) == ((100,) * 6, (102,) * 6)
    assert str(first) == "knob 0: 16 -> 32 refused, gain +2.0% (t = inf)"


def test_a_bad_guard_ends_the_trial_at_once_and_the_good_value_holds() -> None:
    setting = Setting(16)
    of = tuner(setting, guard=lambda: 0.0, guard_most=1.0)
    decided = windows(of, 30, lambda: setting.value, lambda: 5.0 if setting.value > 16 else 0.5)
    assert {each.outcome for each in decided if each.tried > 16} == {"guarded"}
    assert max(setting.written) <= 32
    guarded = [each for each in decided if each.outcome == "guarded"]
    assert all(len(each.trial) == 0 for each in guarded)
    assert setting.value <= 16


def test_when_the_guard_gets_bad_later_it_goes_back_to_before_the_last_move() -> None:
    setting = Setting(16)
    of = tuner(setting, guard=lambda: 0.0, guard_most=1.0, patience=2, cool_down=500)
    kept: list[TunerDecided] = []
    while not kept:
        kept = [x for x in windows(of, 1, lambda: setting.value) if x.outcome == "kept"]
    assert (setting.value, of.stats().value["knob 0"]) == (32, 32)
    decided = windows(of, 1, lambda: setting.value, lambda: 5.0)
    assert decided == []  # one is none
    (back,) = windows(of, 1, lambda: setting.value, lambda: 5.0)
    assert (back.outcome, back.before, back.tried) == ("returned", 32, 16)
    assert setting.value == 16
    assert windows(of, 50, lambda: setting.value, lambda: 5.0) == []  # it was not the knob


def test_a_guard_that_is_bad_anyhow_begins_no_trial_and_blames_none() -> None:
    setting = Setting(16)
    of = tuner(setting, guard=lambda: 0.0, guard_most=1.0)
    assert windows(of, 50, lambda: 1.0, lambda: 5.0) == []
    assert setting.written == []
    windows(of, 1, lambda: 1.0)
    (disturbed,) = windows(of, 1, lambda: 1.0, lambda: 5.0)  # with the good value on
    assert disturbed.outcome == "disturbed"


def test_what_can_not_be_measured_decides_nothing() -> None:
    setting = Setting(16)
    of = tuner(setting)
    assert windows(of, 50, lambda: None) == []
    windows(of, 3, lambda: 1.0)
    assert setting.value == 32
    (disturbed,) = windows(of, 1, lambda: None)
    assert disturbed.outcome == "disturbed"
    assert setting.value == 16


def test_a_dry_run_turns_nothing_and_tells_what_it_would_try() -> None:
    setting = Setting(16)
    decided = windows(tuner(setting, dry_run=True), 40, lambda: 1.0)
    assert setting.written == []
    assert [(each.outcome, each.tried) for each in decided[:2]] == [("planned", 32), ("planned", 8)]


def test_what_somebody_else_sets_is_where_it_goes_on() -> None:
    setting = Setting(16)
    of = tuner(setting)
    setting.value = 100
    windows(of, 3, lambda: 1.0)
    assert of.stats().value == {"knob 0": 100}
    assert setting.value == 200


def test_a_value_that_can_not_be_set_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    setting = Setting(16)

    def write(value: float) -> None:
        raise OSError(value)

    of = Tuner("t", [Knob("size", lambda: setting.value, write, 1, 64)], lambda: 0.0, cool_down=0)
    decided = windows(of, 20, lambda: 1.0)
    assert of.stats().decisions["refused"] >= 1
    assert setting.value == 16
    assert "could not set 'size' to 32" in caplog.text
    assert all(each.outcome == "refused" for each in decided)


@given(st.floats(1, 100), st.floats(1.2, 10), st.booleans(), st.lists(st.booleans(), max_size=60))
def test_a_climb_stays_within_its_bounds_and_comes_to_an_end(
    start: float, step: float, whole: bool, hits: list[bool]
) -> None:
    start = float(round(start)) if whole else start
    climb = Climb(start, 1, 100, step, whole)
    for hit in hits:
        value = climb.proposal()
        if value is None:
            break
        assert 1 <= value <= 100
        assert value != climb.value
        assert not whole or value == int(value)
        climb.hit(value) if hit else climb.miss()
    for _ in range(30):
        if climb.proposal() is None:
            break
        climb.miss()
    assert climb.proposal() is None


def test_the_evidence_is_paired() -> None:
    """A load that doubles from pair to pair hides nothing."""
    gain, t = compare([10, 20, 40, 80], [11, 22, 44, 88])
    assert gain == pytest.approx(0.1)
    assert t > 2
    assert compare([1, 1, 1], [1, 1, 1]) == (0, 0)
    assert compare([0, 0, 0], [1, 1, 1]) == (1, inf)
    assert compare([2, 2, 2], [1, 1, 1])[1] == -inf


async def test_it_runs_by_itself_and_puts_back_what_it_tried(manual_clock: ManualClock) -> None:
    setting, total, told = Setting(16), 0.0, list[Any]()

    def served() -> float:
        nonlocal total
        total += 1
        return total

    of = Tuner(
        "t", [setting.knob()], PerSecond(served, manual_clock),
        interval=5, settle=1, cool_down=0, clock=manual_clock,
    )  # fmt: skip
    of.events.subscribe(told.append)
    before = asyncio.all_tasks()
    async with of:
        with pytest.raises(ConfigurationError, match="once at a time"):
            await of.__aenter__()
        await manual_clock.advance(12)
        assert setting.value == 32
        assert repr(of) == "Tuner('t', trying, size=16)"
        assert of.stats().score == pytest.approx(0.2)
    assert setting.value == 16
    assert asyncio.all_tasks() == before
    assert of.stats().state == "outside"
    async with of:
        await manual_clock.advance(100)
    assert isinstance(told[0], TunerDecided)
    assert list(of.decisions) == told
    assert str(told[0]) == "size: 16 -> 32 refused, gain +0.0% (t = 0.0)"


async def test_an_objective_that_raises_is_logged_once(
    manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    setting = Setting(16)
    of = Tuner("t", [setting.knob()], lambda: 1 / 0, interval=1, clock=manual_clock)
    async with of:
        await manual_clock.advance(20)
    assert len(caplog.records) == 1
    assert "could not read the objective" in caplog.text
    assert setting.written == []


def test_a_rate_is_since_the_last_call(manual_clock: ManualClock) -> None:
    numbers = iter([0, 10, 10, 40])
    rate = PerSecond(lambda: next(numbers), manual_clock)
    manual_clock.tick(2)
    assert rate() == 5
    assert rate() != rate()  # no time passed: not a number
    assert "PerSecond(" in repr(rate)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("knobs", []), ("interval", 0), ("settle", -1), ("pairs", 2), ("pairs", 21), ("gain", nan),
        ("patience", 0), ("cool_down", nan), ("rest", True), ("keep", 0), ("guard_most", nan),
        ("name", ""),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(field: str, value: Any) -> None:
    options = {"name": "t", "knobs": [Setting(1).knob()], "objective": lambda: 0.0}
    with pytest.raises(ConfigurationError, match=field):
        Tuner(**options | {"guard": lambda: 0.0, "guard_most": 1} | {field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [("least", 0), ("least", nan), ("most", 1), ("most", inf), ("step", 1), ("name", "")],
)
def test_a_knob_that_makes_no_sense_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Setting(1).knob(**{field: value})


def test_knobs_must_differ_and_be_within_their_bounds() -> None:
    with pytest.raises(ConfigurationError, match="different names"):
        Tuner("t", [Setting(1).knob(), Setting(1).knob()], lambda: 0.0)
    with pytest.raises(ConfigurationError, match="value of 'size' is 1000"):
        Tuner("t", [Setting(1000).knob()], lambda: 0.0)
