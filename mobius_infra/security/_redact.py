"""Texts without what is personal or secret in them; log records too."""

import hmac
import logging
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from mobius_infra.core import require
from mobius_infra.security._pii import KINDS, Kind, find_personal

_SHORTEST_KEY = 16
_STANDARD = frozenset(vars(logging.makeLogRecord({})))


class Redactor:
    """Replaces what is personal or secret in a text by what it is.

        Redactor().redact("mail ada@example.com")  # "mail [email]"

    Args:
        kinds: what is looked for; `ip` is not, unless it is named.
        key: 16 bytes or more. With it a replacement has a pseudonym, such as `[email 3f9a02c1]`,
            which is the same for the same value, so that a person can be followed through a log and
            not be found out; not so a secret, of which nothing is told.

    Raises:
        ConfigurationError: for a kind that there is not, or a key too short.
    """

    __slots__ = ("_key", "_kinds")

    def __init__(self, kinds: Iterable[Kind] = KINDS, *, key: bytes | None = None) -> None:
        self._kinds = tuple(kinds)
        find_personal("", self._kinds)
        fits = key is None or len(key) >= _SHORTEST_KEY
        require(fits, "key", "***", f"{_SHORTEST_KEY} bytes or more")
        self._key = key

    def redact(self, text: str) -> str:
        """Return `text` with all of it replaced. Time is linear in its length."""
        parts, at = [], 0
        for kind, start, end in find_personal(text, self._kinds):
            parts += [text[at:start], self._instead(kind, text[start:end])]
            at = end
        return "".join([*parts, text[at:]]) if parts else text

    def _instead(self, kind: Kind, value: str) -> str:
        if self._key is None or kind == "secret":
            return f"[{kind}]"
        same = "".join(value.split()).lower().encode("utf-8", "surrogatepass")
        return f"[{kind} {hmac.new(self._key, same, sha256).hexdigest()[:8]}]"

    def __repr__(self) -> str:
        return f"Redactor({', '.join(self._kinds)})"


class RedactingFilter(logging.Filter):
    """Redacts log records: message and arguments, exceptions, stacks, and extra fields.

        handler.addFilter(RedactingFilter(Redactor()))

    Add it to handlers: a filter of a logger does not see the records of its children. A message is
    formatted here, once, and an exception is kept as text only. One that can not be formatted stays
    as it is in `msg`, redacted, without its arguments.

    Args:
        redactor: what redacts.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redact = redactor.redact
        self._format = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place; it is always let through."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a wrong format: the record is worth more than an error
            message = str(record.msg)
        record.msg, record.args = self._redact(message), ()
        if record.exc_info is not None and record.exc_info[0] is not None:
            record.exc_text = record.exc_text or self._format.formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = self._redact(record.exc_text)
        if record.stack_info:
            record.stack_info = self._redact(record.stack_info)
        for name in vars(record).keys() - _STANDARD:
            setattr(record, name, self._deep(getattr(record, name)))
        return True

    # Any: whatever was given as `extra`.
    def _deep(self, value: Any, depth: int = 4) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, bool | int | float | None):
            return value
        if depth and isinstance(value, dict):
            # With its name, by which a secret is known.
            return {name: self._field(name, each, depth) for name, each in value.items()}
        if depth and isinstance(value, list | tuple | set | frozenset):
            return [self._deep(each, depth - 1) for each in value]
        return self._redact(str(value))

    def _field(self, name: Any, value: Any, depth: int) -> Any:
        if isinstance(value, str) and self._redact(f"{name}={value}") != f"{name}={value}":
            found = self._redact(value)
            return found if found != value else "[secret]"
        return self._deep(value, depth - 1)
