"""Numbers of every component, for Prometheus and for people."""

from mobius_infra.metrics._collector import MetricsCollector

__all__ = ["MetricsCollector"]
