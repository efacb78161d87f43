"""Each algorithm holds to what its docstring promises, whatever is asked of it and whenever."""

import itertools
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.ratelimit import (
    GCRA,
    FixedWindow,
    LeakyBucket,
    LeakyQueue,
    Limit,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.ratelimit._step import give_back, look, report
from tests.ratelimit.models import (
    BUCKETS,
    COSTS,
    FIXED,
    FORWARD,
    LIMITS,
    LOGS,
    QUEUES,
    SLIDING,
    START,
    STEPS,
    Asked,
    LeakModel,
    TokenModel,
    VirtualModel,
    assert_bounded,
    most_in,
    rate_of,
)

HISTORY = st.lists(st.tuples(STEPS, COSTS), max_size=60)
CALM = st.lists(st.tuples(FORWARD, COSTS), max_size=60)  # time never goes back
PATIENT = st.lists(st.tuples(FORWARD, COSTS, st.sampled_from([0, 1, 10**5, 10**7])), max_size=40)

# What passes in the time of a clock that went back is reckoned by the latest time it had shown.


@given(BUCKETS, HISTORY)
def test_token_bucket_leaky_bucket_and_gcra_decide_as_three_exact_models(
    limit: Limit, history: list[tuple[int, int]]
) -> None:
    asked = Asked(limit)
    models = [
        made(rate_of(limit), limit.quota, START) for made in (TokenModel, LeakModel, VirtualModel)
    ]
    for step, cost in history:
        asked.now += step
        passed = asked.take(cost) >= 0
        assert [model.take(asked.now, cost) for model in models] == [passed] * 3


@given(BUCKETS, HISTORY)
def test_a_bucket_lets_at_most_its_burst_and_its_rate_through(
    limit: Limit, history: list[tuple[int, int]]
) -> None:
    asked, passed, latest = Asked(limit), [], START
    for step, cost in history:
        asked.now += step
        latest = max(latest, asked.now)
        if asked.take(min(cost, limit.quota)) >= 0:
            passed.append((latest, min(cost, limit.quota)))
    assert_bounded(passed, rate_of(limit), limit.quota)


@given(BUCKETS, PATIENT)
def test_a_bucket_holds_to_it_where_calls_are_taken_ahead_of_their_time(
    limit: Limit, history: list[tuple[int, int, int]]
) -> None:
    asked, passed = Asked(limit), []
    for step, cost, patience in history:
        asked.now += step
        wait = asked.take(min(cost, limit.quota), patience)
        assert wait <= patience
        if wait >= 0:
            passed.append((asked.now + wait, min(cost, limit.quota)))
    assert_bounded(passed, rate_of(limit), limit.quota)


@given(QUEUES, CALM)
def test_a_queue_lets_an_even_stream_out(limit: Any, history: list[tuple[int, int]]) -> None:
    asked, out = Asked(limit), list[tuple[int, int]]()
    for step, cost in history:
        asked.now += step
        ahead = sum(each for time, each in out if time > asked.now)
        wait = asked.take(cost)
        if wait >= 0:
            assert ahead <= limit.capacity + 3  # what is before it; the last of it may be going
            out.append((asked.now + wait, cost))
    for (before, cost), (after, _) in itertools.pairwise(out):
        assert after - before >= cost / rate_of(limit)  # none before its predecessor has gone


@given(LOGS, PATIENT)
def test_a_log_lets_at_most_its_limit_through_in_any_window(
    limit: Any, history: list[tuple[int, int, int]]
) -> None:
    asked, passed = Asked(limit), list[tuple[int, int]]()
    for step, cost, patience in history:
        asked.now += step
        wait = asked.take(min(cost, limit.quota), patience)
        if wait >= 0:
            passed.append((asked.now + wait, min(cost, limit.quota)))
        else:  # and refuses nothing that it could have let through
            in_window = [c for t, c in passed if t > asked.now - limit.rate.micros]
            assert sum(in_window) + cost > limit.quota or passed[-1][0] > asked.now
    assert most_in(passed, limit.rate.micros) <= limit.quota


@given(FIXED, HISTORY)
def test_a_fixed_window_lets_at_most_its_limit_through_in_each(
    limit: Any, history: list[tuple[int, int]]
) -> None:
    asked, latest = Asked(limit), 0
    used: dict[int, int] = {}
    for step, asked_for in history:
        cost = min(asked_for, limit.quota)
        asked.now += step
        latest = max(latest, asked.now)
        window = latest // limit.rate.micros
        room = used.get(window, 0) + cost <= limit.quota
        assert (asked.take(cost) >= 0) == room
        used[window] = used.get(window, 0) + cost * room


@given(SLIDING, CALM)
def test_a_sliding_counter_decides_as_an_exact_model(
    limit: Any, history: list[tuple[int, int]]
) -> None:
    asked, window = Asked(limit), limit.rate.micros
    used: dict[int, int] = {}
    for step, asked_for in history:
        cost = min(asked_for, limit.quota)
        asked.now += step
        number, into = divmod(asked.now, window)
        faded = used.get(number - 1, 0) * (1 - Fraction(into, window))
        room = used.get(number, 0) + faded + cost <= limit.quota
        assert (asked.take(cost) >= 0) == room
        used[number] = used.get(number, 0) + cost * room


@given(SLIDING, CALM)
def test_a_sliding_counter_never_lets_more_than_twice_its_limit_through(
    limit: Any, history: list[tuple[int, int]]
) -> None:
    asked, passed = Asked(limit), []
    for step, cost in history:
        asked.now += step
        if asked.take(min(cost, limit.quota)) >= 0:
            passed.append((asked.now, min(cost, limit.quota)))
    assert most_in(passed, limit.rate.micros) <= 2 * limit.quota


def test_a_sliding_counter_can_let_nearly_twice_its_limit_through() -> None:
    asked, passed = Asked(SlidingWindowCounter("100/second"), now=1_999_999), []
    for _ in range(1_000_001):
        if asked.take() >= 0:
            passed.append((asked.now, 1))
        asked.now += 1 if asked.now == 1_999_999 and len(passed) == 100 else 0
        if asked.now > 1_999_999:
            asked.now += 1_000
        if asked.now >= 2_999_999:
            break
    assert most_in(passed, 1_000_000) >= 199
    # The log does not.
    exact, passed = Asked(SlidingWindowLog("100/second"), now=1_999_999), []
    for time in [1_999_999] * 150 + list(range(2_000_000, 3_000_000, 1_000)):
        exact.now = time
        if exact.take() >= 0:
            passed.append((time, 1))
    assert most_in(passed, 1_000_000) == 100


@given(LIMITS, CALM, st.integers(1, 3))
def test_who_waits_as_long_as_told_passes_and_a_moment_before_does_not(
    limit: Limit, history: list[tuple[int, int]], cost: int
) -> None:
    cost = min(cost, limit.quota)
    asked = Asked(limit)
    for step, each in history:
        asked.now += step
        asked.take(min(each, limit.quota))
    if asked.take(cost) < 0:
        start, wait = asked.now, asked.wait
        if wait > 1:
            asked.now = start + wait - 1
            assert asked.take(cost) == -1 or limit.rule.kind.name == "queue"
        asked.now = start + wait
        assert asked.take(cost) == 0 or limit.rule.kind.name == "queue"


@given(LIMITS, LIMITS, CALM)
def test_two_limits_are_all_or_nothing(
    one: Limit, two: Limit, history: list[tuple[int, int]]
) -> None:
    both, alone, other = Asked(one, two), Asked(one), Asked(two)
    for step, each in history:
        cost = min(each, one.quota, two.quota)
        for asked in (both, alone, other):
            asked.now += step
        waits = [look(asked.rules, asked.state, asked.now, cost) for asked in (alone, other)]
        before = [list(own) for own in both.state]
        wait = both.take(cost)
        if wait < 0:  # the largest wait is told, and nothing is spent of either
            assert both.wait == max(waits)
            for rule, own, held in zip(both.rules, both.state, before, strict=True):
                rule.kind.look(held, both.now, cost, *rule[1:])
                assert own == held
            continue
        for asked in (alone, other):
            spent = [
                rule.kind.spend(own, cost, wait, *rule[1:], asked.now)
                for rule, own in zip(asked.rules, asked.state, strict=True)
            ]
            assert spent
        assert both.state == [alone.state[0], other.state[0]]


@given(LIMITS, CALM)
def test_of_what_is_asked_for_as_much_is_granted_as_there_is(
    limit: Limit, history: list[tuple[int, int]]
) -> None:
    asked = Asked(limit)
    for step, cost in history:
        asked.now += step
        look(asked.rules, asked.state, asked.now, 0)
        left = report(asked.rules, asked.state, asked.now)[0][0]
        wait = asked.take(min(cost, limit.quota), most=4)
        if wait == 0:
            assert asked.granted == max(min(cost, limit.quota), min(4, left))
        elif wait > 0:
            assert asked.granted == min(cost, limit.quota)


GIVING = st.lists(st.tuples(FORWARD, COSTS, st.booleans(), FORWARD), max_size=30)


@given(BUCKETS | LOGS, GIVING)
def test_what_is_given_back_never_lets_more_through(
    limit: Any, history: list[tuple[int, int, bool, int]]
) -> None:
    """Calls that were not made after all don't count; the others hold to the limit."""
    asked, passed = Asked(limit), []
    for step, each, give, later in history:
        cost = min(each, limit.quota)
        asked.now += step
        if asked.take(cost) < 0:
            continue
        at, marks = asked.now, asked.marks
        if not give:
            passed.append((at, cost))
            continue
        for pause in (0, later):  # some other call comes in between
            asked.now += pause
            if pause and asked.take() >= 0:
                passed.append((asked.now, 1))
        give_back(asked.rules, asked.state, asked.now, cost, at, marks)
    if limit.rule.kind.name == "log":
        assert most_in(passed, limit.rate.micros) <= limit.quota
    else:
        assert_bounded(passed, rate_of(limit), limit.quota)


@given(LIMITS, COSTS)
def test_what_is_given_back_at_once_is_as_if_never_taken(limit: Limit, cost: int) -> None:
    asked = Asked(limit)
    cost = min(cost, limit.quota)
    asked.take(min(1, cost))
    before = report(asked.rules, asked.state, asked.now)
    if asked.take(cost) == 0:
        give_back(asked.rules, asked.state, asked.now, cost, asked.now, asked.marks)
        assert report(asked.rules, asked.state, asked.now) == before


@given(st.one_of(BUCKETS, QUEUES, LOGS), PATIENT, st.data())
def test_a_reservation_given_back_lets_nobody_in_beside_those_behind_it(
    limit: Any, history: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    asked, passed = Asked(limit), dict[int, tuple[int, int]]()
    taken = dict[int, tuple[int, int, Any]]()
    back = data.draw(st.integers(0, len(history)))
    for index, (step, each, patience) in enumerate(history):
        asked.now += step
        if index == back and passed:
            number = data.draw(st.sampled_from(sorted(passed)))
            del passed[number]
            cost, at, marks = taken[number]
            give_back(asked.rules, asked.state, asked.now, cost, at, marks)
        cost = min(each, limit.quota)
        wait = asked.take(cost, patience)
        if wait >= 0:
            passed[index] = (asked.now + wait, cost)
            taken[index] = (cost, asked.now, asked.marks)
    if limit.rule.kind.name == "log":
        assert most_in(list(passed.values()), limit.rate.micros) <= limit.quota
    elif limit.rule.kind.name == "bucket":
        assert_bounded(list(passed.values()), rate_of(limit), limit.quota)
    else:
        out = sorted(passed.values())
        for (before, cost), (after, _) in itertools.pairwise(out):
            assert after - before >= cost / rate_of(limit)


@pytest.mark.parametrize("limit", [TokenBucket("1/second", 1), LeakyQueue("1/second", 9)])
def test_a_place_in_the_midst_of_those_that_wait_is_not_given_to_another(limit: Limit) -> None:
    asked = Asked(limit)
    asked.take(1)
    assert asked.take(1, 9_000_000) == 1_000_000
    at, marks = asked.now, asked.marks
    assert asked.take(1, 9_000_000) == 2_000_000
    last, last_marks = asked.now, asked.marks
    asked.now += 500_000
    give_back(asked.rules, asked.state, asked.now, 1, at, marks)
    assert asked.take(1, 9_000_000) == 2_500_000  # after the last, not together with it
    give_back(asked.rules, asked.state, asked.now, 1, asked.now, asked.marks)
    give_back(asked.rules, asked.state, asked.now, 1, last, last_marks)
    assert asked.take(1, 9_000_000) == 1_500_000  # the last place is free again


def test_a_refund_by_a_clock_behind_does_not_mint() -> None:
    for limit in (TokenBucket("1/second", burst=5), LeakyQueue("1/second", 5)):
        asked = Asked(limit)
        asked.take(5)
        at, marks = asked.now, asked.marks
        asked.now += 5_000_000  # all have come back by themselves
        asked.take(5)
        before = report(asked.rules, asked.state, asked.now)
        asked.now = at  # as by a replica whose clock is behind
        give_back(asked.rules, asked.state, asked.now, 5, at, marks)
        assert report(asked.rules, asked.state, asked.now) == before


def test_a_late_refund_does_not_mint() -> None:
    asked = Asked(TokenBucket("1/second", burst=10))
    asked.take(5)
    at, marks = asked.now, asked.marks
    asked.now += 5_000_000  # all five have come back by themselves
    asked.take(5)
    give_back(asked.rules, asked.state, asked.now, 5, at, marks)
    assert report(asked.rules, asked.state, asked.now)[0][0] == 5


@pytest.mark.parametrize(
    "limit",
    [
        TokenBucket("54/minute", burst=1),
        GCRA("54/minute"),
        LeakyBucket("54/minute", capacity=1),
        TokenBucket("7/11 ms", burst=3),
        GCRA("997/7 seconds", burst=2),  # of one alone, what comes between two asks is lost
    ],
    ids=repr,
)
def test_nothing_is_lost_over_many_steps(limit: Any) -> None:
    """Asked at every step, it lets rate * time - 1 pass at least, and burst more at most.

    The state is two integers, each step adds and subtracts integers, and a state owes nothing to
    the number of steps before it: what holds for this many holds for any number.
    """
    asked, passed, pause = Asked(limit), 0, 1_009
    steps = 200_000
    for _ in range(steps):
        passed += asked.take() >= 0
        asked.now += pause
    due = rate_of(limit) * (steps - 1) * pause
    assert due - 1 <= passed <= due + limit.quota


def test_a_queue_spaces_a_burst_evenly_and_refuses_what_is_too_long() -> None:
    asked = Asked(LeakyQueue("10/second", capacity=3))
    assert [asked.take() for _ in range(6)] == [0, 100_000, 200_000, 300_000, -1, -1]
    assert asked.wait == 400_000
    asked.now += 250_000
    assert [asked.take() for _ in range(3)] == [150_000, 250_000, -1]


def test_a_fixed_window_may_let_twice_its_limit_through_across_a_border() -> None:
    asked = Asked(FixedWindow("10/second"), now=1_999_999)
    assert sum(asked.take() >= 0 for _ in range(20)) == 10
    assert asked.wait == 1
    asked.now += 1
    assert sum(asked.take() >= 0 for _ in range(20)) == 10


def test_a_counter_of_a_large_quota_fades_by_the_millisecond_and_never_early() -> None:
    asked = Asked(SlidingWindowCounter("1000000/day"), now=86_400_000_000)
    assert asked.rules[0].c == 1000
    assert asked.take(1_000_000) == 0
    asked.now += 86_400_000_000
    assert asked.take() == -1
    assert asked.wait == 87_000  # 86.4 ms a token
    asked.now += 86_999
    assert asked.take() == -1
    asked.now += 1
    assert asked.take() == 0
