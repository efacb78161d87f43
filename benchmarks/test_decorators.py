"""The decorators where nothing is wrong: a token that is there.

The first of each group is the floor: a bare await of a no-op coroutine function.
"""

import warnings

import pytest

from benchmarks.conftest import Measure
from mobius_infra.ratelimit import RateLimiter, TokenBucket


async def nothing(x: int = 1) -> int:
    return x


@pytest.mark.benchmark(group="rate limiter: token is there")
class TestRateLimiter:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(RateLimiter("r", TokenBucket(1e9, 1e9))(nothing))

    def test_mobius_infra_by_key(self, measure: Measure) -> None:
        limited = RateLimiter("r", TokenBucket(1e9, 1e9), key="x")(nothing)
        measure(lambda: limited(1))

    def test_aiolimiter(self, measure: Measure) -> None:
        from aiolimiter import AsyncLimiter

        with warnings.catch_warnings():  # it warns of being used on a second loop: this one
            warnings.simplefilter("ignore")
            limiter = AsyncLimiter(1e9, 1)

        async def limited() -> int:
            async with limiter:
                return await nothing()

        measure(limited)
