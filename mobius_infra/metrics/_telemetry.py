"""All numbers, again and again, to an exporter of OpenTelemetry's."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mobius_infra.core import Clock, Stats, SystemClock, counter, import_extra, require
from mobius_infra.metrics._beside import Beside, Source, gently

if TYPE_CHECKING:
    from mobius_infra.metrics._otel import MetricExporter, Resource


@dataclass(frozen=True, slots=True)
class OpenTelemetryStats(Stats):
    """What became of the exports."""

    exports: int = counter("Times that the exporter took all numbers")
    failures: int = counter("Times that the numbers could not be collected or exported")


class OpenTelemetryExport:
    """Gives all numbers to an exporter of OpenTelemetry's at each interval, and at the end.

        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        async with OpenTelemetryExport(metrics, OTLPMetricExporter(), interval=60):
            ...

    Needs the extra `otel`. It stands beside the SDK's own meters and shares with them the exporter,
    the resource and the form of the data. It does not go by a reader of the SDK: that asks in a
    thread of its own, where components would be read while they change, and it has no place for
    histograms that are counted already.

    Everything is cumulative, so an export that fails costs nothing but time. It is counted, and
    said by the event `ExportFailed`. What has no time of its own began when this was made.

    Args:
        metrics: what to export.
        exporter: the SDK's; shut down at the end.
        resource: what the numbers are of; the SDK's default if None.
        interval: seconds from one export to the next.
        name: in its statistics, events and logs.
        clock: where time comes from.

    Raises:
        MissingExtraError: if OpenTelemetry is not installed.
        ConfigurationError: if the interval is not positive.
    """

    def __init__(
        self,
        metrics: Source,
        exporter: "MetricExporter",
        *,
        resource: "Resource | None" = None,
        interval: float = 60.0,
        name: str = "otel",
        clock: Clock | None = None,
    ) -> None:
        otel = import_extra(
            "mobius_infra.metrics._otel", feature="the OpenTelemetry export", extra="otel"
        )
        self.name = name
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._beside = Beside(name, interval, self._clock)
        self.events = self._beside.events
        self._send = otel.Send(exporter, resource, self._clock.time())
        self._entered = False
        self._exports = 0

    async def export(self) -> None:
        """Export now. What fails is logged and counted, and tried again next time."""
        self._exports += await self._beside.attempt(self._export)

    async def _export(self) -> None:
        families, at = await self._metrics.collect_async(), self._clock.time()
        await self._beside.run(lambda: self._send(gently(families), at))

    async def __aenter__(self) -> Self:
        require(not self._entered, "export", self.name, "entered once: the exporter is shut down")
        self._entered = True
        self._beside.start(self.export)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self._beside.stop(self.export)
        finally:
            await self._beside.close(self._send.shutdown)

    def stats(self) -> OpenTelemetryStats:
        """Return a snapshot of the counters."""
        return OpenTelemetryStats(self._exports, self._beside.failures)

    def __repr__(self) -> str:
        return f"OpenTelemetryExport({self.name!r}, exports={self._exports})"
