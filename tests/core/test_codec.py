"""Codecs: what was stored comes back as it was, or is a CodecError; nothing else, ever."""

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mobius_infra.core import Codec, CodecError, ConfigurationError
from mobius_infra.core._codec import Format

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Price(BaseModel):
    coin: str
    usd: float


class OldPrice(BaseModel):
    coin: str


@dataclass
class Point:
    x: int
    tags: frozenset[str]


@pytest.mark.parametrize("form", ["json", "msgpack", "pickle"])
@given(value=JSON)
def test_untyped_values_come_back(form: Format, value: Any) -> None:
    codec: Codec[Any] = Codec(format=form, compress_above=20)
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_typed_values_come_back_as_their_type(form: Format) -> None:
    prices: Codec[list[Price]] = Codec(list[Price], format=form)
    points: Codec[Point] = Codec(Point, format=form)
    assert prices.decode(prices.encode([Price(coin="btc", usd=1.5)])) == [
        Price(coin="btc", usd=1.5)
    ]
    point = Point(1, frozenset({"a"}))
    assert points.decode(points.encode(point)) == point


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_value_of_an_older_shape_is_an_error_not_a_wrong_value(form: Format) -> None:
    old = Codec(OldPrice, format=form).encode(OldPrice(coin="btc"))
    with pytest.raises(CodecError, match="another shape"):
        Codec(Price, format=form).decode(old)


def test_the_first_byte_is_the_layout_version() -> None:
    data = Codec[Any]().encode(1)
    assert data[0] == 1
    with pytest.raises(CodecError, match="version"):
        Codec[Any]().decode(bytes([2]) + data[1:])


def test_a_value_of_another_format_is_refused() -> None:
    with pytest.raises(CodecError, match="another format"):
        Codec[Any](format="json").decode(Codec[Any](format="pickle").encode(1))


@given(st.binary(max_size=60))
def test_foreign_bytes_are_an_error_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(CodecError):
        Codec(Price).decode(data)


@given(st.data())
def test_damaged_values_are_an_error_or_still_valid(data: st.DataObject) -> None:
    codec = Codec(Price, compress_above=0)
    whole = bytearray(codec.encode(Price(coin="btc" * 20, usd=1.0)))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(CodecError):
        assert isinstance(codec.decode(bytes(whole)), Price)


def test_large_values_are_compressed_and_random_ones_left_alone() -> None:
    codec: Codec[str] = Codec(str)
    assert len(codec.encode("a" * 100_000)) < 1_000
    noise: Codec[Any] = Codec(format="msgpack")
    assert len(noise.encode(os.urandom(5_000))) < 5_020


def test_a_small_value_can_not_expand_past_the_bound() -> None:
    bomb = Codec(str).encode("a" * 1_000_000)
    with pytest.raises(CodecError, match="larger than 1000"):
        Codec(str, max_size=1_000).decode(bomb)
    with pytest.raises(CodecError, match="more than 1000"):
        Codec(str, max_size=1_000).encode("a" * 1_001)


def test_encryption_wraps_the_whole_value_and_is_required_back() -> None:
    def flip(data: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in data)

    secret: Codec[str] = Codec(str, encrypt=flip, decrypt=flip)
    data = secret.encode("attack at dawn")
    assert b"dawn" not in data
    assert secret.decode(data) == "attack at dawn"
    with pytest.raises(CodecError, match="encrypted"):
        Codec(str).decode(data)
    with pytest.raises(CodecError, match="encrypted"):
        secret.decode(Codec(str).encode("forged"))


def test_a_decryption_that_fails_is_a_value_that_can_not_be_read() -> None:
    def refuse(data: bytes) -> bytes:
        raise RuntimeError("bad tag")

    codec: Codec[str] = Codec(str, encrypt=bytes, decrypt=refuse)
    with pytest.raises(CodecError, match="bad tag"):
        codec.decode(codec.encode("x"))


@pytest.mark.parametrize("form", ["json", "msgpack", "pickle"])
def test_what_can_not_be_written_is_said_with_its_type(form: Format) -> None:
    with pytest.raises(CodecError, match="can't write a function"):
        Codec[Any](format=form).encode(lambda: None)


def test_infinity_survives_msgpack() -> None:
    codec: Codec[Any] = Codec(format="msgpack")
    assert codec.decode(codec.encode(math.inf)) == math.inf


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"format": "yaml"}, "format"),
        ({"compress_above": -1}, "compress_above"),
        ({"max_size": 0}, "max_size"),
        ({"encrypt": bytes}, "encrypt"),
        ({"decrypt": bytes}, "encrypt"),
    ],
)
def test_options_are_checked_at_construction(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Codec(**options)
    assert caught.value.field == field


def test_repr_names_the_format() -> None:
    assert repr(Codec[Any]()) == "Codec(format='json')"
