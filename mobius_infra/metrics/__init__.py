"""Numbers of every component, for Prometheus and for people."""

from mobius_infra.metrics._collector import MetricsCollector
from mobius_infra.metrics._sketch import Sketch

__all__ = ["MetricsCollector", "Sketch"]
