"""Collections happen when nobody waits, and everything is as before afterwards."""

import asyncio
import gc
from collections.abc import Iterator
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.perf import GcTuner
from mobius_infra.perf._gc import INTERPRETERS_OWN, NEVER
from mobius_infra.perf._gc_step import Bounds, Young, next_interval
from mobius_infra.testing import ManualClock


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Begin every test with nothing frozen of ours, and look that nothing is left."""
    gc.unfreeze()
    threshold = gc.get_threshold()
    yield
    assert not any(isinstance(getattr(each, "__self__", None), GcTuner) for each in gc.callbacks)
    assert gc.get_threshold() == threshold
    gc.unfreeze()


class Ring:
    def __init__(self) -> None:
        self.itself = self


async def test_it_measures_first_then_freezes_and_is_gone_afterwards(
    manual_clock: ManualClock,
) -> None:
    before = gc.get_threshold()
    async with GcTuner(warmup=30, clock=manual_clock) as tuner:
        await manual_clock.advance(29)
        assert (tuner.mode, gc.get_threshold(), gc.get_freeze_count()) == ("watching", before, 0)
        gc.collect(0)
        await manual_clock.advance(1)
        assert tuner.stats().mode == "tuned"
        assert gc.get_threshold() == (before[0], before[1], NEVER)
        assert tuner.stats().frozen > 1_000
        assert len(gc.get_objects()) < gc.get_freeze_count()
        assert tuner.report().startswith("before: ")
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
    assert tuner.stats().mode == "outside"
    assert repr(tuner).startswith("GcTuner('gc', outside, pauses=")


async def test_what_others_froze_stays_frozen(manual_clock: ManualClock) -> None:
    gc.freeze()
    assert gc.get_freeze_count() > INTERPRETERS_OWN
    async with GcTuner(warmup=0, clock=manual_clock):
        await manual_clock.advance(0)
    assert gc.get_freeze_count() > INTERPRETERS_OWN
    gc.unfreeze()


async def test_thresholds_are_restored_when_the_block_raises_or_is_cancelled(
    manual_clock: ManualClock,
) -> None:
    before = gc.get_threshold()

    async def fail() -> None:
        async with GcTuner(clock=manual_clock) as tuner:
            tuner.settle()
            assert gc.get_threshold() != before
            _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert gc.get_threshold() == before

    async def serve() -> None:
        async with GcTuner(clock=manual_clock) as tuner:
            tuner.settle()
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    assert gc.get_threshold() != before
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


async def test_where_collection_is_off_it_stays_off(manual_clock: ManualClock) -> None:
    before = gc.get_threshold()
    gc.set_threshold(0, 5, 6)
    try:
        async with GcTuner(warmup=0, clock=manual_clock):
            await manual_clock.advance(3)
            assert gc.get_threshold() == (0, 5, 6)
        assert gc.get_threshold() == (0, 5, 6)
    finally:
        gc.set_threshold(*before)


async def test_a_full_collection_waits_for_an_idle_moment_but_not_for_ever(
    manual_clock: ManualClock,
) -> None:
    busy = True

    async def work() -> None:
        while True:
            if busy:
                manual_clock.tick(0.001)
            await asyncio.sleep(0)

    worker = asyncio.create_task(work())
    async with GcTuner(warmup=0, full_every=10, patience=5, clock=manual_clock) as tuner:
        tuner.settle()
        collected = gc.get_stats()[2]["collections"]

        async def until(seconds: float) -> None:
            while manual_clock.monotonic() < seconds:
                await manual_clock.advance(0.5)

        await until(14)
        assert gc.get_stats()[2]["collections"] == collected  # it was due at 10
        await until(17)
        assert (tuner.stats().idle, tuner.stats().forced) == (0, 1)
        busy = False
        await until(60)
        assert (tuner.stats().idle, tuner.stats().forced) == (1, 1)  # 20 s later: nothing found
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


async def test_it_tunes_as_soon_as_it_has_settled(manual_clock: ManualClock) -> None:
    """However long the warm-up would have been."""
    async with GcTuner(warmup=1_000, full_every=10, clock=manual_clock) as tuner:
        await manual_clock.advance(3)
        tuner.settle()
        await manual_clock.advance(15)
        assert tuner.stats().idle == 1


async def test_garbage_in_rings_is_freed_by_a_full_collection(manual_clock: ManualClock) -> None:
    async with GcTuner(clock=manual_clock) as tuner:
        tuner.settle()
        for _ in range(500):
            Ring()
        assert tuner.collect() >= 500


def test_the_threshold_follows_what_is_measured() -> None:
    bounds = Bounds(least=700, most=50_000, most_pause=0.005, most_share=0.005)
    dear = Young(100, 0.02, 0.001, 0)
    assert bounds.step(700, dear, 1.0) == 1_400
    assert bounds.step(700, dear, 10.0) == 700  # in ten seconds it is little
    assert bounds.step(40_000, dear, 1.0) == 50_000
    assert bounds.step(700, Young(100, 0.02, 0.001, 10_000), 1.0) == 700  # it finds much
    assert bounds.step(8_000, Young(1, 0.006, 0.006, 0), 1.0) == 4_000
    assert bounds.step(1_000, Young(1, 0.006, 0.006, 0), 1.0) == 700
    assert bounds.step(8_000, Young(), 1.0) == 8_000


@given(
    st.lists(
        st.builds(Young, st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1), st.integers(0)),
        max_size=50,
    )
)
def test_the_threshold_stays_within_its_bounds(spans: list[Young]) -> None:
    bounds, threshold = Bounds(700, 50_000, 0.005, 0.005), 700
    for span in spans:
        threshold = bounds.step(threshold, span, 1.0)
        assert 700 <= threshold <= 50_000


def test_full_collections_that_find_nothing_become_rare() -> None:
    interval = 60.0
    for _ in range(10):
        interval = next_interval(interval, 1, 100_000, 60)
    assert interval == 960
    assert next_interval(interval, 5_000, 100_000, 60) == 960
    for _ in range(10):
        interval = next_interval(interval, 50_000, 100_000, 60)
    assert interval == 60
    assert next_interval(60, 0, 0, 60) == 120


async def test_pauses_before_and_after_are_told(manual_clock: ManualClock) -> None:
    async with GcTuner(warmup=10, clock=manual_clock) as tuner:
        for pause in (0.1, 0.3):
            tuner._called("start", {"generation": 2})
            manual_clock.tick(pause)
            tuner._called("stop", {"generation": 2, "collected": 0})
        await asyncio.sleep(0)
        manual_clock.tick(9.6)
        tuner.settle()
        tuner._called("start", {"generation": 0})
        manual_clock.tick(0.002)
        tuner._called("stop", {"generation": 0, "collected": 0})
        manual_clock.tick(9.998)
    before, after = tuner.report().splitlines()
    assert "the longest 300.00 ms, 4.00% of the time" in before
    assert "the longest 2.00 ms, 0.02% of the time" in after
    stats = tuner.stats()
    assert stats.longest_pause_seconds == pytest.approx(0.002)
    assert stats.pauses["0.0025"] == stats.pauses["+Inf"]


async def test_it_is_entered_once_at_a_time_and_settles_only_then() -> None:
    tuner = GcTuner()
    with pytest.raises(ConfigurationError, match="entered before"):
        tuner.settle()
    for _ in range(2):
        async with tuner:
            with pytest.raises(ConfigurationError, match="once at a time"):
                await tuner.__aenter__()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("warmup", -1), ("most_pause", 0), ("full_every", nan), ("patience", inf), ("idle", True),
        ("interval", 0), ("most_share", 1), ("most_threshold", 0), ("name", ""),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        GcTuner(**{field: value})  # type: ignore[arg-type]
