"""The windows against lists of what happened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.breaker._window import CallWindow, TimeWindow, Window

calls = st.lists(
    st.tuples(st.sampled_from(["good", "failed", "slow", "both", "look"]), st.floats(0, 7)),
    max_size=60,
)


def play(window: Window, kind: str, now: float) -> tuple[bool, bool] | None:
    if kind == "look":
        assert window.counts(now) == window.counts(now)  # looking changes nothing
        return None
    failed, slow = kind in ("failed", "both"), kind in ("slow", "both")
    if failed or slow:
        window.bad(now, failed=failed, slow=slow)
    else:
        window.good(now)
    return failed, slow


@given(size=st.integers(1, 12), story=calls)
def test_a_window_of_calls_counts_the_last_ones(size: int, story: list[tuple[str, float]]) -> None:
    window, seen = CallWindow(size), list[tuple[bool, bool]]()
    for kind, _ in story:
        seen += [each for each in [play(window, kind, 0.0)] if each is not None]
    last = seen[-size:]
    expected = len(last), sum(failed for failed, _ in last), sum(slow for _, slow in last)
    assert window.counts(0.0) == expected


@pytest.mark.parametrize("size", range(1, 6))
def test_any_number_of_successes_may_wait_for_bad_news(size: int) -> None:
    for waiting in range(3 * size):
        window = CallWindow(size)
        for _ in range(size):
            window.bad(0.0, failed=True, slow=True)
        for _ in range(waiting):
            window.good(0.0)
        left = max(size - waiting, 0)
        assert window.counts(0.0) == (size, left, left)
        window.bad(0.0, failed=True, slow=False)
        left = max(left - 1, 0)
        assert window.counts(0.0) == (size, left + 1, left)


@given(seconds=st.floats(0.1, 20), buckets=st.integers(1, 12), start=st.floats(0, 1e6), story=calls)
def test_a_window_of_seconds_counts_the_buckets_that_are_not_too_old(
    seconds: float, buckets: int, start: float, story: list[tuple[str, float]]
) -> None:
    window, now, width = TimeWindow(seconds, buckets), start, seconds / buckets
    seen: list[tuple[float, bool, bool]] = []
    for kind, later in story:
        now += later
        seen += [(now, *each) for each in [play(window, kind, now)] if each is not None]
        alive = [each for each in seen if each[0] // width > now // width - buckets]
        counts = len(alive), sum(each[1] for each in alive), sum(each[2] for each in alive)
        assert window.counts(now) == counts
        # By age: nothing older than the window, everything younger than it less one bucket.
        assert all(now - at <= seconds * (1 + 1e-9) for at, *_ in alive)
        young = sum(now - at < (seconds - width) * (1 - 1e-9) - 1e-9 for at, *_ in seen)
        assert len(alive) >= young


@pytest.mark.parametrize("window", [CallWindow(5), TimeWindow(5.0, 5)])
def test_a_cleared_window_is_like_a_new_one(window: Window) -> None:
    for _ in range(7):
        window.bad(1.0, failed=True, slow=True)
        window.good(1.0)
    window.clear()
    assert window.counts(1.0) == (0, 0, 0)
    window.bad(1.0, failed=True, slow=False)
    assert window.counts(1.0) == (1, 1, 0)


def test_a_long_silence_costs_no_more_than_the_buckets_there_are() -> None:
    window = TimeWindow(1.0, 10)
    window.bad(0.0, failed=True, slow=False)
    window.good(1e12)  # would take days, one bucket at a time
    assert window.counts(1e12) == (1, 0, 0)
