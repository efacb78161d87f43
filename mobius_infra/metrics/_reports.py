"""What a collector says of itself."""

from dataclasses import dataclass

from mobius_infra.core import Event, Stats, counter, gauge
from mobius_infra.metrics._family import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class CardinalityExceeded(Event):
    """A metric had no room for a new label set. Told once for each metric.

    Attributes:
        metric: its name.
        max_series: that it may have.
        labels: the label set that was counted as `other`.
    """

    metric: str
    max_series: int
    labels: Labels


@dataclass(frozen=True, slots=True)
class MetricsStats(Stats):
    """What there is to collect."""

    declared: int = gauge("Metrics that were declared")
    watched: int = gauge("Components that are watched")
    label_sets: int = gauge("Label sets of the declared metrics")
    overflowed: int = counter("Times that a label set had no room")
    refused: int = counter("Observations that were no numbers to be taken")
    failures: int = counter("Times that a source could not be read")
