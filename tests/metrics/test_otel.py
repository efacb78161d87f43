"""OpenTelemetry gets the same numbers, in its own form, over its own wire."""

import asyncio
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from mobius_infra.core import ConfigurationError, Event
from mobius_infra.metrics import ExportFailed, MetricsCollector, OpenTelemetryExport
from mobius_infra.metrics._family import Buckets, Exemplar, Family, Series
from mobius_infra.metrics._otel import to_sdk
from mobius_infra.testing import ManualClock
from tests.metrics.any_family import families
from tests.metrics.families import EVERY_KIND, counter, gauge, histogram, summary
from tests.metrics.worker import Numbers


class Kept(MetricExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.data: list[MetricsData] = []
        self.result: MetricExportResult | Exception = MetricExportResult.SUCCESS
        self.gate = threading.Event()
        self.gate.set()
        self.ended = False

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        assert self.gate.wait(60)
        if isinstance(self.result, Exception):
            raise self.result
        self.data.append(metrics_data)
        return self.result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self.ended = True


def metrics_of(data: MetricsData | None) -> dict[str, Metric]:
    assert data is not None
    [resource] = data.resource_metrics
    [scope] = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def converted(*found: Family) -> dict[str, Metric]:
    return metrics_of(to_sdk(found, Resource({}), 5.0, 7.0))


def told(metric: Metric) -> dict[str, object]:
    """What a metric of one point says, but for times, and the extremes that we can't know."""
    [point] = metric.data.data_points
    unlike = ("start_time_unix_nano", "time_unix_nano", "min", "max", "exemplars")
    said = {field: value for field, value in vars(point).items() if field not in unlike}
    said |= {field: list(value) for field, value in said.items() if isinstance(value, tuple)}
    shape = {key: value for key, value in vars(metric.data).items() if key != "data_points"}
    return {"unit": metric.unit, "doc": metric.description, **shape, **said}


def test_the_numbers_are_those_that_the_sdk_itself_would_have_made() -> None:
    values = [0.5, 1.0, 1.5, 7.0]
    reader = InMemoryMetricReader()
    view = View(
        instrument_name="took_seconds", aggregation=ExplicitBucketHistogramAggregation([1, 2])
    )
    meter = MeterProvider([reader], views=[view]).get_meter("theirs")
    orders = meter.create_counter("orders", description="Orders placed")
    took = meter.create_histogram("took_seconds", "s", "Time")
    for value in values:
        orders.add(2, {"kind": "market"})
        took.record(value, {"kind": "market"})
    kind = (("kind", "market"),)
    theirs = metrics_of(reader.get_metrics_data())
    ours = converted(counter(8, kind), histogram(*values, labels=kind))
    for name in ("orders", "took_seconds"):
        assert told(ours[name]) == told(theirs[name])


@given(st.lists(families(), max_size=3))
def test_whatever_there_is_passes_over_the_wire(found: list[Family]) -> None:
    """One number that the wire can't bear would take all others with it."""
    data = to_sdk(found, Resource({}), 5.0, 7.0)
    assert encode_metrics(data).IsInitialized()


def test_every_kind_has_its_place() -> None:
    found = converted(*EVERY_KIND)
    kinds = {name: type(metric.data).__name__ for name, metric in found.items()}
    assert kinds == {
        "orders": "Sum",
        "waiting": "Gauge",
        "build_info": "Sum",
        "took_seconds": "Histogram",
        "size_bytes": "Gauge",
        "size_bytes_count": "Sum",
        "size_bytes_sum": "Sum",
    }
    assert {name for name, each in found.items() if getattr(each.data, "is_monotonic", False)} == {
        "orders", "size_bytes_count",
    }  # fmt: skip
    assert (found["took_seconds"].unit, found["size_bytes"].unit) == ("s", "By")
    [since] = found["took_seconds"].data.data_points
    assert (since.start_time_unix_nano, since.time_unix_nano) == (1_700_000_000 * 10**9, 7 * 10**9)
    [since] = found["orders"].data.data_points
    assert since.start_time_unix_nano == 5 * 10**9
    assert [point.attributes for point in found["size_bytes"].data.data_points] == [
        {"quantile": "0.5"},
        {"quantile": "0.99"},
    ]


@pytest.mark.parametrize(
    ("trace", "span", "found"),
    [
        ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", True),
        ("4bf9", "00f067aa0ba902b7", False),
        ("4bf92f3577b34da6a3ce929d0e0e4736" * 2, "00f067aa0ba902b7", False),
        ("4bf92f3577b34da6a3ce929d0e0e4736", "", False),
    ],
)
def test_an_exemplar_names_its_trace(trace: str, span: str, found: bool) -> None:
    exemplar = Exemplar((("trace_id", trace), ("span_id", span), ("user", "7")), 0.5, 6.0)
    family = histogram(0.5)
    value = family.series[0].value
    assert isinstance(value, Buckets)
    value = replace(value, exemplars=(exemplar, None, None))
    family = replace(family, series=(Series((), value),))
    [point] = converted(family)["took_seconds"].data.data_points
    [written] = point.exemplars
    assert (written.value, written.time_unix_nano) == (0.5, 6 * 10**9)
    assert (written.trace_id == int(trace, 16)) is found
    assert written.filtered_attributes == ({"user": "7"} if found else dict(exemplar.labels))


async def test_it_exports_at_each_interval_and_at_the_end(manual_clock: ManualClock) -> None:
    numbers, kept = Numbers(), Kept()
    async with OpenTelemetryExport(numbers, kept, interval=60, clock=manual_clock) as export:
        for at in (1, 2):
            numbers.added = at
            await manual_clock.advance(60)
            await export._beside.run(bool)
            assert len(kept.data) == at
        assert not kept.ended
    values = [metrics_of(data)["orders"].data.data_points[0].value for data in kept.data]  # type: ignore[union-attr]
    assert values == [1, 2, 2]
    assert kept.ended
    assert (export.stats().exports, export.stats().failures) == (3, 0)
    assert repr(export) == "OpenTelemetryExport('otel', exports=3)"
    with pytest.raises(ConfigurationError, match="once"):
        await export.__aenter__()


async def test_an_exporter_that_fails_is_counted_said_once_and_tried_again() -> None:
    kept, events = Kept(), list[Event]()
    export = OpenTelemetryExport(Numbers(), kept)
    export.events.subscribe(events.append)
    for result in (MetricExportResult.FAILURE, OSError("no route"), MetricExportResult.SUCCESS):
        kept.result = result
        await export.export()
    assert (export.stats().exports, export.stats().failures) == (1, 2)
    [event] = events
    assert isinstance(event, ExportFailed)
    assert event.reason == "Kept could not export"


async def test_a_slow_exporter_does_not_hold_the_event_loop_up() -> None:
    kept = Kept()
    kept.gate.clear()
    export = OpenTelemetryExport(Numbers(), kept)
    running = asyncio.create_task(export.export())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    kept.gate.set()
    await running
    assert export.stats().exports == 1


def test_without_the_package_the_error_names_the_extra() -> None:
    program = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "from mobius_infra.core import MissingExtraError\n"
        "from mobius_infra.metrics import MetricsCollector, OpenTelemetryExport\n"
        "try:\n"
        "    OpenTelemetryExport(MetricsCollector(), None)\n"
        "except MissingExtraError as error:\n"
        "    print(error.extra)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "otel"


@pytest.mark.parametrize("interval", [0, -1, math.nan, math.inf])
def test_an_interval_that_makes_no_sense_is_refused(interval: float) -> None:
    with pytest.raises(ConfigurationError, match="interval"):
        OpenTelemetryExport(Numbers(), Kept(), interval=interval)


class Collected(BaseHTTPRequestHandler):
    """An OpenTelemetry collector that keeps what it is sent."""

    requests: list[ExportMetricsServiceRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append(ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportMetricsServiceRequest]]]:
    requests: list[ExportMetricsServiceRequest] = []
    handler = type("Handler", (Collected,), {"requests": requests})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/metrics", requests
        server.shutdown()
        thread.join()


async def test_a_collector_gets_it_by_otlp(
    collector: tuple[str, list[ExportMetricsServiceRequest]],
) -> None:
    endpoint, requests = collector
    metrics = MetricsCollector("bot")
    metrics.counter("orders", "Orders", labels=["kind"]).labels("book").inc(3)
    metrics.gauge("huge", "Too long for a whole number on the wire").set(2**80)
    metrics.histogram("took_seconds", "Took", buckets=[1, 2]).observe(1.5)
    exporter = OTLPMetricExporter(endpoint=endpoint, timeout=60)
    resource = Resource({"service.name": "bot"})
    async with OpenTelemetryExport(metrics, exporter, resource=resource):
        pass
    [request] = requests
    [resource_metrics] = request.resource_metrics
    assert resource_metrics.resource.attributes[0].value.string_value == "bot"
    [scope] = resource_metrics.scope_metrics
    found = {metric.name: metric for metric in scope.metrics}
    [orders] = found["orders"].sum.data_points
    assert orders.as_int == 3
    assert {each.key: each.value.string_value for each in orders.attributes} == {
        "kind": "book",
        "service": "bot",
    }
    assert found["huge"].gauge.data_points[0].as_double == 2.0**80
    [took] = found["took_seconds"].histogram.data_points
    assert (list(took.bucket_counts), list(took.explicit_bounds)) == ([0, 1, 0], [1, 2])
    assert not took.HasField("min")


def test_of_what_may_be_negative_the_sum_may_fall() -> None:
    assert converted(summary(-3))["size_bytes_sum"].data.is_monotonic is False  # type: ignore[union-attr]
    assert converted(gauge(math.nan))["waiting"].data.data_points
