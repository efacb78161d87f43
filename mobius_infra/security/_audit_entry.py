"""One entry of a trail: what may be in it, and its one encoding.

An entry is a line of JSON, in ASCII. Whatever could end a line, move a cursor or turn the direction
of writing is escaped: C0, DEL and C1, U+2028 and U+2029, bidirectional controls. Names are sorted,
but for `n`, the entry's place, which is first, and `mac`, which is last and of all before it.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Protocol
from uuid import UUID

from mobius_infra.security._audit_errors import RecordError

HIDDEN: Final = "[hidden]"
HIDDEN_NAMES: Final = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "accesskey",
    "privatekey", "signingkey", "authorization", "credential", "cookie", "mnemonic", "seedphrase",
    "recoverycode", "cvv", "cvc", "otp", "cardnumber",
)  # fmt: skip
"""Fields whose name has one of these in it are hidden; case and `_`, `-`, `.` do not matter."""

_MAX_DEPTH = 16
_MAX_NAMES = 4_096
_MARKS = str.maketrans("", "", "_-. ")

# Any, in this module: JSON.
_CONVERTED: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (Enum, lambda value: value.value),
    (date, lambda value: value.isoformat()),  # and so `datetime`
    (Decimal, str),
    (UUID, str),
    (str, str),
    (int, int),
    (float, float),
)
"""What is recorded as something else; subclasses of the plain types as those."""
_encode: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


class TextRedactor(Protocol):
    """Takes out of a text what must not be written; `Redactor` is one."""

    def redact(self, text: str) -> str:
        """Return `text` without it."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it was read from a trail.

    Attributes:
        n: its place; the first is 0.
        at: when, in seconds since the epoch, by the clock of whoever wrote it.
        type: `record`, or what the trail says of itself: `segment`, `checkpoint`, `repaired`,
            `dropped`.
        action: what was done, such as `wallet.withdrawn`.
        actor: who did it.
        object: to what.
        outcome: how it ended, such as `ok`.
        subject: whose data it is.
        details: more of it.
        private: what was encrypted, as text; `AuditLog.reveal` decrypts it.
        line: the entry as it is in the file, without its end of line.
    """

    n: int
    at: float
    type: str
    action: str = ""
    actor: str = ""
    object: str = ""
    outcome: str = ""
    subject: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    private: str = ""
    line: bytes = field(default=b"", repr=False)


_FIELDS = ("n", "at", "type", "action", "actor", "object", "outcome", "subject", "private")


def encode(fields: Mapping[str, Any]) -> bytes:
    """Return the canonical encoding of what `Preparer` let through."""
    return _encode(fields).encode("ascii")


def parse(line: bytes) -> dict[str, Any]:
    """Read a line.

    Raises:
        ValueError: if it is no JSON object with a place.
    """
    try:
        found = json.loads(line)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict) or type(found.get("n")) is not int:
        raise ValueError("no entry")
    return found


def entry_of(line: bytes) -> Entry:
    """Read a line as an entry.

    Raises:
        ValueError: if it is none.
    """
    found = parse(line)
    texts = all(isinstance(found.get(name, ""), str) for name in _FIELDS[2:])
    if not texts or type(found.get("at")) not in (int, float):
        raise ValueError("no entry")
    return Entry(
        **{name: found[name] for name in _FIELDS if name in found},
        details=found.get("details", {}),
        line=line,
    )


class Preparer:
    """Makes of values what can be recorded, without what must be hidden.

    Args:
        hidden: names of fields that are hidden, or parts of them.
        redactor: what is asked for every text.
    """

    __slots__ = ("_hidden", "_known", "_redact")

    def __init__(self, hidden: Iterable[str], redactor: TextRedactor | None) -> None:
        self._hidden = tuple(_plain(name) for name in hidden)
        self._redact = redactor.redact if redactor is not None else None
        self._known: dict[str, bool] = {}  # the same names come again and again

    def text(self, value: object, where: str) -> str:
        """Return a text, without what must not be written.

        Raises:
            RecordError: if it is none.
        """
        if type(value) is not str:
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise RecordError(where, f"is {type(value).__name__}, and must be text")
            value = str(value)
        return value if self._redact is None else self._redact(value)

    def fields(self, value: Mapping[str, object], where: str, depth: int = 0) -> dict[str, Any]:
        """Return a mapping with nothing in it that must not be written.

        Raises:
            RecordError: naming the place of what can't be.
        """
        if not isinstance(value, Mapping):
            raise RecordError(where, f"is {type(value).__name__}, and must be a mapping")
        made: dict[str, Any] = {}
        for name, each in value.items():
            if type(name) is not str:
                raise RecordError(where, "has a name that is not text")
            hidden = self._known.get(name)
            if hidden is None:
                hidden = self._is_hidden(name)
            made[name] = HIDDEN if hidden else self._value(each, where, name, depth)
        return made

    def _value(self, value: Any, where: str, name: str, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return value if self._redact is None else self._redact(value)
        if kind is int or kind is bool or value is None or (kind is float and value - value == 0):
            return value  # a number minus itself is nothing, unless it is not finite
        return self._other(value, f"{where}.{name}" if name else where, depth)

    def _other(self, value: Any, where: str, depth: int) -> Any:
        if depth >= _MAX_DEPTH:
            raise RecordError(where, f"is nested more than {_MAX_DEPTH} deep")
        if isinstance(value, Mapping):
            return self.fields(value, where, depth + 1)
        if isinstance(value, list | tuple | set | frozenset):
            items = value if isinstance(value, list | tuple) else sorted(value, key=repr)
            return [self._value(each, where, str(at), depth + 1) for at, each in enumerate(items)]
        if isinstance(value, float) and not math.isfinite(value):
            raise RecordError(where, "is no finite number")
        for kind, convert in _CONVERTED:
            if isinstance(value, kind):
                return self._value(convert(value), where, "", depth + 1)
        raise RecordError(where, f"is {type(value).__name__}; give text, numbers, lists, mappings")

    def _is_hidden(self, name: str) -> bool:
        plain = _plain(name)
        hidden = any(part in plain for part in self._hidden)
        if len(self._known) < _MAX_NAMES:
            self._known[name] = hidden
        return hidden


def _plain(name: str) -> str:
    return name.translate(_MARKS).casefold()
