"""Makes records: redacted, encrypted where that is asked for, and encoded."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from mobius_infra.core import Clock, ConfigurationError
from mobius_infra.security._audit_entry import Entry, Preparer, TextRedactor, encode
from mobius_infra.security._audit_errors import RecordError
from mobius_infra.security._cipher import Cipher
from mobius_infra.security._subjects import SubjectKeys

# Any, in this module: JSON.


class Maker:
    """Makes records for one audit log; see there what its arguments are."""

    __slots__ = ("_cipher", "_clock", "_max_record", "_prepare", "_subjects")

    def __init__(
        self,
        hidden: Iterable[str],
        redactor: TextRedactor | None,
        subjects: SubjectKeys | None,
        cipher: Cipher | None,
        max_record: int,
        clock: Clock,
    ) -> None:
        self._prepare = Preparer(hidden, redactor)
        self._subjects, self._cipher = subjects, cipher
        self._max_record, self._clock = max_record, clock

    def make(
        self,
        action: str,
        actor: str | int,
        object: str | int,  # noqa: A002 - the field's word
        outcome: str,
        subject: str,
        details: Mapping[str, object] | None,
        private: str = "",
    ) -> bytes:
        """Return an encoded record.

        Raises:
            RecordError: naming the field that can't be recorded.
        """
        if type(action) is not str or not action:
            raise RecordError("action", "is no text, or empty")
        text = self._prepare.text
        fields: dict[str, Any] = {"at": self._clock.time(), "type": "record", "action": action}
        if actor != "":
            fields["actor"] = text(actor, "actor")
        if object != "":
            fields["object"] = text(object, "object")
        if outcome:
            fields["outcome"] = text(outcome, "outcome")
        if subject:
            fields["subject"] = _subject(subject)
        if details:
            fields["details"] = self._prepare.fields(details, "details")
        if private:
            fields["private"] = private
        return self._encoded(fields)

    async def encrypt(self, action: str, subject: str, private: Mapping[str, object]) -> str:
        """Return what is private, encrypted by its subject's key, or by the cipher without one.

        Raises:
            RecordError: if it can't be recorded, or what encrypts it was not given.
            BackendError: if the subject's key could not be had.
        """
        data = self._encoded(self._prepare.fields(private, "private"))
        context = _context(action, subject)
        if subject:
            if self._subjects is None:
                raise RecordError("private", "has a subject, and no `subjects` were given")
            token = await self._subjects.encrypt(_subject(subject), data, context)
        elif self._cipher is not None:
            token = self._cipher.encrypt(data, context)
        else:
            raise RecordError("private", "has no subject, and no `cipher` was given")
        return b64encode(token).decode()

    async def reveal(self, entry: Entry) -> dict[str, Any]:
        """Return what is private in an entry; see `AuditLog.reveal`."""
        if not entry.private:
            return {}
        token, context = b64decode(entry.private), _context(entry.action, entry.subject)
        if entry.subject:
            if self._subjects is None:
                raise ConfigurationError("subjects", None, "given, to read what is private")
            data = await self._subjects.decrypt(entry.subject, token, context)
        else:
            if self._cipher is None:
                raise ConfigurationError("cipher", None, "given, to read what is private")
            data = self._cipher.decrypt(token, context)
        found: dict[str, Any] = json.loads(data)
        return found

    def _encoded(self, fields: Mapping[str, Any]) -> bytes:
        try:
            body = encode(fields)
        except (ValueError, TypeError):
            # Only a number with more digits than Python writes gets here.
            raise RecordError("details", "has a number that is too large") from None
        if len(body) > self._max_record:
            raise RecordError("the record", f"is {len(body)} bytes, and may be {self._max_record}")
        return body


def _context(action: str, subject: str) -> str:
    """Return what binds an encrypted value to its record: copied to another it is refused."""
    return json.dumps(["audit private v1", action, subject])


def _subject(subject: object) -> str:
    if type(subject) is not str or not subject.isprintable():
        raise RecordError("subject", "is no text, or has what can't be printed")
    return subject
