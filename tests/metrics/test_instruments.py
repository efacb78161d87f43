"""What code adds to, and what it may not."""

import decimal
import fractions
import gc
import math
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import Buckets, MetricsCollector, Quantiles, _instruments
from mobius_infra.metrics._instruments import _PENDING
from tests.metrics.reading import OPEN_METRICS, families, read

BAD_STEPS = [-1, -0.001, math.nan, math.inf, -math.inf, 10**400, True, "1", None, 1j, []]


@pytest.fixture
def metrics() -> MetricsCollector:
    return MetricsCollector()


@pytest.fixture
def switching() -> Iterator[None]:
    """Let threads change as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("step", BAD_STEPS, ids=repr)
def test_a_counters_step_is_a_finite_number_not_below_0(
    metrics: MetricsCollector, step: float
) -> None:
    orders = metrics.counter("orders", "doc")
    orders.inc(2)
    with pytest.raises(ConfigurationError, match="a step of orders"):
        orders.inc(step)
    assert orders.value == 2


def test_steps_may_be_numbers_of_any_type(metrics: MetricsCollector) -> None:
    orders = metrics.counter("orders", "doc")
    orders.inc(decimal.Decimal("1.5"))  # type: ignore[arg-type]
    orders.inc(fractions.Fraction(1, 2))  # type: ignore[arg-type]
    assert (orders.value, type(orders.value)) == (2.0, float)


def test_a_gauge_goes_up_and_down_and_is_set(metrics: MetricsCollector) -> None:
    depth = metrics.gauge("depth", "doc")
    depth.set(5)
    depth.inc(2.5)
    depth.dec()
    assert depth.value == 6.5
    for bad in ("1", None, True, object()):
        for change in (depth.set, depth.inc, depth.dec):
            with pytest.raises(ConfigurationError, match="of depth is"):
                change(bad)  # type: ignore[arg-type]
    for value, text in ((math.nan, "nan"), (10**400, "inf"), (-(10**400), "-inf"), (2**63, "9.2")):
        depth.set(value)
        assert repr(read(metrics, OPEN_METRICS)["depth",]).startswith(text)


def test_a_gauge_may_ask_for_its_value(metrics: MetricsCollector) -> None:
    queue = [1, 2]
    asked = metrics.gauge("depth", "doc", read=lambda: len(queue))
    assert read(metrics)["depth",] == 2
    queue.append(3)
    assert read(metrics)["depth",] == 3
    asked.follow(None)
    assert read(metrics)["depth",] == 0


def test_a_callback_that_raises_is_left_out_alone_and_counted(metrics: MetricsCollector) -> None:
    rooms = metrics.gauge("rooms", "doc", labels=["at"])
    rooms.labels("a").set(1)
    rooms.labels("b").follow(lambda: 1 // 0)
    rooms.labels("c").follow(lambda: "many")  # type: ignore[arg-type, return-value]
    rooms.labels("d").set(4)
    found = read(metrics, OPEN_METRICS)
    assert [at for at in found if at[0] == "rooms"] == [("rooms", "at=a"), ("rooms", "at=d")]
    assert found["mobius_scrape_failures_total", "source=rooms"] == 2


def test_bounds_are_inclusive_and_the_last_is_infinite(metrics: MetricsCollector) -> None:
    sizes = metrics.histogram("sizes", "doc", buckets=[0, 1, 2])
    for value in (0, 0.5, 1, 1.0001, 2, 2.5, 1e100):
        sizes.observe(value)
    read_ = sizes.read()
    assert (read_.bounds, read_.counts) == ((0, 1, 2, math.inf), (1, 2, 2, 2))
    found = read(metrics, OPEN_METRICS)
    assert found["sizes_bucket", "le=1.0"] == 3
    assert found["sizes_bucket", "le=+Inf"] == found["sizes_count",] == 7


@pytest.mark.parametrize("kind", ["histogram", "summary"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, 1e300, 10**400], ids=repr)
def test_what_can_not_be_observed_is_counted_as_refused(
    metrics: MetricsCollector, kind: str, value: float
) -> None:
    sizes = getattr(metrics, kind)("sizes", "doc")
    sizes.observe(1)
    sizes.observe(value)
    assert sizes.refused == 1
    found = read(metrics, OPEN_METRICS)
    assert (found["sizes_count",], found["sizes_sum",]) == (1, 1)
    assert found["mobius_observations_refused_total", "metric=sizes"] == 1


def test_what_is_no_number_at_all_is_the_callers_mistake(metrics: MetricsCollector) -> None:
    for observe in (metrics.histogram("h", "doc").observe, metrics.summary("s", "doc").observe):
        with pytest.raises(ConfigurationError, match="an observation of"):
            observe("1")  # type: ignore[arg-type]
        observe(decimal.Decimal("0.5"))  # type: ignore[arg-type]
        observe(decimal.Decimal("NaN"))  # type: ignore[arg-type]


def test_a_histogram_of_negative_bounds_has_no_sum_in_prometheus(
    metrics: MetricsCollector,
) -> None:
    """OpenMetrics forbids it: the sum could fall."""
    degrees = metrics.histogram("degrees", "doc", buckets=[-10, 0, 10])
    degrees.observe(-20)
    degrees.observe(5)
    found = read(metrics, OPEN_METRICS)
    assert found["degrees_bucket", "le=-10.0"] == 1
    assert ("degrees_sum",) not in found
    assert degrees.read().total == -15


def test_exemplars_are_written_where_there_is_room_for_them(metrics: MetricsCollector) -> None:
    seconds = metrics.histogram("seconds", "doc", buckets=[1, 2])
    seconds.observe(0.5, {"trace_id": "a{},=\ud800b\r"})
    seconds.observe(1.5, {"trace_id": "x" * 121})  # one more than OpenMetrics allows
    seconds.observe(1.5, {"trace-id": "x"})
    for escaped in '"\\\n':
        seconds.observe(1.5, {"trace_id": escaped})
    seconds.observe(5, {"trace_id": "y" * 120})
    kind, body = metrics.render(OPEN_METRICS)
    (family,) = [each for each in families(body, kind) if each.name == "seconds"]
    kept = [sample.exemplar for sample in family.samples if sample.name == "seconds_bucket"]
    assert kept[0] is not None
    assert (kept[0].labels, kept[0].value) == ({"trace_id": "a{},=\ufffdb\ufffd"}, 0.5)
    assert kept[1] is None
    assert kept[2] is not None
    assert b"trace_id" not in metrics.render(None)[1]  # the older format has none


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=600))
def test_a_summary_tells_what_its_sketch_does(values: list[float]) -> None:
    sizes = MetricsCollector().summary("sizes", "doc", quantiles=[0, 0.5, 1])
    for value in values:
        sizes.observe(value)
    found = sizes.read()
    assert found.count == len(values)
    assert found.total == pytest.approx(sum(values))
    told = dict(found.values)
    assert (told[0], told[1]) == (min(values), max(values))
    middle = sorted(values)[(len(values) - 1) // 2]
    assert told[0.5] == pytest.approx(middle, rel=0.0101, abs=1e-300)
    assert found.sketch is not None
    assert found.sketch.count == len(values)


def test_a_summary_without_observations_has_no_quantiles(metrics: MetricsCollector) -> None:
    metrics.summary("sizes", "doc")
    found = read(metrics, OPEN_METRICS)
    assert found["sizes_count",] == 0
    assert not any("quantile" in part for at in found for part in at)


def test_facts_are_the_labels_of_a_1(metrics: MetricsCollector) -> None:
    build = metrics.info("build", "doc")
    build.set(version="1.2", commit=7)
    assert read(metrics, OPEN_METRICS)["build_info", "commit=7", "version=1.2"] == 1
    build.set(version="1.3")
    assert ("build_info", "version=1.3") in read(metrics)
    with pytest.raises(ConfigurationError, match="a label of build"):
        build.set(**{"a-b": 1})


def test_reprs(metrics: MetricsCollector) -> None:
    orders = metrics.counter("orders", "doc", labels=["kind"])
    orders.labels("book").inc(2)
    assert repr(orders.labels("book")) == "Counter('orders', {'kind': 'book'}, value=2)"
    assert repr(orders) == "Labelled(counter 'orders', labels=[kind], 1)"
    depth = metrics.gauge("depth", "doc")
    assert repr(depth) == "Gauge('depth', {}, value=0)"
    depth.follow(abs)  # type: ignore[arg-type]
    assert repr(depth) == "Gauge('depth', {}, follow=<built-in function abs>)"
    histogram, summary = metrics.histogram("h", "doc"), metrics.summary("s", "doc")
    histogram.observe(1)
    assert repr(histogram) == "Histogram('h', {}, count=1)"
    assert repr(summary) == "Summary('s', {}, count=0)"
    info = metrics.info("build", "doc")
    info.set(version="1")
    assert repr(info) == "Info('build', {'version': '1'})"


# What is added at the same time, or in the middle of something.


def in_threads(call: Callable[[], object], *, threads: int = 4, times: int = 3_000) -> None:
    def many() -> None:
        for _ in range(times):
            call()

    running = [threading.Thread(target=many) for _ in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()


@pytest.mark.usefixtures("switching")
def test_threads_that_add_together_lose_nothing(metrics: MetricsCollector) -> None:
    orders = metrics.counter("orders", "doc", labels=["kind"], max_series=40)
    depth = metrics.gauge("depth", "doc")
    seconds = metrics.histogram("seconds", "doc", buckets=[1, 2, 3])
    sizes = metrics.summary("sizes", "doc")
    kinds = random.Random(1)

    def add() -> None:
        orders.labels(kinds.randrange(60)).inc()
        depth.inc(1.0)
        seconds.observe(kinds.randrange(4))
        sizes.observe(1.0)

    in_threads(add)
    assert sum(each.value for each in orders.series()) == 12_000
    assert len(orders) <= 40 + 4
    assert depth.value == 12_000
    assert sum(seconds.read().counts) == 12_000
    found = sizes.read()
    assert (found.count, found.total) == (12_000, 12_000)


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("kind", ["histogram", "summary"])
def test_a_snapshots_sum_and_buckets_are_of_the_same_moment(
    metrics: MetricsCollector, kind: str
) -> None:
    seconds = getattr(metrics, kind)("seconds", "doc")
    done, seen = threading.Event(), []

    def look() -> None:
        while not done.is_set():
            found: Buckets | Quantiles = seconds.read()
            count = sum(found.counts) if isinstance(found, Buckets) else found.count
            seen.append((count, found.total))

    looking = threading.Thread(target=look)
    looking.start()
    while looking.is_alive() and len(set(seen)) <= 3:  # until it has seen it change
        in_threads(lambda: seconds.observe(1), times=2_000)
    done.set()
    looking.join()
    assert len(set(seen)) > 3
    assert all(count == total for count, total in seen)


def test_the_garbage_collectors_callbacks_may_add_and_never_wait(
    metrics: MetricsCollector,
) -> None:
    orders = metrics.counter("orders", "doc", labels=["phase"])
    sizes, seconds = metrics.summary("sizes", "doc"), metrics.histogram("seconds", "doc")
    called = 0

    def on_collection(phase: str, info: dict[str, int]) -> None:
        nonlocal called
        called += 1
        orders.labels(f"{phase}{called % 7}").inc()
        seconds.observe(1)
        for _ in range(_PENDING):  # enough for it to be taken in, here
            sizes.observe(1)

    thresholds = gc.get_threshold()
    gc.callbacks.append(on_collection)
    gc.set_threshold(5, 1, 1)
    try:
        for _ in range(20):
            metrics.render()
        for _ in range(300):
            sizes.observe(1)
            sizes.read()
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(on_collection)
    assert called > 100
    assert sum(each.value for each in orders.series()) == called
    assert sizes.read().count == called * _PENDING + 300


def test_signal_handlers_may_add_and_never_wait(metrics: MetricsCollector) -> None:
    sizes, orders = metrics.summary("sizes", "doc"), metrics.counter("orders", "doc")
    handled = 0

    def handle(number: int, frame: object) -> None:
        nonlocal handled
        handled += 1
        orders.inc()
        for _ in range(2 * _PENDING):
            sizes.observe(1)
        # Only now the next: on a slow machine, handlers would interrupt each other for ever.
        if handled < 50:
            signal.setitimer(signal.ITIMER_REAL, 0.001)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    added = 0
    try:
        while handled < 50:
            sizes.observe(1)
            orders.inc()
            added += 1
            sizes.read()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert orders.value == added + handled
    assert sizes.read().count == added + handled * 2 * _PENDING


def test_reading_a_summary_that_this_very_thread_is_writing_does_not_wait_for_ever(
    metrics: MetricsCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_instruments, "_PATIENCE", 0.01)
    sizes = metrics.summary("sizes", "doc")
    sizes.observe(1)
    with sizes._draining:
        sizes.observe(1)
        found = read(metrics)
    assert found["mobius_scrape_failures_total", "source=sizes"] == 1
    assert read(metrics)["sizes_count",] == 2
