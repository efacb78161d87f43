"""Numbers of every component, for Prometheus and for people."""

from mobius_infra.metrics._active_users import ActiveUsers, ActiveUsersStats
from mobius_infra.metrics._anomaly import Anomaly, anomalies, robust_scores
from mobius_infra.metrics._cells import Cell, Resolution
from mobius_infra.metrics._change import ChangePoint, Cusum, change_points
from mobius_infra.metrics._collector import MetricsCollector
from mobius_infra.metrics._distinct import Distinct
from mobius_infra.metrics._event_loop import EventLoop, EventLoopStats
from mobius_infra.metrics._features import FeatureUse, FeatureUseStats, TooManyFeatures
from mobius_infra.metrics._funnel import Funnel, FunnelStats
from mobius_infra.metrics._garbage import GarbageCollector, GarbageCollectorStats
from mobius_infra.metrics._history import History, HistoryNotSaved, HistoryStats
from mobius_infra.metrics._machine import Machine, MachineStats
from mobius_infra.metrics._moments import Moments, Window
from mobius_infra.metrics._process import Process, ProcessStats
from mobius_infra.metrics._rates import Rates
from mobius_infra.metrics._season import Expected, Forecast, forecast
from mobius_infra.metrics._series import NotEnoughData, Point
from mobius_infra.metrics._sketch import Sketch
from mobius_infra.metrics._sparkline import sparkline
from mobius_infra.metrics._trend import TimeLeft, Trend, time_left, trend

__all__ = [
    "ActiveUsers",
    "ActiveUsersStats",
    "Anomaly",
    "Cell",
    "ChangePoint",
    "Cusum",
    "Distinct",
    "EventLoop",
    "EventLoopStats",
    "Expected",
    "FeatureUse",
    "FeatureUseStats",
    "Forecast",
    "Funnel",
    "FunnelStats",
    "GarbageCollector",
    "GarbageCollectorStats",
    "History",
    "HistoryNotSaved",
    "HistoryStats",
    "Machine",
    "MachineStats",
    "MetricsCollector",
    "Moments",
    "NotEnoughData",
    "Point",
    "Process",
    "ProcessStats",
    "Rates",
    "Resolution",
    "Sketch",
    "TimeLeft",
    "TooManyFeatures",
    "Trend",
    "Window",
    "anomalies",
    "change_points",
    "forecast",
    "robust_scores",
    "sparkline",
    "time_left",
    "trend",
]
