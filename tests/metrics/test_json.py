"""JSON says all that there is, in a form that any strict reader takes and that does not change."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import CodecError
from mobius_infra.metrics import from_json, json_schema, to_json
from mobius_infra.metrics._family import Family, Series
from mobius_infra.metrics._json import read_family, write_family
from tests.metrics.any_family import families
from tests.metrics.families import EVERY_KIND, counter, gauge, summary

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "metrics-v1.schema.json"
TWO = pytest.approx(2, rel=0.01)
SCHEMA = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text()))


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def same(one: object, other: object) -> bool:
    """Equal, where NaN equals NaN and 3 is not 3.0."""
    return repr(one) == repr(other)


@given(st.lists(families(), max_size=3), st.floats(0, 2e9))
def test_what_is_written_is_read_again(found: list[Family], at: float) -> None:
    written = to_json(found, at=at)
    assert same(from_json(written).families, tuple(found))
    assert from_json(written).at == at
    assert b"\n" not in written
    SCHEMA.validate(json.loads(written, parse_constant=refuse))


def test_the_form_is_the_one_that_is_documented() -> None:
    document = json.loads(to_json(EVERY_KIND, at=1_700_000_000.5))
    assert (document["version"], document["at"]) == (1, 1_700_000_000.5)
    assert {family["name"]: family["series"] for family in document["families"]} == {
        "orders": [{"labels": {"kind": "market"}, "value": 3}],
        "waiting": [{"labels": {"kind": "market"}, "value": 2.5}],
        "build": [{"labels": {"version": "1.2"}, "value": 1.0}],
        "took_seconds": [
            {
                "labels": {"kind": "market"},
                "bounds": [1.0, "Infinity"],
                "counts": [1, 1],
                "sum": 3.5,
                "exemplars": [
                    {"labels": {"trace_id": "4bf9"}, "value": 0.5, "at": 1_700_000_000.25},
                    None,
                ],
                "created": 1_700_000_000.0,
            }
        ],
        "size_bytes": [
            {
                "labels": {},
                "count": 3,
                "sum": 6.0,
                "quantiles": [
                    [0.5, TWO],
                    [0.99, TWO],
                ],
            }
        ],
    }
    first = {key: value for key, value in document["families"][0].items() if key != "series"}
    assert first == {"name": "orders", "kind": "counter", "doc": "Orders placed", "unit": ""}


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(PUBLISHED.read_text()) == json_schema()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, b'"NaN"'),
        (math.inf, b'"Infinity"'),
        (-math.inf, b'"-Infinity"'),
        (2**63 + 1, b"9223372036854775809"),
        (10**5000, b'"Infinity"'),  # Python itself refuses to write so many digits
        (-(10**309), b'"-Infinity"'),
        (-0.0, b"-0.0"),
        (5e-324, b"5e-324"),
    ],
    ids=["NaN", "inf", "-inf", "long", "very long", "-long", "-0", "tiny"],
)
def test_every_number_has_a_form(value: float, written: bytes) -> None:
    assert b'"value":' + written + b"}" in to_json([gauge(value)], at=0)


def test_half_a_character_does_not_spoil_the_rest() -> None:
    written = to_json([counter(1, (("user", "\ud800\n\x00é"),))], at=0)
    [found] = from_json(written.decode("utf-8")).families
    assert found.series[0].labels == (("user", "?\n\x00é"),)


def test_fields_that_are_not_known_are_skipped() -> None:
    document = json.loads(to_json(EVERY_KIND, at=0))
    document["new"] = document["families"][0]["new"] = 1
    for family in document["families"]:
        family["series"][0]["new"] = {}
    assert from_json(json.dumps(document)).families == EVERY_KIND


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"version":2,"at":0,"families":[]}',
        b'{"version":1,"at":true,"families":[]}',
        b'{"version":1,"at":"soon","families":[]}',
        to_json(EVERY_KIND, at=0)[:-1],
        to_json(EVERY_KIND, at=0).replace(b'"counts":[1,1]', b'"counts":[1]'),
        to_json(EVERY_KIND, at=0).replace(b'"counts":[1,1]', b'"counts":[1,-1]'),
        to_json(EVERY_KIND, at=0).replace(b"[1.0,", b'["NaN",'),
        to_json(EVERY_KIND, at=0).replace(b'"Infinity"]', b"7.0]"),
        to_json(EVERY_KIND, at=0).replace(b",null]", b"]"),
        to_json(EVERY_KIND, at=0).replace(b'"kind":"gauge"', b'"kind":"dial"'),
        to_json(EVERY_KIND, at=0).replace(b'"kind":"gauge"', b'"kind":"summary"'),
    ],
)
def test_what_is_no_metrics_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError, match="version 1"):
        from_json(data)


def test_a_sketch_goes_along_only_where_it_is_asked_for() -> None:
    family = summary(1, 2, 3)
    assert b"sketch" not in to_json([family], at=0)
    value = read_family(write_family(family, sketches=True)).series[0].value
    original = family.series[0].value
    assert value == original
    assert value.sketch.to_bytes() == original.sketch.to_bytes()  # type: ignore[union-attr]


def test_series_without_a_family_and_families_without_series_are_whole() -> None:
    empty = replace(counter(1), series=())
    twice = replace(counter(1), series=(Series((), 1), Series((("a", "b"),), 2)))
    assert from_json(to_json([empty, twice], at=0)).families == (empty, twice)
