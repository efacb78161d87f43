"""The decorators where nothing is wrong: a closed circuit.

The first of each group is the floor: a bare await of a no-op coroutine function.
"""

from typing import Any

import pytest

from benchmarks.conftest import Measure
from mobius_infra.breaker import CircuitBreaker


async def nothing(x: int = 1) -> int:
    return x


@pytest.mark.benchmark(group="breaker: closed circuit, success")
class TestBreaker:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(CircuitBreaker("b")(nothing))

    def test_circuitbreaker(self, measure: Measure) -> None:
        from circuitbreaker import circuit  # type: ignore[import-untyped]  # ships none

        guarded: Any = circuit(failure_threshold=5)(nothing)
        measure(guarded)
