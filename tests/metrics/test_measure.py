"""Decorators that time and count, whatever they decorate."""

import asyncio
import functools
import gc
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import Context, ContextVar
from typing import Any, assert_type

import prometheus_client
import pytest

from mobius_infra.core import ConfigurationError, Rejected
from mobius_infra.metrics import MetricsCollector
from mobius_infra.testing import ManualClock
from tests.metrics.reading import OPEN_METRICS, Found, read


@pytest.fixture
def metrics(manual_clock: ManualClock) -> MetricsCollector:
    return MetricsCollector(clock=manual_clock)


def took(found: Found, function: str, outcome: str = "ok") -> tuple[float, float]:
    """Return how many calls there were, and how long they took together."""
    at = f"function={__name__}.{function}", f"outcome={outcome}"
    return found["function_seconds_count", *at], found["function_seconds_sum", *at]


async def test_a_coroutine_is_timed_until_it_ends(
    metrics: MetricsCollector, manual_clock: ManualClock
) -> None:
    @metrics.timed
    async def fetch(key: str) -> str:
        manual_clock.tick(0.05)
        return key

    assert_type(await fetch("a"), str)
    assert await fetch(key="b") == "b"
    name = "test_a_coroutine_is_timed_until_it_ends.fetch"
    count, total = took(read(metrics), name)
    assert (count, round(total, 9)) == (2, 0.1)


async def test_a_timed_call_leaves_an_exemplar_by_which_it_is_found(
    metrics: MetricsCollector, caplog: pytest.LogCaptureFixture
) -> None:
    trace: ContextVar[str] = ContextVar("trace")

    @metrics.timed(exemplar=lambda: {"trace_id": trace.get()})
    async def fetch() -> None:
        trace.set("4bf92f35")

    @metrics.timed(exemplar=lambda: None)
    def plain() -> None: ...

    await fetch()
    plain()
    text = metrics.render("application/openmetrics-text")[1].decode()
    (line,) = [line for line in text.splitlines() if " # " in line]
    assert 'fetch",le="0.001",outcome="ok"} 1.0' in line
    assert '# {trace_id="4bf92f35"} 0.0' in line

    trace_less = metrics.timed(exemplar=lambda: {"trace_id": Context()[trace]})(plain)
    trace_less()  # what raises there changes nothing here,
    trace_less()
    assert [record.exc_info is not None for record in caplog.records] == [True]  # and is said once

    with pytest.raises(ConfigurationError, match="exemplar"):
        metrics.timed(exemplar={"trace_id": "a"})  # type: ignore[call-overload]


async def test_the_peers_decorator_times_the_making_of_a_coroutine_and_not_its_run(
    manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this one is for. If it fails, prometheus-client has learned it."""
    monkeypatch.setattr("prometheus_client.context_managers.default_timer", manual_clock.monotonic)
    registry = prometheus_client.CollectorRegistry()
    seconds = prometheus_client.Histogram("seconds", "doc", registry=registry)

    @seconds.time()
    async def fetch() -> None:
        manual_clock.tick(0.05)

    await fetch()
    assert registry.get_sample_value("seconds_count") == 1
    assert registry.get_sample_value("seconds_sum") == 0


def test_a_plain_function_is_timed(metrics: MetricsCollector, manual_clock: ManualClock) -> None:
    @metrics.timed
    def fetch(key: str, times: int = 1) -> int:
        manual_clock.tick(0.25)
        return len(key) * times

    assert_type(fetch("ab", times=2), int)
    assert took(read(metrics), "test_a_plain_function_is_timed.fetch") == (1, 0.25)


async def test_a_plain_function_that_returns_a_coroutine_has_that_timed(
    metrics: MetricsCollector, manual_clock: ManualClock
) -> None:
    async def inner(fail: bool) -> int:
        manual_clock.tick(0.5)
        if fail:
            raise ValueError
        return 7

    def outer(fail: bool) -> Coroutine[None, None, int]:
        return inner(fail)

    outer.__qualname__ = name = "outer"
    fetch = metrics.timed(metrics.counted(outer))
    call = fetch(False)
    assert inspect.iscoroutine(call)
    assert await call == 7
    with pytest.raises(ValueError):  # noqa: PT011 - it has no message
        await fetch(True)
    found = read(metrics)
    assert took(found, name) == (1, 0.5)
    assert took(found, name, "error") == (1, 0.5)
    assert found["function_calls_total", f"function={__name__}.{name}", "outcome=error"] == 1


async def test_a_plain_function_that_wraps_an_async_one_is_a_plain_function(
    metrics: MetricsCollector,
) -> None:
    async def inner() -> int:
        return 7

    @metrics.timed
    @functools.wraps(inner)
    def run() -> int:
        return 7

    assert run() == 7  # nothing to be awaited


class Turned(Rejected):
    pass


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError(), "error"),
        (TimeoutError(), "error"),
        (KeyboardInterrupt(), "error"),
        (asyncio.CancelledError(), "cancelled"),
        (Turned("full", name="x", retry_after=None), "rejected"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("sync", [True, False])
async def test_what_became_of_a_call_is_a_label(
    metrics: MetricsCollector, error: BaseException, outcome: str, sync: bool
) -> None:
    def fails() -> None:
        raise error

    async def fails_later() -> None:
        raise error

    plain: Callable[[], Any] = fails if sync else fails_later
    plain.__qualname__ = "fetch"
    fetch = metrics.timed(metrics.counted(metrics.in_flight(plain)))
    with pytest.raises(type(error)) as caught:
        await fetch() if not sync else fetch()
    assert caught.value is error
    found = read(metrics, OPEN_METRICS)
    assert took(found, "fetch", outcome)[0] == 1
    assert took(found, "fetch")[0] == 0
    assert found["function_calls_total", f"function={__name__}.fetch", f"outcome={outcome}"] == 1
    assert found["function_in_flight", f"function={__name__}.fetch"] == 0


async def test_a_call_that_is_cancelled_or_closed_is_cancelled(metrics: MetricsCollector) -> None:
    async def plain() -> None:
        await asyncio.get_running_loop().create_future()

    plain.__qualname__ = "wait"
    wait = metrics.timed(metrics.counted(metrics.in_flight(plain)))
    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert read(metrics)["function_in_flight", f"function={__name__}.wait"] == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    closed = wait()
    closed.send(None)
    closed.close()
    never_begun = wait()
    never_begun.close()
    found = read(metrics)
    assert took(found, "wait", "cancelled")[0] == 2
    assert found["function_calls_total", f"function={__name__}.wait", "outcome=cancelled"] == 2
    assert found["function_in_flight", f"function={__name__}.wait"] == 0


async def test_wrong_arguments_raise_what_they_would_and_leave_nothing_in_flight(
    metrics: MetricsCollector,
) -> None:
    @metrics.in_flight
    @metrics.counted(by="key", name="fetches")
    async def fetch(key: str) -> str:
        return key

    with pytest.raises(TypeError, match="unexpected keyword"):
        await fetch(kee="a")  # type: ignore[call-arg]
    found = read(metrics)
    assert [value for at, value in found.items() if at[0] == "function_in_flight"] == [0]
    assert [at[2:] for at in found if at[0] == "fetches_total"] == [
        ("key=unknown", "outcome=error")
    ]


async def test_calls_are_counted_by_their_arguments(metrics: MetricsCollector) -> None:
    class Order:
        def __init__(self, kind: str) -> None:
            self.kind = kind

    @metrics.counted(by=["order.kind", "region"], name="orders")
    async def place(order: Order, *rest: int, region: str = "eu", **more: int) -> Order:
        return order

    await place(Order("book"))
    await place(Order("a:b%"), region="us")
    await place(order=Order("book"), x=1)
    at = f"function={__name__}.test_calls_are_counted_by_their_arguments.place"
    found = read(metrics, OPEN_METRICS)
    assert found["orders_total", at, "order_kind=book", "outcome=ok", "region=eu"] == 2
    assert found["orders_total", at, "order_kind=a:b%", "outcome=ok", "region=us"] == 1


async def test_what_a_call_is_counted_by_may_be_a_function_that_may_fail(
    metrics: MetricsCollector, caplog: pytest.LogCaptureFixture
) -> None:
    @metrics.counted(by={"parity": lambda n: ["even", "odd"][n % 2], "n": "n"}, name="numbers")
    def take(n: Any) -> Any:
        return n

    for n in (1, 2, 3, "x", "y"):
        assert take(n) == n
    at = f"function={__name__}.test_what_a_call_is_counted_by_may_be_a_function_that_may_fail.take"
    found = read(metrics)
    assert found["numbers_total", at, "n=2", "outcome=ok", "parity=even"] == 1
    assert found["numbers_total", at, "n=x", "outcome=ok", "parity=unknown"] == 1
    assert caplog.text.count("the label parity") == 1


@pytest.mark.parametrize(
    "by", ["kee", "", "key-x", "key[0]", "key()", "__import__", "key.0", ["a"]]
)
def test_a_path_that_leads_nowhere_is_refused_when_decorating(
    metrics: MetricsCollector, by: str
) -> None:
    with pytest.raises(ConfigurationError):

        @metrics.counted(by=by, name="x")
        def fetch(key: str) -> str:
            return key


def test_by_needs_a_name_of_its_own(metrics: MetricsCollector) -> None:
    with pytest.raises(ConfigurationError, match="given where there is `by`"):
        metrics.counted(by="key", name="function_calls")


async def test_methods_of_every_kind_are_timed(metrics: MetricsCollector) -> None:
    class Shop:
        @metrics.timed
        async def place(self, n: int) -> int:
            return n

        @metrics.timed
        @staticmethod
        async def static(n: int) -> int:
            return n

        @classmethod
        @metrics.timed
        def class_(cls, n: int) -> int:
            return n

        @metrics.counted
        @classmethod
        def outside(cls, n: int) -> str:
            return f"{cls.__name__}{n}"

        @metrics.in_flight
        async def __call__(self, n: int) -> int:
            return n

    shop = Shop()
    assert_type(await shop.place(1), int)
    assert (await Shop.static(2), Shop.class_(3), await shop(4)) == (2, 3, 4)
    assert Shop.outside(5) == "Shop5"
    timed_object = metrics.timed(shop)
    assert inspect.iscoroutinefunction(timed_object)  # its __call__ is
    assert await timed_object(6) == 6
    found = read(metrics)
    for name in ("place", "static", "class_"):
        assert took(found, f"test_methods_of_every_kind_are_timed.Shop.{name}")[0] == 1
    assert inspect.iscoroutinefunction(Shop.place)
    assert Shop.place.__doc__ == Shop.place.__wrapped__.__doc__  # type: ignore[attr-defined]


def test_what_does_not_return_once_is_refused(metrics: MetricsCollector) -> None:
    def items() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    for bad in (items, later, int, 7, None.__class__):
        for decorate in (metrics.timed, metrics.counted, metrics.in_flight):
            with pytest.raises(ConfigurationError, match="what is decorated by"):
                decorate(bad)  # type: ignore[type-var]


def test_functions_share_a_metric_and_none_of_them_a_wrong_one(metrics: MetricsCollector) -> None:
    @metrics.timed(name="db", buckets=[1, 2])
    def one() -> None: ...

    @metrics.timed(name="db_seconds")
    def two() -> None: ...

    one(), two()
    counts = [at for at in read(metrics, OPEN_METRICS) if at[0] == "db_seconds_count"]
    assert len(counts) == 2
    with pytest.raises(ConfigurationError, match="db_seconds has its own"):
        metrics.timed(name="db", buckets=[1, 2])
    metrics.gauge("used", "doc")
    with pytest.raises(ConfigurationError, match="that of a counter labelled function, outcome"):
        metrics.counted(name="used")


def test_a_thousand_functions_have_room(metrics: MetricsCollector) -> None:
    for number in range(1_000):

        def plain() -> None: ...

        plain.__qualname__ = f"f{number}"
        metrics.timed(plain)()
    assert metrics.stats().overflowed == 0


async def test_nothing_is_left_behind(metrics: MetricsCollector) -> None:
    @metrics.timed
    @metrics.in_flight
    async def fetch() -> None:
        await asyncio.sleep(0)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await asyncio.gather(*(fetch() for _ in range(50)))
        gc.collect()
    found = read(metrics)
    name = "test_nothing_is_left_behind.fetch"
    assert found["function_in_flight", f"function={__name__}.{name}"] == 0
    assert took(found, name)[0] == 50
