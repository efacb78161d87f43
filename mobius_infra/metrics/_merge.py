"""One view of many workers: what adds up is added up, what does not stays each worker's own."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics._beside import gently
from mobius_infra.metrics._family import Buckets, Exemplar, Family, Labels, Quantiles, Series
from mobius_infra.metrics._names import Claims
from mobius_infra.metrics._sketch import Sketch

LASTING = ("counter", "histogram", "summary")
"""Kinds that say what happened. It did, whether or not the worker lives that saw it."""

OTHER = "other"

Value = float | Buckets | Quantiles


class Part(NamedTuple):
    """What one worker has to say.

    Attributes:
        worker: value of the label `worker` on its gauges; None of one that is dead.
        families: in no order.
    """

    worker: str | None
    families: Iterable[Family]


class Merged(NamedTuple):
    """What all workers have to say.

    Attributes:
        families: in order of appearance.
        clashes: names of families that were left out, of one worker at least: another uses the
            name otherwise, as happens while a new version is rolled out.
    """

    families: list[Family]
    clashes: list[str]


def merge(parts: Iterable[Part]) -> Merged:
    """Add up counters, histograms and summaries; keep gauges apart; leave out what died with one.

    Facts (info) are told once, if any living worker tells them. A series that has a label `worker`
    of its own has it renamed to `exported_worker`.
    """
    found: dict[str, tuple[Family, dict[Labels, Series]]] = {}
    clashes: list[str] = []
    for worker, families in parts:
        for family in gently(families):
            if worker is None and family.kind not in LASTING:
                continue
            first, series = found.setdefault(family.name, (family, {}))
            if first.kind != family.kind:
                clashes.append(family.name)
                continue
            for each in family.series:
                if family.kind in LASTING:
                    _add(series, each)
                else:
                    own = _marked(each, worker) if family.kind == "gauge" else each
                    series.setdefault(_key(own), own)
    claims, whole = Claims(()), []
    for name, (first, series) in found.items():
        if claims.take(name, first.kind, goes_on=False):
            whole.append(replace(first, series=tuple(series.values())))
        else:
            clashes.append(name)
    return Merged(whole, clashes)


def lasting(families: Iterable[Family], most: int) -> list[Family]:
    """Return what outlives its worker, with at most `most` series a family.

    Further series go into one whose labels are `other`, but for those that all have in common.
    Each generation of workers may bring labels of its own: without a bound they pile up.
    """
    kept = [family for family in families if family.kind in LASTING]
    return [_bounded(each, most) if len(each.series) > most else each for each in kept]


def _bounded(family: Family, most: int) -> Family:
    common = set.intersection(*(set(each.labels) for each in family.series))
    series: dict[Labels, Series] = {}
    for at, each in enumerate(family.series):
        if at >= most - 1:
            labels = [pair if pair in common else (pair[0], OTHER) for pair in each.labels]
            each = replace(each, labels=tuple(labels))  # noqa: PLW2901 - the same, elsewhere
        _add(series, each)
    return replace(family, series=tuple(series.values()))


def _marked(series: Series, worker: str | None) -> Series:
    labels = [(f"exported_{n}" if n == "worker" else n, value) for n, value in series.labels]
    return replace(series, labels=(*labels, ("worker", worker or "")))


def _key(series: Series) -> Labels:
    """Return what tells a series from others: another version may order labels otherwise."""
    return tuple(sorted(series.labels))


def _add(found: dict[Labels, Series], series: Series) -> None:
    at = _key(series)
    held = found.get(at)
    if held is None:
        found[at] = series
        return
    began = [each.created for each in (held, series) if each.created is not None]
    found[at] = Series(held.labels, _sum(held.value, series.value), min(began, default=None))


def _sum(one: Value, other: Value) -> Value:
    if isinstance(one, Buckets) and isinstance(other, Buckets):
        return _add_buckets(one, other)
    if isinstance(one, Quantiles) and isinstance(other, Quantiles):
        return _add_quantiles(one, other)
    assert isinstance(one, int | float)  # noqa: S101 - families of one kind
    assert isinstance(other, int | float)  # noqa: S101
    return one + other


def _add_buckets(one: Buckets, other: Buckets) -> Buckets:
    """Add what is in buckets of other bounds to the next larger of `one`'s: nothing is lost."""
    bounds = one.bounds
    counts = list(one.counts)
    for bound, count in zip(other.bounds, other.counts, strict=True):
        counts[bisect_left(bounds, bound)] += count
    exemplars: Sequence[Exemplar | None] = ()
    if one.exemplars or other.exemplars:
        newest: list[Exemplar | None] = [None] * len(bounds)
        for each in filter(None, (*one.exemplars, *other.exemplars)):
            at = bisect_left(bounds, each.value)
            held = newest[at]
            newest[at] = each if held is None or each.at > held.at else held
        exemplars = newest
    return Buckets(bounds, tuple(counts), one.total + other.total, tuple(exemplars))


def _add_quantiles(one: Quantiles, other: Quantiles) -> Quantiles:
    """Read the quantiles from both sketches as one; without sketches there are none."""
    count, total = one.count + other.count, one.total + other.total
    mine, its = one.sketch, other.sketch
    if mine is None or its is None:
        return Quantiles(count, total)
    both = Sketch(mine.relative_error, max_bins=mine.max_bins)
    try:
        both.merge(mine)
        both.merge(its)
    except ConfigurationError:  # of another relative error: from another version
        return Quantiles(count, total)
    asked = [q for q, _ in one.values or other.values]
    found = zip(asked, both.quantiles(asked), strict=True)
    return Quantiles(count, total, tuple((q, at) for q, at in found if at is not None), both)
