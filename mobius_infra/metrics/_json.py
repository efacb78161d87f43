"""Families as JSON: one documented form for programs, for lines in a file, and among workers.

`_write` and the models beneath it are the two halves of version 1. A reader of version 1 must
skip fields that it doesn't know; what would mislead such a reader makes another version.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, TypeAdapter

from mobius_infra.core import CodecError
from mobius_infra.metrics._family import (
    Buckets,
    Exemplar,
    Family,
    Labels,
    Quantiles,
    Series,
)
from mobius_infra.metrics._sketch import Sketch

VERSION = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `from_json` read.

    Attributes:
        at: when it was written, in seconds since the epoch.
        families: what there was to export.
    """

    at: float
    families: tuple[Family, ...]


def to_json(families: Iterable[Family], *, at: float) -> bytes:
    """Write families as one JSON object in one line, without a new line at its end.

    Args:
        families: such as `MetricsCollector.collect()` returns.
        at: when they were read, in seconds since the epoch.
    """
    written = b",".join(map(write_family, families))
    return b'{"version":%d,"at":%s,"families":[%s]}' % (VERSION, _dumps(_number(at)), written)


def from_json(data: bytes | str) -> Snapshot:
    """Read what `to_json` wrote.

    Raises:
        CodecError: if it is something else, or of a version that is not known.
    """
    with _as_codec_error():
        document = _Document.model_validate_json(data)
        return Snapshot(float(document.at), tuple(each.read() for each in document.families))


def json_schema() -> dict[str, Any]:  # Any: a JSON Schema is any JSON
    """Return the JSON Schema (draft 2020-12) that all output of `to_json` conforms to."""
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, "title": "Metrics"} | _Document.model_json_schema()


def write_family(family: Family, *, sketches: bool = False) -> bytes:
    """Write one family as JSON; with what its summaries were read from, for others to merge."""
    series = [_write(each, sketches=sketches) for each in family.series]
    return _dumps(
        {
            "name": family.name,
            "kind": family.kind,
            "doc": family.doc,
            "unit": family.unit,
            "series": series,
        }
    )


def read_family(data: bytes) -> Family:
    """Read what `write_family` wrote.

    Raises:
        CodecError: if it is something else.
    """
    with _as_codec_error():
        return _FAMILY.validate_json(data).read()


@contextmanager
def _as_codec_error() -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # of pydantic, and ours of the models beneath
        raise CodecError("metrics", f"no metrics of version {VERSION}: {error}") from error


def _write(series: Series, *, sketches: bool) -> dict[str, object]:
    found: dict[str, object] = {"labels": dict(series.labels)}
    value = series.value
    if isinstance(value, Buckets):
        found["bounds"] = [_number(each) for each in value.bounds]
        found["counts"] = value.counts
        found["sum"] = _number(value.total)
        if any(value.exemplars):
            found["exemplars"] = [each and _exemplar(each) for each in value.exemplars]
    elif isinstance(value, Quantiles):
        found["count"] = value.count
        found["sum"] = _number(value.total)
        found["quantiles"] = [[_number(q), _number(each)] for q, each in value.values]
        if sketches and value.sketch is not None:
            found["sketch"] = value.sketch.to_bytes().decode()
    else:
        found["value"] = _number(value)
    if series.created is not None:
        found["created"] = _number(series.created)
    return found


def _exemplar(exemplar: Exemplar) -> dict[str, object]:
    return {
        "labels": dict(exemplar.labels),
        "value": _number(exemplar.value),
        "at": _number(exemplar.at),
    }


def _number(value: float) -> float | str:
    """Return a number as JSON can write it: a word for what is not finite."""
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer past all floats, where readers would give up
        value, finite = math.inf if value > 0 else -math.inf, False
    if finite:
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _dumps(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Half a character would make the whole unreadable for a strict reader.
    return text.encode("utf-8", "replace")


# What is read, and what the JSON Schema is made from.

Number: TypeAlias = StrictInt | StrictFloat | Literal["NaN", "Infinity", "-Infinity"]
Count: TypeAlias = Annotated[int, Field(strict=True, ge=0)]


def _float(number: Number) -> float:
    return number if isinstance(number, int) else float(number)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Exemplar(_Model):
    labels: dict[str, str]
    value: Number
    at: Number

    def read(self) -> Exemplar:
        return Exemplar(_labels(self.labels), _float(self.value), _float(self.at))


class _Series(_Model):
    labels: dict[str, str]
    created: Number | None = None

    def series(self, value: float | Buckets | Quantiles) -> Series:
        created = None if self.created is None else _float(self.created)
        return Series(_labels(self.labels), value, created)


class _Single(_Series):
    value: Number

    def read(self) -> Series:
        return self.series(_float(self.value))


class _Histogram(_Series):
    bounds: list[Number]
    counts: list[Count]
    sum: Number
    exemplars: list[_Exemplar | None] = []

    def read(self) -> Series:
        bounds = tuple(map(_float, self.bounds))
        ascending = all(low < high for low, high in pairwise(bounds))
        if not ascending or bounds[-1:] != (math.inf,) or len(bounds) != len(self.counts):
            raise ValueError("a histogram whose bounds and counts do not fit")
        if self.exemplars and len(self.exemplars) != len(bounds):
            raise ValueError("a histogram with exemplars of other buckets than its own")
        exemplars = tuple(None if each is None else each.read() for each in self.exemplars)
        return self.series(Buckets(bounds, tuple(self.counts), _float(self.sum), exemplars))


class _Summary(_Series):
    count: Count
    sum: Number
    quantiles: list[tuple[Number, Number]]
    sketch: str | None = None

    def read(self) -> Series:
        values = tuple((_float(q), _float(value)) for q, value in self.quantiles)
        sketch = None if self.sketch is None else Sketch.from_bytes(self.sketch.encode())
        return self.series(Quantiles(self.count, _float(self.sum), values, sketch))


class _Family(_Model):
    name: str
    doc: str
    unit: str = ""


class _Singles(_Family):
    kind: Literal["counter", "gauge", "info"]
    series: list[_Single]

    def read(self) -> Family:
        series = tuple(each.read() for each in self.series)
        return Family(self.name, self.kind, self.doc, series, self.unit)


class _Histograms(_Family):
    kind: Literal["histogram"]
    series: list[_Histogram]

    def read(self) -> Family:
        series = tuple(each.read() for each in self.series)
        return Family(self.name, self.kind, self.doc, series, self.unit)


class _Summaries(_Family):
    kind: Literal["summary"]
    series: list[_Summary]

    def read(self) -> Family:
        series = tuple(each.read() for each in self.series)
        return Family(self.name, self.kind, self.doc, series, self.unit)


_AnyFamily: TypeAlias = Annotated[_Singles | _Histograms | _Summaries, Field(discriminator="kind")]
_FAMILY: TypeAdapter[_AnyFamily] = TypeAdapter(_AnyFamily)


class _Document(_Model):
    version: Literal[1]
    at: Number
    families: list[_AnyFamily]


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(labels.items())
