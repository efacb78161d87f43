"""Client-side throttling: the formula, the window, and what counts."""

import asyncio
import gc
import random
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.breaker import (
    Throttle,
    ThrottledError,
    ThrottleStats,
    ThrottlingBegan,
    ThrottlingEnded,
    retry,
    throttle,
)
from mobius_infra.breaker._throttle import rejection_probability
from mobius_infra.core import ConfigurationError, Event, Rejected
from mobius_infra.testing import ManualClock


class BusyError(Exception):
    """The service refuses."""


Make = Callable[..., Throttle]


@pytest.fixture
def make(manual_clock: ManualClock) -> Make:
    def build(on: Any = BusyError, **options: Any) -> Throttle:
        return throttle(on, **{"clock": manual_clock, "draw": lambda: 0.0, **options})

    return build


async def answer() -> str:
    return "answer"


async def refuse() -> str:
    raise BusyError


@pytest.mark.parametrize(
    ("requests", "accepts", "k", "expected"),
    [
        (0, 0, 2.0, 0),
        (1, 0, 2.0, 0.5),
        (10, 5, 2.0, 0),
        (10, 4, 2.0, 2 / 11),
        (99, 0, 2.0, 0.99),
        (100, 80, 1.1, 12 / 101),
        (100, 100, 2.0, 0),
    ],
)
def test_the_formula(requests: int, accepts: int, k: float, expected: float) -> None:
    assert rejection_probability(requests, accepts, k) == pytest.approx(expected)


@pytest.mark.parametrize(("draw", "rejected"), [(0.499, True), (0.5, False)])
async def test_it_rejects_by_the_draw(make: Make, draw: float, rejected: bool) -> None:
    limited = make(draw=lambda: draw)
    with pytest.raises(BusyError):
        await limited.run(refuse)
    assert limited.stats().probability == 0.5
    if rejected:
        with pytest.raises(ThrottledError):
            await limited.run(answer)
    else:
        assert await limited.run(answer) == "answer"


async def test_its_own_rejections_count_as_requests(make: Make) -> None:
    limited = make()
    with pytest.raises(BusyError):
        await limited(refuse)()
    for rejected in range(1, 5):
        with pytest.raises(ThrottledError) as caught:
            await limited(answer)()
        assert caught.value.probability == pytest.approx(rejected / (rejected + 1))
    assert limited.stats() == ThrottleStats(accepted=0, refused=1, rejected=4, probability=5 / 6)


@pytest.mark.parametrize("way", ["run", "decorator", "block"])
async def test_every_way_in_counts_alike(make: Make, way: str) -> None:
    limited = make(draw=lambda: 0.999)

    async def call(func: Callable[[], Any]) -> None:
        if way == "run":
            await limited.run(func)
        elif way == "decorator":
            await limited(func)()
        else:
            async with limited:
                await func()

    await call(answer)
    with pytest.raises(BusyError):
        await call(refuse)
    assert limited.stats() == ThrottleStats(accepted=1, refused=1, rejected=0, probability=0)


@pytest.mark.parametrize(
    ("on", "error", "accepted", "refused"),
    [
        (BusyError, BusyError(), 0, 1),
        (BusyError, KeyError(), 1, 0),
        ((BusyError, KeyError), KeyError(), 0, 1),
        (lambda error: "busy" in str(error), KeyError("busy"), 0, 1),
        (lambda error: error.nothing, KeyError(), 1, 0),
        (BusyError, ExceptionGroup("", [KeyError(), BusyError()]), 0, 1),
        (BusyError, ExceptionGroup("", [KeyError(), KeyError()]), 1, 0),
        (Exception, Rejected("", name="", retry_after=None), 0, 0),
        (Exception, ExceptionGroup("", [Rejected("", name="", retry_after=None)]), 0, 0),
        (Exception, asyncio.CancelledError(), 0, 0),
    ],
)
async def test_what_counts(
    make: Make, on: Any, error: BaseException, accepted: int, refused: int
) -> None:
    async def fails() -> None:
        raise error

    limited = make(on)
    with pytest.raises(type(error)) as caught:
        await limited.run(fails)
    assert caught.value is error
    stats = limited.stats()
    assert (stats.accepted, stats.refused) == (accepted, refused)
    assert stats.probability == (0.5 if refused else 0)


async def test_a_result_may_be_a_refusal(make: Make) -> None:
    limited = make(on_result=lambda result: result == "answer")
    assert await limited.run(answer) == "answer"
    assert limited.stats().refused == 1


async def test_calls_under_way_are_not_taken_for_refused(make: Make) -> None:
    limited = make()
    gate = asyncio.Event()
    calls = [asyncio.create_task(limited.run(gate.wait)) for _ in range(50)]
    await asyncio.sleep(0)
    assert limited.stats().probability == 0
    for call in calls[:40]:
        call.cancel()
    await asyncio.sleep(0)
    assert limited.stats().probability == 0
    gate.set()
    await asyncio.gather(*calls[40:])
    assert limited.stats().accepted == 10


async def test_it_forgets_after_the_window(make: Make, manual_clock: ManualClock) -> None:
    limited = make()
    with pytest.raises(BusyError):
        await limited.run(refuse)
    manual_clock.tick(107)
    assert limited.stats().probability == 0.5
    manual_clock.tick(13)
    assert limited.stats().probability == 0
    assert await limited.run(answer) == "answer"


def test_a_call_counts_from_when_it_ended(make: Make, manual_clock: ManualClock) -> None:
    limited = make()
    limited.admit()
    manual_clock.tick(100)
    limited.settle(accepted=False)
    manual_clock.tick(100)
    assert limited.stats().probability == 0.5


async def test_it_tells_when_it_begins_and_when_it_ends(
    make: Make, manual_clock: ManualClock
) -> None:
    limited, heard = make(draw=lambda: 0.999), list[Event]()
    limited.events.subscribe(heard.append)
    with pytest.raises(BusyError):
        await limited.run(refuse)
    for _ in range(3):
        await limited.run(answer)
    at = manual_clock.time()
    assert heard == [
        ThrottlingBegan(source="throttle", at=at, requests=1, accepts=0),
        ThrottlingEnded(source="throttle", at=at),
    ]


async def test_a_rejection_is_fresh_and_keeps_nothing_alive(make: Make) -> None:
    limited = make()
    with pytest.raises(BusyError):
        await limited.run(refuse)
    depths = set[object]()
    gc.collect()
    gc.disable()
    try:
        for _ in range(200):
            try:
                await limited.run(answer)
            except ThrottledError as error:
                depths.add(len(traceback.extract_tb(error.__traceback__)))
                depths.add(error.retry_after)
        assert len(depths - {None}) == 1
        assert not any(isinstance(each, ThrottledError) for each in gc.get_objects())
    finally:
        gc.enable()


async def test_a_rejection_is_not_retried(make: Make, manual_clock: ManualClock) -> None:
    limited = make()
    policy = retry(Exception, clock=manual_clock)
    with pytest.raises(BusyError):
        await limited.run(refuse)
    with pytest.raises(ThrottledError):
        await policy.run(limited.run, answer)
    assert policy.stats().retries == 0


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 60), st.sampled_from([True, False, None]), st.floats(0, 0.999)),
        max_size=150,
    ),
    k=st.sampled_from([1.0, 1.1, 2.0]),
)
def test_it_agrees_with_a_model_that_remembers_everything(
    steps: list[tuple[float, bool | None, float]], k: float
) -> None:
    clock, draw = ManualClock(), 0.0
    limited = throttle(BusyError, k=k, clock=clock, draw=lambda: draw)
    history: list[tuple[float, int]] = []  # bucket, and whether it was accepted
    for gap, accepted, draw in steps:
        clock.tick(gap)
        bucket = clock.monotonic() // 12.0
        recent = [each for at, each in history if at > bucket - 10]
        expected = max(0.0, (len(recent) - k * sum(recent)) / (len(recent) + 1))
        assert limited.stats().probability == expected
        try:
            limited.admit()
        except ThrottledError:
            assert draw < expected
            history.append((bucket, 0))
            continue
        assert draw >= expected
        if accepted is not None:
            limited.settle(accepted=accepted)
            history.append((bucket, int(accepted)))


def test_under_overload_the_service_sees_about_k_times_what_it_bears(
    manual_clock: ManualClock,
) -> None:
    limited = throttle(BusyError, clock=manual_clock, draw=random.Random(7).random)
    seen = bears = 0
    for number in range(60_000):  # a hundred calls a second; the service bears one in ten
        manual_clock.tick(0.01)
        bears += number % 10 == 0
        try:
            limited.admit()
        except ThrottledError:
            continue
        accepted = bears > 0
        bears -= accepted
        limited.settle(accepted=accepted)
        seen += number >= 30_000
    assert seen / 3_000 == pytest.approx(2.0, rel=0.1)


def test_it_prints_what_it_is() -> None:
    assert repr(throttle(BusyError, name="prices")) == "Throttle('prices', k=2)"
    error = ThrottledError("prices", 0.456)
    assert str(error) == (
        "throttle 'prices' rejects 46% of calls: the service behind refuses too many"
    )
    assert error.fields() == {"name": "prices", "retry_after": None, "probability": 0.456}


@pytest.mark.parametrize(
    ("on", "options", "field"),
    [
        ((), {}, "on"),
        (asyncio.CancelledError, {}, "on"),
        (BusyError, {"k": 0.9}, "k"),
        (BusyError, {"k": float("nan")}, "k"),
        (BusyError, {"k": True}, "k"),
        (BusyError, {"window": 0}, "window"),
        (BusyError, {"window": float("inf")}, "window"),
        (BusyError, {"on_result": 1}, "on_result"),
        (BusyError, {"name": ""}, "name"),
    ],
)
def test_bad_settings_are_refused(on: Any, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        throttle(on, **options)
    assert caught.value.field == field
