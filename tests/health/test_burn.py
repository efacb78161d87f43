"""The table of burn rates: when a total outage is told, and that memory stays fixed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Events, Stats, counter
from mobius_infra.health import (
    BURN_RATES,
    Burning,
    BurnRate,
    Route,
    Severity,
    Totals,
    burn_rate_rules,
    totals_of,
)
from tests.health.alerting import T0, Recorder, Timeline

PAGE, SLOW_PAGE, TICKET, SLOW_TICKET = BURN_RATES
PAGING, TICKETING = (f"api burns its error budget ({each})" for each in ("critical", "warning"))


class Traffic:
    """Events at an even rate, read at intervals."""

    def __init__(self, *rates: BurnRate, objective: float = 0.999, least: float = 0.0) -> None:
        self.condition = Burning(objective, rates, least)
        self.memory: Any = None  # the condition's own affair
        self.now = T0
        self.good = self.bad = 0.0
        self.look()

    def look(self) -> bool | None:
        self.memory, verdict = self.condition.step(self.memory, self.now, (self.good, self.bad))
        self.reason = verdict.reason
        return verdict.active

    def run(self, seconds: float, errors: float, every: float = 60.0, rate: float = 10.0) -> None:
        """Let time pass; look at the end of each interval."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            span = min(every, end - self.now)
            self.now += span
            self.good += rate * span * (1 - errors)
            self.bad += rate * span * errors
            self.look()


@pytest.mark.parametrize(
    ("rate", "after"),
    [(PAGE, 51.84), (SLOW_PAGE, 129.6), (TICKET, 259.2), (SLOW_TICKET, 259.2)],
    ids=lambda each: f"{each.factor:g}" if isinstance(each, BurnRate) else f"{each:g}",
)
def test_a_total_outage_is_told_after_the_tables_time(rate: BurnRate, after: float) -> None:
    traffic = Traffic(rate)
    traffic.run(rate.long * 1.05, errors=0.0)
    traffic.run(after - 0.01, errors=1.0, every=0.37)
    assert traffic.look() is False, traffic.reason
    traffic.run(0.02, errors=1.0, every=0.01)
    assert traffic.look() is True, traffic.reason


def test_the_table_is_the_workbooks() -> None:
    assert [(r.factor, r.long / 3600, r.short / 60, r.severity) for r in BURN_RATES] == [
        (14.4, 1, 5, Severity.CRITICAL), (6, 6, 30, Severity.CRITICAL),
        (3, 24, 120, Severity.WARNING), (1, 72, 360, Severity.WARNING),
    ]  # fmt: skip


@pytest.mark.parametrize("rate", BURN_RATES, ids=lambda each: f"{each.factor:g}")
def test_a_steady_burn_is_told_from_its_factor_on_and_never_below(rate: BurnRate) -> None:
    for factor, expected in ((rate.factor * 0.99, False), (rate.factor * 1.01, True)):
        traffic = Traffic(rate)
        traffic.run(rate.long * 1.2, errors=factor * 0.001, every=rate.short / 7)
        assert traffic.look() is expected, traffic.reason


def test_it_resolves_when_the_short_window_is_clean_though_the_long_one_is_not() -> None:
    traffic = Traffic(PAGE)
    traffic.run(3600, errors=0.0)
    traffic.run(600, errors=1.0)
    assert traffic.look() is True
    # 1.44 % of five minutes is 4.3 s.
    traffic.run(295, errors=0.0, every=5)
    assert traffic.look() is True
    traffic.run(1.5, errors=0.0, every=0.5)
    assert traffic.look() is False
    assert "over 1 h" in traffic.reason


def test_a_short_burst_that_is_over_is_not_told() -> None:
    traffic = Traffic(TICKET)
    traffic.run(TICKET.long, errors=0.0, every=240)
    traffic.run(250, errors=1.0, every=5)
    traffic.run(7200, errors=0.0, every=5)
    assert traffic.look() is False


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 5000), st.integers(0, 50), st.integers(0, 5)), min_size=2,
        max_size=120,
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_its_windows_are_those_of_a_model_that_keeps_everything(
    steps: list[tuple[float, int, int]],
) -> None:
    traffic = Traffic(PAGE, objective=0.9 + 0.09)
    spans: list[tuple[float, float, int, int]] = []
    for seconds, good, bad in steps:
        begin = traffic.now
        traffic.now += seconds
        traffic.good += good
        traffic.bad += bad
        traffic.look()
        spans.append((begin, traffic.now, good, bad))
    (ring,), width = traffic.memory, PAGE.long / 360
    for window in (PAGE.long, PAGE.short):
        got = ring.ratio(window, width)
        # Exact but for how events lie within one span of ten seconds, at the window's beginning.
        early = _share(spans, traffic.now - window - width)
        late = _share(spans, traffic.now - window + width)
        bads = sorted((early[1], late[1]))
        totals = sorted((sum(early), sum(late)))
        if got is None:
            assert totals[0] < 1e-6
        else:
            assert bads[0] / max(totals[1], 1e-12) - 1e-6 <= got
            assert got <= min(bads[1] / totals[0] if totals[0] > 0 else 1.0, 1.0) + 1e-6


def _share(spans: list[tuple[float, float, int, int]], since: float) -> tuple[float, float]:
    good = bad = 0.0
    for begin, end, some_good, some_bad in spans:
        if end < since:
            continue
        part = 1.0 if end == begin else min((end - since) / (end - begin), 1.0)
        good, bad = good + some_good * part, bad + some_bad * part
    return good, bad


def test_memory_is_fixed_and_a_long_pause_costs_no_more_than_a_short_one() -> None:
    traffic = Traffic(PAGE)
    traffic.run(3600, errors=0.5)
    traffic.now += 1e9
    traffic.look()
    (ring,) = traffic.memory
    assert len(ring.good) == len(ring.bad) == 361
    assert traffic.look() is False
    assert traffic.reason == "there were no events"


def test_totals_that_begin_anew_count_from_zero_and_a_clock_that_goes_back_is_borne() -> None:
    traffic = Traffic(PAGE)
    traffic.run(600, errors=0.0)
    traffic.good, traffic.bad = 10.0, 0.0
    traffic.now -= 50
    assert traffic.look() is False
    (ring,) = traffic.memory
    assert math.isclose(sum(ring.good), 6010)


@pytest.mark.parametrize("reading", [None, 1.0, "x", (1.0, float("nan")), (-1.0, 0.0),
                                     (float("inf"), 0.0)])  # fmt: skip
def test_what_are_no_totals_can_not_be_known(reading: object) -> None:
    memory, verdict = Burning(0.999, (PAGE,)).step(None, T0, reading)  # type: ignore[arg-type]
    assert (memory, verdict.active) == (None, None)


def test_before_the_first_event_nothing_is_said_and_few_bad_ones_can_be_let_pass() -> None:
    traffic = Traffic(PAGE, least=5)
    assert traffic.look() is None
    traffic.now, traffic.bad = traffic.now + 1, 4.0
    assert traffic.look() is None
    traffic.now, traffic.bad = traffic.now + 1, 5.0
    assert traffic.look() is True


@pytest.mark.parametrize("objective", [0, 1, 1.5, -0.1, float("nan"), True])
def test_an_objective_that_is_no_share_is_refused(objective: float) -> None:
    with pytest.raises(ConfigurationError, match="objective"):
        Burning(objective, (PAGE,))


def test_a_factor_that_no_outage_could_reach_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most 10, a total outage"):
        Burning(0.9, (PAGE,))
    for rates in ((), PAGE, [PAGE], (PAGE, 6.0)):
        with pytest.raises(ConfigurationError, match="a tuple of at least one BurnRate"):
            Burning(0.99, rates)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="short"):
        Burning(0.99, (BurnRate(2, 60, 5, Severity.INFO), BurnRate(2, 60, 60, Severity.INFO)))


@dataclass(frozen=True, slots=True)
class ComponentStats(Stats):
    good: Mapping[str, int] = counter("Good", label="x")
    bad: int = counter("Bad")


class Component:
    name = "api"
    events = Events()

    def stats(self) -> Stats:
        return ComponentStats({"a": 3, "b": 4}, 3)


def test_rules_are_made_from_totals_and_from_a_components_counters() -> None:
    totals = Totals()
    totals.good += 3
    totals.bad += 1
    assert (totals(), repr(totals)) == ((3, 1), "Totals(good=3, bad=1)")
    rules = burn_rate_rules("api", totals, objective=0.999, labels={"team": "x"})
    assert [(each.name, each.severity.value) for each in rules] == [
        (PAGING, "critical"), (TICKETING, "warning"),
    ]  # fmt: skip
    assert [each.condition for each in rules] == [
        Burning(0.999, (PAGE, SLOW_PAGE)), Burning(0.999, (TICKET, SLOW_TICKET)),
    ]  # fmt: skip
    component = Component()
    assert totals_of(component, good="good", bad="bad")() == (7, 3)
    with pytest.raises(ConfigurationError, match="one of good, bad"):
        totals_of(component, good="good", bad="worse")


def test_exactly_the_factor_is_alarming() -> None:
    traffic = Traffic(PAGE)
    assert traffic.look() is None
    traffic.now, traffic.good, traffic.bad = traffic.now + 1, 9856.0, 144.0
    assert traffic.look() is True
    traffic = Traffic(PAGE)
    assert traffic.look() is None
    traffic.now, traffic.good, traffic.bad = traffic.now + 1, 9857.0, 143.0
    assert traffic.look() is None


@pytest.mark.parametrize(("factor", "told"), [(5.9, False), (6.1, True), (14.3, True)])
def test_rows_of_one_severity_are_one_alert_and_any_is_enough(factor: float, told: bool) -> None:
    traffic = Traffic(PAGE, SLOW_PAGE)
    traffic.run(SLOW_PAGE.long * 1.2, errors=factor * 0.001)
    assert traffic.look() is told
    # The figures of the row that decided; of all where none did.
    assert "over 6 h" in traffic.reason
    assert ("over 1 h" in traffic.reason) is not told
    traffic.run(3600, errors=0.02)
    assert traffic.look() is True
    assert traffic.reason.count("alarming") == 2


def test_until_the_longest_of_the_short_windows_was_seen_nothing_is_known_to_have_ended() -> None:
    traffic = Traffic(PAGE, SLOW_PAGE)
    traffic.run(SLOW_PAGE.short - 1, errors=0.0)
    assert traffic.look() is None
    traffic.run(1, errors=0.0)
    assert traffic.look() is False


class Service:
    """Answers evenly for three days; then it is out for some time, and well for an hour after."""

    def __init__(self, out: int) -> None:
        self.totals = Totals()
        rules = burn_rate_rules("api", self.totals, objective=0.999)
        self.timeline = Timeline(rules, [Route(channels=(Recorder(),), wait=0)])
        self.timeline.look()
        self.began = SLOW_TICKET.long
        self.totals.good = int(self.began)
        self.look(0)
        for second in (*range(1, 60), *range(60, out + 3600, 20)):
            self.totals.bad = min(second, out)
            self.totals.good = int(self.began) + second - self.totals.bad
            self.look(second)

    def look(self, second: float) -> None:
        self.timeline.now = T0 + self.began + second
        self.timeline.look()

    @property
    def told(self) -> list[tuple[float, list[str], list[str]]]:
        return [(at - self.began, firing, ended) for at, _, _, firing, ended in self.timeline.told]


def test_the_slower_row_does_not_page_a_second_time_when_the_faster_ends() -> None:
    # Longer than 129.6 s: the row of 6 fires too, and goes on for 25 minutes when the other ends.
    firing, ended = Service(out=200).told
    assert firing == (52, [PAGING], [])
    assert ended[1:] == ([], [PAGING])
    # Until 0.6 % of half an hour, 10.8 s of the outage, are left in the window.
    assert ended[0] == pytest.approx(200 + 1800 - 10.8, abs=60)


def test_the_ticket_of_a_long_outage_is_told_when_its_page_ends() -> None:
    told = Service(out=300).told
    assert told[0] == (52, [PAGING], [])
    assert sorted(firing + ended for _, firing, ended in told[1:]) == [[PAGING], [TICKETING]]
