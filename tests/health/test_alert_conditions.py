"""What is alarming about a reading, what is not, and what can't be known."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra import health
from mobius_infra.breaker import CircuitBreaker
from mobius_infra.core import ConfigurationError
from mobius_infra.health import (
    Above,
    Absent,
    Anomalous,
    Below,
    Changes,
    Condition,
    Is,
    Rule,
    Severity,
    When,
    numbers_of,
)
from mobius_infra.health._alert_reader import Reader

Readings = list[tuple[float, Any]]
H: Any = health  # to give what a type checker would not let pass


def judge(condition: Condition, readings: Readings) -> list[bool | None]:
    memory: Any = None
    said = []
    for now, reading in readings:
        memory, verdict = condition.step(memory, now, reading)
        assert verdict.reason
        said.append(verdict.active)
    return said


def at(*readings: Any, every: float = 1.0) -> Readings:
    return [(number * every, each) for number, each in enumerate(readings)]


@pytest.mark.parametrize(
    ("condition", "readings", "expected"),
    [
        (Above(5), at(4, 5, 5.1, 5), [False, False, True, False]),
        (Above(5, clear=3), at(4, 6, 4, 3, 4), [False, True, True, False, False]),
        (Above(5, clear=3), at(6, None, 4, 3), [True, None, True, False]),
        (Below(5), at(6, 5, 4.9, 5), [False, False, True, False]),
        (Below(5, clear=7), at(6, 4, 6, 7, 6), [False, True, True, False, False]),
        (Is("open", "isolated"), at("closed", "open", "isolated"), [False, True, True]),
        (Is("open"), at(1, None), [None, None]),
        (Changes(by=10, within=5), at(0, 5, 10, 10), [False, False, True, True]),
        (Changes(by=10, within=5), at(*range(0, 40, 2)), [False] * 5 + [True] * 15),
        (Changes(by=10, within=5), at(*range(20)), [False] * 20),
        (Changes(by=-10, within=5), at(20, 15, 10, 30), [False, False, True, False]),
        (Absent(3), at(1, 1, None, None, None, 1), [False, False, False, False, True, False]),
        (Absent(3), at(None, None, None, None), [False, False, False, True]),
        (Absent(3), at("up", "up", "up", "up"), [False] * 4),
        (Absent(3, unmoved=True), at(1, 1, 1, 1, 2), [False, False, False, True, False]),
        (Absent(3), at(1, float("nan"), float("nan"), float("nan")), [False, False, False, True]),
        (When(lambda value: value > 3, "much"), at(1, 4, None), [False, True, None]),
        (When(lambda value: None, "never known"), at(1), [None]),
    ],
    ids=str,
)  # fmt: skip
def test_it_says_so(condition: Condition, readings: Readings, expected: list[bool | None]) -> None:
    assert judge(condition, readings) == expected


@pytest.mark.parametrize(
    "condition", [Above(1), Below(1), Changes(1, 1), Anomalous(), Above(1, clear=0)], ids=str
)
@pytest.mark.parametrize("reading", [None, "text", float("nan"), float("inf"), (1, 2), [], {}])
def test_what_is_no_number_can_not_be_known(condition: Condition, reading: Any) -> None:
    assert judge(condition, at(reading, reading)) == [None, None]


def test_what_a_judgement_raises_is_not_shown() -> None:
    def judgement(value: float) -> bool:
        raise ValueError("secret")

    _, verdict = When(judgement, "odd").step(None, 0, 1)
    assert (verdict.active, verdict.reason) == (None, "its judgement failed: ValueError")


def test_an_anomaly_stands_out_of_noise_and_noise_does_not() -> None:
    draw = random.Random(1)
    calm = [draw.gauss(100, 5) for _ in range(2000)]
    said = judge(Anomalous(score=6), at(*calm))
    assert said[:30] == [None] * 30
    assert not any(said[30:])
    assert judge(Anomalous(score=6), at(*calm[:100], 145))[-1] is True


def test_an_anomaly_that_lasts_becomes_usual_only_after_half_of_what_is_kept() -> None:
    draw = random.Random(2)
    said = judge(
        Anomalous(score=6, readings=100),
        at(*(draw.gauss(10, 1) for _ in range(100)), *(draw.gauss(50, 1) for _ in range(60))),
    )
    assert all(said[100:145])
    assert not said[-1]


def test_a_number_that_never_moved_is_anomalous_when_it_does_unless_it_is_by_little() -> None:
    still = [5.0] * 40
    assert judge(Anomalous(), at(*still, 5.001))[-1] is True
    assert judge(Anomalous(floor=1), at(*still, 5.001))[-1] is False
    assert judge(Anomalous(), at(*still, 5.0))[-1] is False


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(-1e6, 1e6)), min_size=1, max_size=300))
def test_changes_keeps_a_bounded_memory_and_never_alarms_more_than_the_span_says(
    steps: list[tuple[float, float]],
) -> None:
    condition, memory, now = Changes(by=1000, within=30, readings=20), None, 0.0
    history: Readings = []
    for seconds, value in steps:
        now += seconds
        history.append((now, value))
        memory, verdict = condition.step(memory, now, value)
        span = [each for when, each in history if when >= now - 30]
        if verdict.active:
            assert value - min(span) >= 1000
        assert len(memory) <= 22


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: H.Above(float("nan")), "limit"), (lambda: H.Above(True), "limit"),
        (lambda: H.Above("5"), "limit"), (lambda: H.Above(5, clear=6), "clear"),
        (lambda: H.Below(5, clear=4), "clear"), (lambda: H.Below(float("inf")), "limit"),
        (H.Is, "states"), (lambda: H.Is(1), "states"),
        (lambda: H.Changes(0, 1), "by"), (lambda: H.Changes(1, 0), "within"),
        (lambda: H.Changes(1, float("nan")), "within"), (lambda: H.Changes(1, 1, 1), "readings"),
        (lambda: H.Absent(0), "after"), (lambda: H.Absent(-1), "after"),
        (lambda: H.Anomalous(score=0), "score"), (lambda: H.Anomalous(least=1), "least"),
        (lambda: H.Anomalous(readings=10), "least"), (lambda: H.Anomalous(floor=-1), "floor"),
        (lambda: H.When(7, "x"), "judge"), (lambda: H.When(bool, ""), "words"),
        (lambda: H.Rule(name="", source=int, condition=Above(1)), "name"),
        (lambda: H.Rule(name="a", source=7, condition=Above(1)), "source"),
        (lambda: H.Rule(name="a", source=int, condition=7), "condition"),
        (lambda: H.Rule(name="a", source=int, condition=Above(1), for_=-1), "for_"),
        (lambda: H.Rule(name="a", source=int, condition=Above(1), for_=float("inf")), "for_"),
        (lambda: H.Rule(name="a", source=int, condition=Above(1), severity="bad"), "severity"),
        (lambda: H.Rule(name="a", source=int, condition=Above(1), by="alert"), "labels"),
        (lambda: H.Rule(name="a", source=int, condition=Above(1), labels={"b": 1}), "labels"),
        (lambda: H.Rule(name="a", source=int, condition=Above(1), parents="bc"), "parents"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_named(make: Any, field: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        make()
    assert error.value.field == field


def test_a_components_numbers_and_states_are_sources() -> None:
    breaker = CircuitBreaker("upstream")
    assert numbers_of(breaker, "state")() == "closed"
    with pytest.raises(ConfigurationError, match=r"one of .*state"):
        numbers_of(breaker, "stat")


def test_a_severity_may_be_given_by_its_word() -> None:
    rule = Rule(name="a", source=int, condition=Above(1), severity="critical")  # type: ignore[arg-type]
    assert rule.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("source", "by", "failed"),
    [
        (lambda: {"x": 1.0}, None, "TypeError"), (lambda: 1.0, "q", "TypeError"),
        (lambda: 1 / 0, None, "ZeroDivisionError"), (dict, "q", ""),
    ],
)  # fmt: skip
def test_a_source_of_the_wrong_shape_is_a_failure_of_its_rule_alone(
    source: Any, by: str | None, failed: str
) -> None:
    reader = Reader([Rule(name="a", source=source, condition=Above(0), by=by)])
    seen = reader.read(0.0, {"a": {"x": True}} if by else {})
    assert reader.failing() == ({"a": failed} if failed else {})
    assert [each.verdict.active for each in seen.values()] == [None if failed else False]


def test_a_source_of_too_many_readings_is_cut() -> None:
    reader = Reader([Rule(name="a", source=lambda: dict.fromkeys(map(str, range(5000)), 1.0),
                          condition=Above(0), by="q")])  # fmt: skip
    assert len(reader.read(0.0, {})) == 1000
