"""What is written is what a reader reads: prometheus-client's parser, and promtool where it is."""

import asyncio
import math
import re
from collections.abc import Iterable
from itertools import pairwise

import prometheus_client
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from mobius_infra.core import Stats
from mobius_infra.metrics import Buckets, MetricsCollector, Quantiles
from mobius_infra.metrics._names import label_value
from mobius_infra.testing import ManualClock
from tests.metrics.reading import OPEN_METRICS, UTF8, read, samples_of
from tests.metrics.test_collector import Pump

TEXT = st.text(st.characters(), max_size=20)
ACCEPTS = [None, OPEN_METRICS, UTF8, "text/plain; version=1.0.0; escaping=allow-utf-8"]


@pytest.mark.parametrize("accept", ACCEPTS)
@given(
    doc=TEXT.filter(bool),
    value=TEXT,
    number=st.floats(),
    service=TEXT,
    observed=st.lists(st.floats(0, 1e100), max_size=5),
    step=st.integers(0, 10**100),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_is_read_back(
    accept: str | None,
    doc: str,
    value: str,
    number: float,
    service: str,
    observed: list[float],
    step: int,
) -> None:
    metrics = MetricsCollector(service)
    extra = [f"service={label_value(service)}"] if service else []
    metrics.gauge("level", doc, labels=["at"]).labels(value).set(number)
    metrics.counter("steps", doc, labels=["at"]).labels(value).inc(step)
    seconds = metrics.histogram("seconds", doc, labels=["at"], buckets=[1, 1e6])
    sizes = metrics.summary("sizes", doc, labels=["at"])
    for each in observed:
        seconds.labels(value).observe(each, {"trace_id": value[:9]})
        sizes.labels(value).observe(each)
    metrics.info("build", doc).set(version=value)
    found = read(metrics, accept)
    at = f"at={label_value(value)}", *extra
    assert repr(found["level", *at]) == repr(number)
    assert found["steps_total", *at] == float(step)
    if observed:
        assert found["seconds_count", *at] == found["sizes_count", *at] == len(observed)
        assert found["seconds_bucket", at[0], "le=+Inf", *extra] == len(observed)
    assert ("build_info", *sorted([*extra, f"version={label_value(value)}"])) in found


@given(st.lists(st.tuples(TEXT, TEXT), max_size=8), TEXT.filter(bool))
@settings(max_examples=60, deadline=None)
@example(pairs=[("", "0:"), ("", ".."), ("x", "a.b")], base="0")
def test_utf8_names_are_read_back(pairs: list[tuple[str, str]], base: str) -> None:
    metrics = MetricsCollector(utf8_names=True)
    made: list[tuple[str, str]] = []
    for name, label in pairs:
        try:
            gauge = metrics.gauge(f"{base}{name}", "doc", labels=[label])
        except ValueError:
            continue
        gauge.labels("x").set(len(made))
        made.append((f"{base}{name}", label))
    found = read(metrics, UTF8)
    for number, (name, label) in enumerate(made):
        assert found[name, f"{label}=x"] == number
    read(metrics, OPEN_METRICS)  # no two names become one
    read(metrics)


def test_content_types_are_those_that_were_asked_for() -> None:
    metrics = MetricsCollector()
    wanted = {
        None: "text/plain; version=0.0.4; charset=utf-8",
        "": "text/plain; version=0.0.4; charset=utf-8",
        "*/*": "text/plain; version=0.0.4; charset=utf-8",
        "text/html, nonsense;;;q=": "text/plain; version=0.0.4; charset=utf-8",
        # What Prometheus 2.42 and 3.1 send.
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
        "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1": "application/openmetrics-text; "
        "version=1.0.0; charset=utf-8; escaping=underscores",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.2": (
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
        ),
    }
    assert {accept: metrics.render(accept)[0] for accept in wanted} == wanted


@pytest.mark.parametrize("version", ["x", "1.x", "2.<b>", "", "1.0.0 ", "=", "9" * 5000, "1.\xa0"])
def test_a_header_that_makes_no_sense_gets_what_can_be_read(version: str) -> None:
    for kind in ("application/openmetrics-text", "text/plain"):
        found, body = MetricsCollector().render(f"{kind}; version={version}")
        assert re.fullmatch(r"[a-z/-]+; version=[01]\.0\.[04]; charset=utf-8.*", found)
        assert "<" not in found
        samples_of(body, found)


@given(
    st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=9, unique=True),
    st.lists(st.floats(0, 1), max_size=5, unique=True),
)
@settings(max_examples=60, deadline=None)
@example(bounds=[-0.0, 5e-324, 1e-5, 1e6, 1e16, 123456789.0], quantiles=[0.0, 1e-7, 5e-324, 1.0])
def test_bounds_and_quantiles_are_written_as_readers_want_them(
    bounds: list[float], quantiles: list[float]
) -> None:
    metrics = MetricsCollector()
    sizes = metrics.histogram("sizes", "doc", buckets=sorted(bounds))
    told = metrics.summary("told", "doc", quantiles=quantiles)
    sizes.observe(1)
    told.observe(1)
    for accept in ACCEPTS:
        found = read(metrics, accept)
        written = [at[1].removeprefix("le=") for at in found if at[0] == "sizes_bucket"]
        assert sorted(map(float, written)) == [*sorted(bounds), math.inf]
        told_ = [at[1].removeprefix("quantile=") for at in found if at[0] == "told"]
        assert sorted(map(float, told_)) == sorted(quantiles)


def everything(metrics: MetricsCollector) -> Pump:
    """Fill a collector with some of all kinds, hundreds of series of some."""
    orders = metrics.counter("orders", 'Orders "placed"\\\n', labels=["kind", "at"])
    seconds = metrics.histogram("seconds", "Seconds", labels=["kind"], max_series=100_000)
    sizes = metrics.summary("sizes", "Sizes", labels=["kind"], max_series=100_000)
    for number in range(450):
        orders.labels(f"k{number}", 'a"\\\n').inc(number)
        seconds.labels(number % 50).observe(number / 100, {"trace_id": f"t{number}"})
        sizes.labels(number % 25).observe(number)
    levels = metrics.gauge("levels", "Levels", labels=["at"])
    for value in (math.nan, math.inf, -math.inf, 10**400, 2**63, 1e-320, -0.0):
        levels.labels(repr(value)[:20]).set(value)
    metrics.info("build", "Build").set(version="1")
    pump = Pump()
    pump.valves = {f"v{number}": number for number in range(450)}
    metrics.watch(pump)
    return pump


@pytest.mark.parametrize("accept", ACCEPTS)
async def test_in_slices_it_is_the_same_text(accept: str | None) -> None:
    metrics = MetricsCollector("bot")
    pump = everything(metrics)
    prometheus_client.Counter("foreign", "doc", registry=metrics.registry).inc()
    kind, body = metrics.render(accept)
    assert await metrics.render_async(accept) == (kind, body)
    # All of it is what prometheus-client itself would write of it, line by line.
    write, _ = prometheus_client.exposition.choose_encoder(accept or "")
    assert sorted(write(metrics.registry).splitlines()) == sorted(body.splitlines())
    assert body.count(b"# TYPE orders") == body.count(b"# TYPE mobius_pump_by_valve") == 1
    del pump


async def test_the_event_loop_gets_its_turns(manual_clock: ManualClock) -> None:
    """Each `stats()` takes 1 ms here; after 2 ms somebody else is let in."""

    class Slow(Pump):
        def stats(self) -> Stats:  # type: ignore[override]
            manual_clock.tick(0.001)
            return super().stats()

    metrics = MetricsCollector(clock=manual_clock)
    pumps = [Slow(f"p{number}") for number in range(100)]
    metrics.watch(*pumps)
    turns: list[float] = []

    async def other() -> None:
        while True:
            turns.append(manual_clock.monotonic())
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await metrics.render_async()
    task.cancel()
    gaps = [after - before for before, after in pairwise(turns)]
    assert len(turns) > 40
    assert max(gaps) < 0.0035


async def test_what_changes_between_two_slices_does_no_harm(manual_clock: ManualClock) -> None:
    metrics = MetricsCollector()
    orders = metrics.counter("orders", "doc", labels=["at"], max_series=10_000)
    for number in range(1_000):
        orders.labels(number).inc()
    pumps = [Pump(f"p{number}") for number in range(50)]
    metrics.watch(*pumps)
    parts = metrics._everything()
    next(parts)
    orders.labels("new").inc()
    orders.remove(999)
    metrics.unwatch(pumps[40])
    pumps.pop(41)
    metrics.watch(Pump("new"), keep=True)
    assert sum(part is not None for part in parts) > 5
    read(metrics, OPEN_METRICS)


def test_collect_gives_each_family_once_and_consistent() -> None:
    metrics = MetricsCollector("bot")
    pump = everything(metrics)
    families = metrics.collect()
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    by_name = {family.name: family for family in families}
    assert len(by_name["orders"].series) == 450
    assert len(by_name["mobius_pump_by_valve"].series) == 450
    histogram, summary = by_name["seconds"].series[0].value, by_name["sizes"].series[0].value
    assert isinstance(histogram, Buckets)
    assert len(histogram.counts) == len(histogram.bounds)
    assert isinstance(summary, Quantiles)
    assert by_name["orders"].series[0].created is not None
    assert by_name["orders"].series[0].labels[-1] == ("service", "bot")
    assert by_name["mobius_pump_level"].kind == "gauge"
    del pump


class Foreign(Collector):
    def __init__(self, *found: Metric | Exception) -> None:
        self.found = found

    def collect(self) -> Iterable[Metric]:
        for each in self.found:
            if isinstance(each, Exception):
                raise each
            yield each


def gauge_family(name: str, label: str = "x", value: float = 1) -> Metric:
    family = GaugeMetricFamily(name, "doc\r", labels=["at"])
    family.add_metric([label], value)
    return family


class TestForeignCollectors:
    def test_one_that_raises_does_not_end_the_scrape(self) -> None:
        metrics = MetricsCollector()
        metrics.gauge("mine", "doc").set(1)
        bad = Foreign(gauge_family("half"), RuntimeError("broken"))
        metrics.registry.register(bad)
        metrics.registry.register(Foreign(gauge_family("good")))
        found = read(metrics, OPEN_METRICS)
        assert found["mine",] == found["good", "at=x"] == 1
        assert ("half", "at=x") not in found  # what is broken is left out whole
        assert found["mobius_scrape_failures_total", "source=Foreign"] == 1
        text = generate_latest(metrics.registry)  # also for prometheus-client's own readers
        assert b"good" in text
        metrics.registry.unregister(bad)
        assert read(metrics)["mobius_scrape_failures_total", "source=Foreign"] == 2

    def test_their_labels_and_help_are_cleaned(self) -> None:
        metrics = MetricsCollector()
        metrics.registry.register(Foreign(gauge_family("rooms", "\r\0\ud800")))
        assert read(metrics, OPEN_METRICS)["rooms", "at=\ufffd\ufffd\ufffd"] == 1

    def test_a_name_that_is_taken_is_left_out(self) -> None:
        metrics, pump = MetricsCollector(), Pump()
        metrics.watch(pump)
        metrics.counter("orders", "doc")
        for name in ("orders_total", "mobius_pump_pumped", "mobius_events_total", "two", "two"):
            metrics.registry.register(Foreign(gauge_family(name)))
        found = read(metrics, OPEN_METRICS)
        assert found["orders_total",] == found["mobius_pump_pumped_total", "name=p"] == 0
        assert found["two", "at=x"] == 1
        failed = {at[1] for at in found if at[0] == "mobius_scrape_failures_total"}
        assert failed == {
            "source=orders_total", "source=mobius_pump_pumped", "source=mobius_events_total",
            "source=two",
        }  # fmt: skip

    def test_one_that_counts_nan_is_left_out(self) -> None:
        metrics = MetricsCollector()
        bad = prometheus_client.Counter("bad", "doc", registry=metrics.registry)
        bad.inc(math.nan)
        prometheus_client.Gauge("level", "doc", registry=metrics.registry).set(math.nan)
        prometheus_client.Histogram("h", "doc", registry=metrics.registry).observe(math.nan)
        found = read(metrics, OPEN_METRICS)
        assert ("bad_total",) not in found
        assert math.isnan(found["level",])
        failed = {at[1] for at in found if at[0] == "mobius_scrape_failures_total"}
        assert failed == {"source=bad", "source=h"}

    def test_what_can_not_be_written_is_left_out(self) -> None:
        metrics = MetricsCollector()
        odd = gauge_family("odd")
        odd.samples[0] = odd.samples[0]._replace(value="many")  # type: ignore[arg-type]
        metrics.registry.register(Foreign(odd, gauge_family("good")))
        found = read(metrics, OPEN_METRICS)
        assert found["good", "at=x"] == 1
        assert found["mobius_scrape_failures_total", "source=odd"] == 1


def test_samples_of_reads_both_formats() -> None:
    metrics = MetricsCollector()
    metrics.counter("orders", "doc").inc()
    for accept in ACCEPTS:
        kind, body = metrics.render(accept)
        assert samples_of(body, kind)["orders_total",] == 1
