"""Families of every kind, and any that there could be."""

import math

from hypothesis import strategies as st

from mobius_infra.metrics._family import (
    Buckets,
    Exemplar,
    Family,
    Kind,
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

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.floats() | st.integers() | st.just(2**64) | st.just(-(10**300))
labels = st.dictionaries(texts, texts, max_size=3).map(lambda found: tuple(found.items()))
exemplars = st.builds(Exemplar, labels, numbers, st.floats(0, 2e9))


@st.composite
def buckets(draw: st.DrawFn) -> Buckets:
    finite = st.floats(allow_nan=False, allow_infinity=False)
    bounds = (*sorted(draw(st.sets(finite, max_size=4))), math.inf)
    size = len(bounds)
    counts = draw(st.lists(st.integers(0, 2**60), min_size=size, max_size=size))
    some = draw(st.lists(st.none() | exemplars, min_size=size, max_size=size))
    return Buckets(bounds, tuple(counts), draw(numbers), tuple(some) if any(some) else ())


quantiles = st.builds(
    Quantiles,
    st.integers(0, 2**60),
    numbers,
    st.lists(st.tuples(st.floats(0, 1), numbers), max_size=3).map(tuple),
)
VALUES: dict[Kind, st.SearchStrategy[float | Buckets | Quantiles]] = {
    "counter": numbers,
    "gauge": numbers,
    "info": st.just(1.0),
    "histogram": buckets(),
    "summary": quantiles,
}


@st.composite
def families(draw: st.DrawFn) -> Family:
    kind = draw(st.sampled_from(sorted(VALUES)))
    created = st.none() | st.floats(0, 2e9)
    one = st.builds(Series, labels, VALUES[kind], created)
    series = draw(st.lists(one, max_size=3))
    return Family(draw(texts), kind, draw(texts), tuple(series), draw(texts))
