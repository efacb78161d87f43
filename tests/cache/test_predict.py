"""Prediction: it pays where there is a pattern, and costs next to nothing where there is none."""

import asyncio

import pytest

from mobius_infra.cache import Cache, CacheStats, Prediction
from mobius_infra.core import ConfigurationError
from mobius_infra.testing import ManualClock
from tests.cache.workload import noise, play, rhythm, sessions


def precision(stats: CacheStats) -> float:
    return stats.predicted_hits / max(stats.predicted_hits + stats.predicted_waste, 1)


async def test_sessions_of_lists_and_details_are_foreseen() -> None:
    asked = sessions(7_200)
    without = await play(asked, lambda session: None)
    stats = await play(asked, lambda session: Prediction(session=session))
    assert without.hit_rate <= 0.75
    assert stats.hit_rate >= 0.90
    assert precision(stats) >= 0.60


async def test_noise_costs_next_to_nothing() -> None:
    asked = noise(3_600)
    without = await play(asked, lambda session: None)
    stats = await play(asked, lambda session: Prediction(session=session))
    assert stats.loads <= 1.02 * without.loads


async def test_what_recurs_is_loaded_when_its_time_comes() -> None:
    asked = rhythm(7_200)
    assert (await play(asked, lambda session: None)).hit_rate == 0
    stats = await play(asked, lambda session: Prediction())
    assert stats.hit_rate > 0.7
    assert precision(stats) > 0.8


async def habits(cache: Cache, clock: ManualClock, calls: list[str]) -> None:
    """Ask for a then b, again and again, each time after their values have ended."""

    @cache.cached()
    async def get(key: str) -> str:
        calls.append(key)
        return key

    for step in range(8):
        for key in ("a", "b"):
            await get(key)
            await clock.advance(1)
        await clock.advance(120 * (1 + step % 3))  # at no steady interval


@pytest.mark.parametrize("allowed", [True, False])
async def test_nothing_is_loaded_while_the_origin_may_not_be_asked(
    allowed: bool, manual_clock: ManualClock
) -> None:
    calls: list[str] = []
    predict = Prediction(allowed=lambda: allowed, window=10)
    async with Cache("c", ttl=30, predict=predict, clock=manual_clock) as cache:
        await habits(cache, manual_clock, calls)
        assert (cache.stats().predicted > 3) is allowed
        assert cache.stats().predicted_hits == cache.stats().predicted


async def test_a_prediction_that_fails_is_nobodys_problem(manual_clock: ManualClock) -> None:
    async with Cache("c", ttl=30, predict=Prediction(window=10), clock=manual_clock) as cache:
        failing = False

        @cache.cached()
        async def get(key: str) -> str:
            if failing and key == "b":
                raise ConnectionError
            return key

        for step in range(8):
            failing = step == 7
            assert await get("a") == "a"
            await manual_clock.advance(1)
            if not failing:
                assert await get("b") == "b"
            await manual_clock.advance(120 * (1 + step % 3))  # at no steady interval
        assert cache.stats().load_errors == 1


async def test_what_it_remembers_is_bounded(manual_clock: ManualClock) -> None:
    predict = Prediction(max_keys=50, session=manual_clock.monotonic)
    async with Cache("c", ttl=30, predict=predict, clock=manual_clock) as cache:
        for number in range(1_000):
            manual_clock.tick(1)
            await cache.get_or_load(f"k{number}", lambda: asyncio.sleep(0))
        predictor = cache._engine.predictor
        assert predictor is not None
        assert len(predictor._habits) == 50
        assert len(predictor._sessions) == 50


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window", 0), ("certainty", 0), ("certainty", 1.1), ("precision", 1), ("waste", -1),
        ("concurrency", 0), ("max_keys", 0),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_field(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Prediction(**{field: value})  # type: ignore[arg-type]  # what is refused
    assert caught.value.field == field
