"""`JsonText`: JSON of bounded size, depth and number of items, counted before it is parsed."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Never

from mobius_infra.core import require
from mobius_infra.security._invalid import Check, InvalidInputError, fits_size
from mobius_infra.security._text import require_size

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
# Beyond the largest float, and in a time that grows with the square of the digits.
_LONG_NUMBER = re.compile("[0-9]{310}")
_LOST = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonText(Check):
    """Text or bytes of JSON (RFC 8259), returned as what it says.

    Besides what is too much, it refuses what parsers differ on: a name twice in one object, `NaN`
    and infinities, halves of characters, a byte order mark.

    Args:
        most_bytes: of the text in UTF-8.
        deepest: arrays and objects in one another.
        most_items: values in arrays and objects in all.

    Raises:
        ConfigurationError: for a bound that can't be.
    """

    most_bytes: int = 65_536
    deepest: int = 32
    most_items: int = 10_000

    def __post_init__(self) -> None:
        require_size("most_bytes", self.most_bytes, 1)
        require_size("deepest", self.deepest, 1)
        require_size("most_items", self.most_items, 1)
        # The parser calls itself for each level.
        require(self.deepest <= 200, "deepest", self.deepest, "200 or less")

    def __call__(self, value: object) -> Any:
        """Return what the JSON says.

        Raises:
            InvalidInputError: if it is too much, or not JSON.
        """
        if isinstance(value, bytes):
            if len(value) > self.most_bytes:
                saw = f"{len(value)} bytes"
                raise InvalidInputError("bytes", saw, f"of {self.most_bytes} bytes at most")
            try:
                value = value.decode()
            except UnicodeDecodeError:
                raise InvalidInputError("encoding", "bytes that are no UTF-8", "UTF-8") from None
        return Check.__call__(self, value)

    def _check(self, value: str) -> Any:
        fits_size(value, self.most_bytes, self.most_bytes)
        self._count(value)
        try:
            said = json.loads(
                value,
                object_pairs_hook=_object,
                parse_constant=_constant,
                parse_float=_float,
            )
        except InvalidInputError:
            raise
        except (ValueError, RecursionError):
            raise InvalidInputError("syntax", "no JSON", "JSON") from None
        if _LOST.search(value):
            try:
                json.dumps(said, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise InvalidInputError("encoding", "half of a character", "text") from None
        return said

    def _count(self, text: str) -> None:
        bare = _STRING.sub("", text)
        opened = bare.count("[") + bare.count("{")
        if opened > self.deepest:
            self._bound_depth(_BRACKET.findall(bare))
        if opened + bare.count(",") > self.most_items:
            raise InvalidInputError("items", "more items", f"of {self.most_items} items at most")
        if _LONG_NUMBER.search(bare):
            raise InvalidInputError("number", "a number of 310 digits", "of shorter numbers")

    def _bound_depth(self, brackets: list[str]) -> None:
        depth = 0
        for bracket in brackets:
            depth += 1 if bracket in "[{" else -1
            if depth > self.deepest:
                allowed = f"no more than {self.deepest} deep"
                raise InvalidInputError("depth", "arrays or objects too deep", allowed)


# Any: values of JSON.
def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidInputError("duplicate", "a name twice in one object", "without")
    return made


def _constant(_name: str) -> Never:
    raise InvalidInputError("number", "a number that JSON has not", "of finite numbers")


def _float(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise InvalidInputError("number", "a number that is too large", "of finite numbers")
    return number
