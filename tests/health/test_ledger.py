"""Sums of time are those of a ledger that remembers each moment."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.health import _ledger
from mobius_infra.health._ledger import Availability, ErrorBudget, Ledger, Seen, Tally

STATES = st.sampled_from(["up", "down", "unobserved"])
HISTORY = st.lists(st.tuples(st.integers(0, 30), STATES), max_size=30)
PLANNED = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), max_size=4)


def merged(planned: list[tuple[int, int]]) -> list[tuple[int, int]]:
    ends: list[tuple[int, int]] = []
    for start, length in sorted(planned):
        if ends and start <= ends[-1][1]:
            ends[-1] = ends[-1][0], max(ends[-1][1], start + length)
        else:
            ends.append((start, start + length))
    return ends


def moments(
    history: list[tuple[int, Seen]], planned: list[tuple[int, int]], begin: int, end: int
) -> Tally:
    """Count milliseconds one by one."""
    changes, at = dict[int, Seen](), 0
    for gap, state in history:
        at += gap
        changes[at] = state
    now: Seen = "unobserved"
    found: Counter[str] = Counter()
    for moment in range(end):
        now = changes.get(moment, now)
        seen = now if moment < at else "unobserved"
        if moment >= begin:
            work = any(start <= moment < stop for start, stop in planned)
            found["planned" if work else seen] += 1
    return Tally(**found)


@given(HISTORY, PLANNED, st.integers(0, 400), st.integers(0, 400))
def test_a_ledger_is_exact(
    history: list[tuple[int, Seen]], planned: list[tuple[int, int]], begin: int, end: int
) -> None:
    ledger, at = Ledger(0), 0
    for gap, state in history:
        at += gap
        ledger.record(state, at)
    least, most = ledger.tally(begin, max(begin, end), merged(planned))
    assert least == most == moments(history, merged(planned), begin, max(begin, end))


@given(HISTORY, PLANNED, st.integers(0, 400), st.integers(0, 400))
def test_what_is_kept_by_the_hour_bounds_what_was(
    history: list[tuple[int, Seen]], planned: list[tuple[int, int]], begin: int, end: int
) -> None:
    """With hours of 50 ms, and no more than 4 spans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ledger, "HOUR", 50)
        patch.setattr(_ledger, "_MOST_SPANS", 4)
        ledger, at, done = Ledger(0), 0, merged(planned)
        for gap, state in history:
            at += gap
            ledger.record(state, at)
            ledger.fold(done)
            assert len(ledger.spans) <= 4
        end = max(begin, end)
        least, most = ledger.tally(begin, end, done)
        exact = moments(history, done, begin, end)
        assert sum(least) == sum(most) == end - begin
        assert least.up <= exact.up <= most.up
        assert most.down <= exact.down <= least.down
        whole = ledger.tally(0, max(at, end), done)
        assert whole[0] == whole[1] == moments(history, done, 0, max(at, end))


def test_what_is_older_than_ninety_one_days_is_forgotten() -> None:
    ledger = Ledger(0)
    hours = 100 * 24
    for hour in range(hours):
        ledger.record("up" if hour % 2 else "down", hour * _ledger.HOUR)
        ledger.fold([])
    assert len(ledger.spans) + len(ledger.hours) <= 91 * 24 + 2
    least, most = ledger.tally((hours - 24) * _ledger.HOUR, (hours - 1) * _ledger.HOUR, [])
    assert least == most == Tally(up=11 * _ledger.HOUR, down=12 * _ledger.HOUR)


def test_time_that_goes_back_is_taken_for_now() -> None:
    ledger = Ledger(0)
    ledger.record("up", 100)
    ledger.record("down", 40)
    ledger.note(200)
    assert ledger.tally(0, 200, [])[0] == Tally(down=100, unobserved=100)


def test_figures_have_bounds_and_never_exceed_one() -> None:
    found = Availability.of(*(Tally(up=900, down=50, unobserved=50, planned=10),) * 2)
    assert (found.share, found.lower, found.upper) == (900 / 950, 0.9, 0.95)
    nothing = Availability.of(Tally(), Tally())
    assert (nothing.share, nothing.lower, nothing.upper) == (None, None, None)


def test_an_error_budget_is_what_an_objective_leaves() -> None:
    month = 30 * 86_400
    found = Availability.of(*(Tally(up=month * 1000 - 648_000, down=648_000),) * 2)
    budget = ErrorBudget.of(found, 0.999, month)
    assert budget.allowed == pytest.approx(2_592)
    assert budget.spent == 648
    assert budget.left == pytest.approx(0.75)
