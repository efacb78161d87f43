"""What is written in a backend, and whatever else is found there."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from mobius_infra.cache import (
    BackendTier,
    Cache,
)
from mobius_infra.cache._entry import Life
from mobius_infra.cache._record import Wide
from mobius_infra.core import Codec
from mobius_infra.testing import ManualClock
from tests.cache.support import TIERS, Flaky, Origin


class Price(BaseModel):
    usd: float


async def test_values_come_back_as_their_annotated_type_and_older_shapes_are_misses(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    def make(returns: Any, value: Any) -> Callable[[int], Awaitable[Any]]:
        cache = Cache("c", tiers=[BackendTier(backend)], clock=manual_clock)

        @cache.cached(key=lambda x: "same", type_=returns)
        async def get(x: int) -> Any:
            return value

        # Each in turn is the same function of another release.
        return get

    new = make(Price, Price(usd=1.0))
    assert await new(1) == Price(usd=1.0)
    assert await make(Price, Price(usd=2.0))(1) == Price(usd=1.0)
    assert await make(int, 5)(1) == 5


async def test_what_can_not_be_written_stays_in_memory_and_is_counted(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    cache = Cache("c", tiers=TIERS["both"](backend), clock=manual_clock)

    @cache.cached()
    async def get(x: int) -> Any:
        return lambda: x

    assert await get(1) is await get(1)
    assert cache.stats().unwritable == 1


async def test_foreign_bytes_in_the_backend_are_a_miss(
    backend: Flaky, origin: Origin, manual_clock: ManualClock
) -> None:
    cache = Cache("c", tiers=[BackendTier(backend)], clock=manual_clock)
    for junk in (b"", b"x", b"\0" * 35, b"\1" * 35, b"\xff" * 100):
        await backend.set("cache:c:1:value:k", junk)
        assert await cache.get_or_load("k", lambda: origin.get("k")) == f"k{len(origin.calls)}"
    assert cache.stats().unreadable == {"memory://": 5}


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\xff",
        b"[1]",
        b"[null, {}]",
        b"[" * 100_000,
        b"[1" + b"0" * 400 + b", {}]",
        b"[NaN, {}]",
    ],
)
async def test_a_foreign_mark_of_everything_makes_every_value_a_miss_until_it_is_replaced(
    junk: bytes, backend: Flaky, manual_clock: ManualClock
) -> None:
    cache = Cache("c", tiers=[BackendTier(backend)], clock=manual_clock)
    await cache.set("k", 1)
    await backend.set("cache:c:1:wide", junk)
    assert await cache.get("k") is None
    await cache.clear()
    manual_clock.tick(1)
    await cache.set("k", 2)
    assert await cache.get("k") == 2


@pytest.mark.parametrize(
    "tag", ["", "\0", "a\0b", "t" * 5_000, "\0" + "t" * 5_000, "\ud800", "\N{SNOWMAN}" * 150]
)
async def test_any_text_is_a_tag(tag: str, backend: Flaky, manual_clock: ManualClock) -> None:
    one, two = (Cache("c", tiers=[BackendTier(backend)], clock=manual_clock) for _ in range(2))
    await one.set("k", 1, tags=[tag, "other"])
    await one.set("b", 1, tags=["b"])
    assert await two.get_many(["k", "b"]) == {"k": 1, "b": 1}
    manual_clock.tick(1)
    await two.invalidate_tags(tag)
    assert await one.get_many(["k", "b"]) == {"b": 1}


async def test_a_value_may_have_thousands_of_tags(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    one, two = (Cache("c", tiers=[BackendTier(backend)], clock=manual_clock) for _ in range(2))
    await one.set("k", 1, tags=[f"{number:0100}" for number in range(2_000)])
    assert await two.get("k") == 1
    manual_clock.tick(1)
    await two.invalidate_tags(f"{1_999:0100}")
    assert await one.get("k") is None


def test_marks_of_everything_and_of_prefixes_never_move_back() -> None:
    wide = Wide().with_prefixes(["a"], 7.0)
    assert wide.with_all(5.0).latest("a") == 7.0
    assert wide.with_all(5.0).latest("b") == 5.0
    assert wide.with_all(9.0) == Wide(9.0)
    assert wide.with_prefixes(["a", "b"], 5.0).prefixes == {"a": 7.0, "b": 5.0}
    assert Wide.read(wide.write()) == wide


def test_past_the_bound_of_prefixes_everything_is_marked() -> None:
    wide = Wide().with_prefixes([f"p{number}" for number in range(100)], 1.0)
    assert wide.latest("other") == float("-inf")
    assert wide.with_prefixes(["one more"], 2.0).latest("other") == 2.0


@pytest.mark.parametrize(("later", "value"), [(0.0, None), (0.1, 1)])
async def test_a_load_that_began_at_the_moment_of_a_mark_counts_as_earlier(
    later: float, value: int | None, backend: Flaky, manual_clock: ManualClock
) -> None:
    tier = BackendTier(backend)
    cache = Cache("c", tiers=[tier], clock=manual_clock)
    await cache.invalidate_tags("t")
    began = await backend.now() + later
    body = Codec[Any]().encode(1)
    await tier.put("k", body, Life(10.0, 0.0), ("t",), began, at=manual_clock.monotonic())
    assert await cache.get("k") == value
