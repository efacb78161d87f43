"""Numbers of every component, for Prometheus and for people."""

from mobius_infra.metrics._active_users import (
    ActiveUsers,
    ActiveUsersStats,
)
from mobius_infra.metrics._anomaly import (
    Anomaly,
    anomalies,
    robust_scores,
)
from mobius_infra.metrics._beside import (
    ExportFailed,
)
from mobius_infra.metrics._cells import (
    Cell,
    Resolution,
)
from mobius_infra.metrics._change import (
    ChangePoint,
    Cusum,
    change_points,
)
from mobius_infra.metrics._collector import (
    MetricsCollector,
)
from mobius_infra.metrics._config import (
    MetricConfig,
    MetricsConfig,
)
from mobius_infra.metrics._distinct import (
    Distinct,
)
from mobius_infra.metrics._event_loop import (
    EventLoop,
    EventLoopStats,
)
from mobius_infra.metrics._family import (
    Buckets,
    Exemplar,
    Family,
    Quantiles,
    Series,
)
from mobius_infra.metrics._features import (
    FeatureUse,
    FeatureUseStats,
    TooManyFeatures,
)
from mobius_infra.metrics._funnel import (
    Funnel,
    FunnelStats,
)
from mobius_infra.metrics._garbage import (
    GarbageCollector,
    GarbageCollectorStats,
)
from mobius_infra.metrics._heavy import (
    Heavy,
    HeavyHitters,
)
from mobius_infra.metrics._history import (
    History,
    HistoryNotSaved,
    HistoryStats,
)
from mobius_infra.metrics._instruments import (
    Counter,
    Gauge,
    Histogram,
    Info,
    Summary,
)
from mobius_infra.metrics._json import (
    Snapshot,
    from_json,
    json_schema,
    to_json,
)
from mobius_infra.metrics._labelled import (
    Cardinality,
    Labelled,
)
from mobius_infra.metrics._lines import (
    JsonLines,
    JsonLinesStats,
)
from mobius_infra.metrics._machine import (
    Machine,
    MachineStats,
)
from mobius_infra.metrics._moments import (
    Moments,
    Window,
)
from mobius_infra.metrics._process import (
    Process,
    ProcessStats,
)
from mobius_infra.metrics._rates import (
    Rates,
)
from mobius_infra.metrics._reports import (
    CardinalityExceeded,
    MetricsStats,
)
from mobius_infra.metrics._season import (
    Expected,
    Forecast,
    forecast,
)
from mobius_infra.metrics._series import (
    NotEnoughData,
    Point,
)
from mobius_infra.metrics._sketch import (
    Sketch,
)
from mobius_infra.metrics._sparkline import (
    sparkline,
)
from mobius_infra.metrics._telemetry import (
    OpenTelemetryExport,
    OpenTelemetryStats,
)
from mobius_infra.metrics._trend import (
    TimeLeft,
    Trend,
    time_left,
    trend,
)
from mobius_infra.metrics._workers import (
    Workers,
    WorkersStats,
)

__all__ = [
    "ActiveUsers",
    "ActiveUsersStats",
    "Anomaly",
    "Buckets",
    "Cardinality",
    "CardinalityExceeded",
    "Cell",
    "ChangePoint",
    "Counter",
    "Cusum",
    "Distinct",
    "EventLoop",
    "EventLoopStats",
    "Exemplar",
    "Expected",
    "ExportFailed",
    "Family",
    "FeatureUse",
    "FeatureUseStats",
    "Forecast",
    "Funnel",
    "FunnelStats",
    "GarbageCollector",
    "GarbageCollectorStats",
    "Gauge",
    "Heavy",
    "HeavyHitters",
    "Histogram",
    "History",
    "HistoryNotSaved",
    "HistoryStats",
    "Info",
    "JsonLines",
    "JsonLinesStats",
    "Labelled",
    "Machine",
    "MachineStats",
    "MetricConfig",
    "MetricsCollector",
    "MetricsConfig",
    "MetricsStats",
    "Moments",
    "NotEnoughData",
    "OpenTelemetryExport",
    "OpenTelemetryStats",
    "Point",
    "Process",
    "ProcessStats",
    "Quantiles",
    "Rates",
    "Resolution",
    "Series",
    "Sketch",
    "Snapshot",
    "Summary",
    "TimeLeft",
    "TooManyFeatures",
    "Trend",
    "Window",
    "Workers",
    "WorkersStats",
    "anomalies",
    "change_points",
    "forecast",
    "from_json",
    "json_schema",
    "robust_scores",
    "sparkline",
    "time_left",
    "to_json",
    "trend",
]
