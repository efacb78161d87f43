"""Which calls share a value."""

from typing import Any, assert_type

import pytest

from mobius_infra.cache import (
    Cache,
)
from mobius_infra.core import ConfigurationError
from mobius_infra.testing import ManualClock
from tests.cache.support import Origin


async def test_arguments_of_different_types_are_different_keys(cache: Cache) -> None:
    @cache.cached()
    async def kind(value: Any) -> str:
        return type(value).__name__

    assert [await kind(each) for each in (1, True, 1.0, "1", b"1", None, (1,), [1])] == [
        "int", "bool", "float", "str", "bytes", "NoneType", "tuple", "list",
    ]  # fmt: skip


async def test_a_call_has_one_key_however_it_is_written(cache: Cache) -> None:
    calls = 0

    @cache.cached()
    async def get(a: int, b: str = "x", *, c: bool = True) -> int:
        nonlocal calls
        calls += 1
        return calls

    assert {await get(1), await get(a=1), await get(1, "x"), await get(1, c=True, b="x")} == {1}
    assert await get(1, "y") == 2


async def test_two_functions_never_share_a_value(cache: Cache) -> None:
    @cache.cached()
    async def one(x: int) -> str:
        return "one"

    @cache.cached()
    async def other(x: int) -> str:
        return "other"

    assert [await one(1), await other(1)] == ["one", "other"]


async def test_a_method_needs_an_object_that_says_what_it_is(cache: Cache) -> None:
    class Service:
        def __init__(self, name: str) -> None:
            self.name = name

        @property
        def cache_key(self) -> str:
            return self.name

        @cache.cached()
        async def get(self, x: int) -> str:
            return f"{self.name}{x}"

        @cache.cached()
        @classmethod
        async def create(cls, x: int) -> str:
            return f"{cls.__name__}{x}"

        @cache.cached()
        @staticmethod
        async def double(x: int) -> int:
            return 2 * x

    class Silent:
        @cache.cached()
        async def get(self, x: int) -> int:
            return x

        @cache.cached(key="{x}")
        async def shared(self, x: int) -> int:
            return x

    assert [await Service("a").get(1), await Service("b").get(1)] == ["a1", "b1"]
    assert_type(await Service("a").get(1), str)
    assert await Service.double(4) == 8
    with pytest.raises(ConfigurationError, match="cache_key"):
        await Silent().get(1)
    assert await Silent().shared(1) == 1


async def test_keys_can_be_used_by_hand(cache: Cache, origin: Origin) -> None:
    assert await cache.get("k") is None
    assert await cache.get("k", "default") == "default"
    await cache.set("k", [1], tags=["t"])
    assert await cache.get("k") == [1]
    assert await cache.get_or_load("k", lambda: origin.get("x")) == [1]
    await cache.delete("k")
    assert await cache.get_or_load("k", lambda: origin.get("x")) == "x1"
    long = "k" * 5_000
    await cache.set(long, 1)
    assert [await cache.get(long), await cache.get(long + "x")] == [1, None]


async def test_all_values_of_a_function_are_forgotten_however_long_their_arguments(
    cache: Cache, manual_clock: ManualClock
) -> None:
    calls = 0

    @cache.cached()
    async def a_function_whose_name_is_longer_than_the_beginning_of_a_key(text: str) -> int:
        nonlocal calls
        calls += 1
        return calls

    get = a_function_whose_name_is_longer_than_the_beginning_of_a_key
    assert [await get("x" * 1_000), await get("x")] == [1, 2]
    manual_clock.tick(0.1)
    await get.invalidate_all()
    assert [await get("x" * 1_000), await get("x")] == [3, 4]


@pytest.mark.parametrize("text", ["x" * 99, "x" * 150, "\ud800", "\N{SNOWMAN}" * 99, "\0"])
async def test_any_text_makes_one_key_however_the_call_is_written(cache: Cache, text: str) -> None:
    @cache.cached()
    async def get(text: str) -> object:
        return len(text)

    calls = [await get(text), await get(text=text)]
    assert calls == [len(text)] * 2
    assert cache.stats().loads == 1
