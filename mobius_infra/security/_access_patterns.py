"""Permissions such as `wallet:read`, and patterns such as `wallet:*` that cover many.

A permission is one to many segments joined by colons. In a pattern, `*` stands for any one
segment; as the last segment, for one or more. So `wallet:*` covers `wallet:read` and
`wallet:read:archive`, `wallet:read` covers only itself, and `*` covers everything.
"""

import re
from typing import Final

from mobius_infra.core import require

Pattern = tuple[str, ...]

# ASCII only: a permission that looks like another must not be another.
_SEGMENT: Final = r"[A-Za-z0-9_.-]+"
_PERMISSION: Final = re.compile(f"{_SEGMENT}(?::{_SEGMENT})*")
_PATTERN: Final = re.compile(rf"(?:{_SEGMENT}|\*)(?::(?:{_SEGMENT}|\*))*")
_NAME: Final = re.compile(_SEGMENT)
_MAX: Final = 256  # characters


def parse_permission(text: object, field: str = "permission") -> Pattern:
    """Return the segments of a permission.

    Raises:
        ConfigurationError: if it is none; a pattern is none.
    """
    return _parse(text, field, _PERMISSION, "segments of A-Z a-z 0-9 _ . - joined by colons")


def parse_pattern(text: object, field: str) -> Pattern:
    """Return the segments of a pattern.

    Raises:
        ConfigurationError: if it is none; `*` stands for a whole segment, never for a part.
    """
    allowed = "segments of A-Z a-z 0-9 _ . -, or a whole `*`, joined by colons"
    return _parse(text, field, _PATTERN, allowed)


def require_name(text: object, field: str) -> str:
    """Return a role's or condition's name, which can be a segment of a permission."""
    return _parse(text, field, _NAME, "a name of A-Z a-z 0-9 _ . -")[0]


def _parse(text: object, field: str, form: re.Pattern[str], allowed: str) -> Pattern:
    good = isinstance(text, str) and len(text) <= _MAX and form.fullmatch(text) is not None
    require(good, field, text, f"{allowed}, of at most {_MAX} characters")
    return tuple(str(text).split(":"))


def covers(pattern: Pattern, other: Pattern) -> bool:
    """Say whether all that `other` covers, `pattern` covers too; a permission covers itself."""
    last = len(pattern) - 1
    for at, segment in enumerate(pattern):
        if at >= len(other):
            return False
        if segment == "*":
            if at == last:
                return True
            if other[at] == "*" and at == len(other) - 1:
                return False  # `other` may end here, where `pattern` needs more
        elif segment != other[at]:
            return False
    return len(pattern) == len(other)


def overlaps(one: Pattern, other: Pattern) -> bool:
    """Say whether there is a permission that both cover."""
    for at, (mine, its) in enumerate(zip(one, other, strict=False)):
        if mine == "*" and at == len(one) - 1:
            return True
        if its == "*" and at == len(other) - 1:
            return True
        if mine != its and "*" not in (mine, its):
            return False
    return len(one) == len(other)
