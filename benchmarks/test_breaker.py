"""The circuit breaker: what a call costs while it is closed and while it is open, and its bytes.

The first of each group is the floor: a bare await of a no-op coroutine function, or raising and
catching the exception that a rejection is.
"""

import gc
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

import pytest

from benchmarks.conftest import Measure
from mobius_infra.breaker import CircuitBreaker, CircuitOpenError, KeyedBreaker, Seconds
from mobius_infra.breaker._window import TimeWindow


async def nothing(x: int = 1) -> int:
    return x


class OurError(Exception):
    pass


async def broken() -> int:
    raise OurError


@pytest.mark.benchmark(group="breaker: closed circuit, success")
class TestClosed:
    def test_bare_await(self, measure: Measure) -> None:
        measure(nothing)

    def test_mobius_infra(self, measure: Measure) -> None:
        measure(CircuitBreaker("b")(nothing))

    def test_mobius_infra_window_of_seconds(self, measure: Measure) -> None:
        measure(CircuitBreaker("b", window=Seconds(30))(nothing))

    def test_mobius_infra_slow_rule(self, measure: Measure) -> None:
        measure(CircuitBreaker("b", slow_rate=0.5, slow_after=1.0)(nothing))

    def test_mobius_infra_failed_if(self, measure: Measure) -> None:
        measure(CircuitBreaker("b", failed_if=lambda result: result < 0)(nothing))

    def test_mobius_infra_block(self, measure: Measure) -> None:
        breaker = CircuitBreaker("b")

        async def block() -> int:
            async with breaker:
                return await nothing()

        measure(block)

    def test_mobius_infra_by_key(self, measure: Measure) -> None:
        guarded = KeyedBreaker("b", key="x")(nothing)
        measure(lambda: guarded(1))

    def test_circuitbreaker(self, measure: Measure) -> None:
        from circuitbreaker import circuit  # type: ignore[import-untyped]  # ships none

        guarded: Any = circuit(failure_threshold=5)(nothing)
        measure(guarded)

    def test_purgatory(self, measure: Measure) -> None:
        from purgatory import AsyncCircuitBreakerFactory

        measure(AsyncCircuitBreakerFactory()("b")(nothing))

    def test_aiobreaker(self, measure: Measure) -> None:
        import aiobreaker  # type: ignore[import-untyped]  # ships none

        guarded: Any = aiobreaker.CircuitBreaker()(nothing)
        measure(guarded)


@pytest.mark.benchmark(group="breaker: open circuit, a rejection raised and caught")
class TestOpen:
    def test_the_exception_alone(self, measure: Measure) -> None:
        async def raised() -> None:
            raise CircuitOpenError("b", "open", 1.0)

        measure(caught(raised, CircuitOpenError))

    def test_mobius_infra(self, measure: Measure) -> None:
        breaker = CircuitBreaker("b")
        breaker.isolate()
        measure(caught(breaker(nothing), CircuitOpenError))

    def test_circuitbreaker(self, measure: Measure) -> None:
        from circuitbreaker import CircuitBreakerError, circuit

        guarded: Any = circuit(failure_threshold=1, recovery_timeout=1000)(broken)
        measure(caught(guarded, (CircuitBreakerError, OurError)))

    def test_aiobreaker(self, measure: Measure) -> None:
        import aiobreaker

        guarded: Any = aiobreaker.CircuitBreaker(fail_max=1)(broken)
        measure(caught(guarded, (aiobreaker.CircuitBreakerError, OurError)))


def caught(func: Callable[[], Any], errors: Any) -> Callable[[], Any]:
    async def call() -> None:
        with suppress(errors):
            await func()

    return call


Record = Callable[[str, str], None]


def bytes_each(make: Callable[[int], object], number: int = 2_000) -> float:
    """Return the bytes that each of `number` objects takes, kept alive together."""
    kept: list[object] = [None] * number
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for each in range(number):
        kept[each] = make(each)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / number


def test_bytes(record_figure: Record) -> None:
    record_figure("an idle breaker", f"{bytes_each(lambda n: CircuitBreaker('b')):,.0f} B")
    keyed = KeyedBreaker("b", key="x")
    keys = [f"host-{number}.example.com" for number in range(2_000)]
    record_figure("a key", f"{bytes_each(lambda n: keyed.breaker(keys[n])):,.0f} B")
    timed = KeyedBreaker("b", key="x", window=Seconds(30))
    each = bytes_each(lambda n: timed.breaker(keys[n]))
    record_figure("a key with a window of seconds", f"{each:,.0f} B")


def test_a_time_windows_cost_is_flat_in_its_traffic(record_figure: Record) -> None:
    """A ring of buckets: a million calls in it cost as much as a hundred."""
    for traffic in (100, 10_000, 1_000_000):
        window = TimeWindow(30.0, 10)
        size = tracemalloc_of(window, traffic)
        best = float("inf")
        for _ in range(20):
            begin = perf_counter()
            for _ in range(1_000):
                window.good(29.0)
            best = min(best, perf_counter() - begin)
        figure = f"{best * 1e6:.0f} ns a call, grew {size:,.0f} B"
        record_figure(f"{traffic:,} calls in the window", figure)


def tracemalloc_of(window: TimeWindow, traffic: int) -> int:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(traffic):
        window.bad(29.0 * number / traffic, failed=number % 3 == 0, slow=False)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before
