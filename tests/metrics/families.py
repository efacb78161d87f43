"""Families of every kind."""

import math

from mobius_infra.metrics._family import (
    Buckets,
    Exemplar,
    Family,
    Labels,
    Quantiles,
    Series,
)
from mobius_infra.metrics._sketch import Sketch

KIND: Labels = (("kind", "market"),)


def counter(value: float, labels: Labels = (), *, name: str = "orders") -> Family:
    return Family(name, "counter", "Orders placed", (Series(labels, value),))


def gauge(value: float, labels: Labels = (), *, name: str = "waiting") -> Family:
    return Family(name, "gauge", "Orders that wait", (Series(labels, value),))


def info(*labels: tuple[str, str]) -> Family:
    return Family("build", "info", "What runs", (Series(labels, 1.0),))


def histogram(
    *values: float, bounds: tuple[float, ...] = (1.0, 2.0, math.inf), labels: Labels = ()
) -> Family:
    counts = [0] * len(bounds)
    for value in values:
        counts[next(at for at, bound in enumerate(bounds) if value <= bound)] += 1
    buckets = Buckets(bounds, tuple(counts), math.fsum(values))
    return Family("took_seconds", "histogram", "Time", (Series(labels, buckets),), "seconds")


def summary(*values: float, labels: Labels = ()) -> Family:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    found = zip((0.5, 0.99), sketch.quantiles((0.5, 0.99)), strict=True)
    quantiles = tuple((q, value) for q, value in found if value is not None)
    whole = Quantiles(sketch.count, sketch.sum, quantiles, sketch)
    return Family("size_bytes", "summary", "Size", (Series(labels, whole),), "bytes")


EXEMPLAR = Exemplar((("trace_id", "4bf9"),), 0.5, 1_700_000_000.25)

EVERY_KIND = (
    counter(3, KIND),
    gauge(2.5, KIND),
    info(("version", "1.2")),
    Family(
        "took_seconds", "histogram", "Time", (
            Series(KIND, Buckets((1.0, math.inf), (1, 1), 3.5, (EXEMPLAR, None)), 1_700_000_000.0),
        ), "seconds",
    ),
    summary(1, 2, 3),
)  # fmt: skip
