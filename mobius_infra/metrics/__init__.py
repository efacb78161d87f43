"""Numbers of every component, for Prometheus and for people."""

from mobius_infra.metrics._collector import MetricsCollector
from mobius_infra.metrics._moments import Moments, Window
from mobius_infra.metrics._rates import Rates
from mobius_infra.metrics._sketch import Sketch

__all__ = ["MetricsCollector", "Moments", "Rates", "Sketch", "Window"]
