"""Any family that there could be."""

import math

from hypothesis import strategies as st

from mobius_infra.metrics._family import Buckets, Exemplar, Family, Kind, Quantiles, Series

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
