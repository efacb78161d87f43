"""Events of other components as details of a record."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

_DEPTH = 8


def details_of(event: object) -> dict[str, Any]:  # Any: JSON
    """Return an event's fields. Nothing is refused: what is no JSON becomes text."""
    if not is_dataclass(event):
        return {"event": _plain(event, 0)}
    return {each.name: _plain(getattr(event, each.name), 0) for each in fields(event)}


def _plain(value: object, depth: int) -> Any:  # noqa: PLR0911 - a table of types, as it were
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, depth)
    if isinstance(value, int | float) and abs(value) < 1 << 64:  # neither infinite nor no number
        return value
    if depth < _DEPTH and isinstance(value, Mapping):
        return {str(name): _plain(each, depth + 1) for name, each in value.items()}
    if depth < _DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, depth + 1) for each in value]
    if depth < _DEPTH and is_dataclass(value):
        # By name, so that what is hidden by its name is hidden in it too.
        return {each.name: _plain(getattr(value, each.name), depth + 1) for each in fields(value)}
    return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
