"""Workloads for prediction: bot sessions, and noise."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from mobius_infra.cache import Cache, CacheStats, Prediction
from mobius_infra.testing import ManualClock


@dataclass(frozen=True, slots=True)
class Ask:
    """A user asks for a key at a time."""

    at: float
    user: int
    key: str


def sessions(seconds: float, *, pages: int = 12, seed: int = 1) -> list[Ask]:
    """Users open a list, then look at most of what is on it, one after the other."""
    chance = random.Random(seed)
    weights = [1 / (page + 1) ** 0.5 for page in range(pages)]
    asked = []
    at, user = 0.0, 0
    while at < seconds:
        at += chance.expovariate(1 / 3.0)
        user += 1
        page = chance.choices(range(pages), weights)[0]
        when = at
        asked.append(Ask(when, user, f"list{page}"))
        for item in range(6):
            if chance.random() < 0.1:
                break  # leaves
            when += chance.uniform(1.0, 4.0)
            asked.append(Ask(when, user, f"item{page}.{item}"))
    return sorted(asked, key=lambda ask: ask.at)


def noise(seconds: float, *, seed: int = 1) -> list[Ask]:
    """Users ask for anything."""
    chance = random.Random(seed)
    return [
        Ask(number * 0.5, chance.randrange(50), f"k{chance.randrange(2_000)}")
        for number in range(int(seconds * 2))
    ]


def rhythm(seconds: float) -> list[Ask]:
    """Ask for each of some keys at a steady interval."""
    asked = [
        Ask(start + step * every, 0, f"job{start}")
        for start, every in ((0.0, 120.0), (7.0, 150.0), (13.0, 200.0))
        for step in range(int(seconds / every))
    ]
    return sorted(asked, key=lambda ask: ask.at)


async def play(
    asked: list[Ask],
    predict: Callable[[Callable[[], int]], Prediction | None],
    *,
    ttl: float = 60.0,
    load_time: float = 0.1,
) -> CacheStats:
    """Ask a cache for all of it in virtual time; return its numbers."""
    clock = ManualClock(auto_jump=True)
    current = 0
    async with Cache("c", ttl=ttl, early=0, predict=predict(lambda: current), clock=clock) as cache:

        @cache.cached()
        async def get(key: str) -> str:
            await clock.sleep(load_time)
            return key

        for ask in asked:
            if ask.at > clock.monotonic():
                await clock.sleep(ask.at - clock.monotonic())
            current = ask.user
            await get(ask.key)
        return cache.stats()
