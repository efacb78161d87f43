"""Records in other programs' formats: JSON lines, CSV and CEF."""

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Final, Literal

from mobius_infra.core import require
from mobius_infra.security._audit_entry import Entry, encode

Format = Literal["jsonl", "csv", "cef"]

COLUMNS: Final = (
    "n", "time", "action", "actor", "object", "outcome", "subject", "details", "private",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")  # noqa: RUF001
# C0, DEL and C1, surrogates, line separators, and what turns the direction of writing.
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return a text in which what can't be seen is written as its number."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: such a one begins with `'`."""
    safe = visible(text)
    return f"'{safe}" if text.startswith(_FORMULA) or safe.lstrip().startswith(_FORMULA) else safe


def export_entries(entries: Iterable[Entry], form: Format) -> Iterator[str]:
    """Write records as lines, each with its end.

    `jsonl` is what is in the file, and can be verified; `csv` has a line of names first, and cells
    that begin as a formula does begin with `'`; `cef` is ArcSight's Common Event Format 0. In all
    of them control characters and those that turn the direction of writing are escaped.

    Args:
        entries: as `read_trail` gives them.
        form: which.

    Raises:
        ConfigurationError: for another.
    """
    require(form in ("jsonl", "csv", "cef"), "form", form, "'jsonl', 'csv' or 'cef'")
    if form == "jsonl":
        return (f"{entry.line.decode('ascii', 'replace')}\n" for entry in entries)
    return _csv(entries) if form == "csv" else (f"{_cef(entry)}\n" for entry in entries)


def _csv(entries: Iterable[Entry]) -> Iterator[str]:
    yield ",".join(COLUMNS) + "\r\n"
    for entry in entries:
        text = StringIO()
        csv.writer(text, quoting=csv.QUOTE_ALL).writerow(
            [str(entry.n), _time(entry), *(cell(each) for each in _texts(entry))]
        )
        yield text.getvalue()


def _texts(entry: Entry) -> tuple[str, ...]:
    details = encode(entry.details).decode() if entry.details else ""
    names = (entry.action, entry.actor, entry.object, entry.outcome, entry.subject)
    return (*names, details, entry.private)


def _cef(entry: Entry) -> str:
    severity = 6 if entry.outcome in ("failed", "denied") else 3
    header = (
        f"CEF:0|mobius_infra|audit|1|{_header(entry.action)}|{_header(entry.action)}|{severity}|"
    )
    extension = {
        "rt": str(round(entry.at * 1_000)),
        "externalId": str(entry.n),
        "suser": entry.actor,
        "outcome": entry.outcome,
        "cs1Label": "object" if entry.object else "",
        "cs1": entry.object,
        "cs2Label": "subject" if entry.subject else "",
        "cs2": entry.subject,
        "msg": encode(entry.details).decode() if entry.details else "",
    }
    return header + " ".join(f"{name}={_value(each)}" for name, each in extension.items() if each)


def _header(text: str) -> str:
    return visible(text.replace("\\", "\\\\").replace("|", "\\|"))


def _value(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace("=", "\\=")
    return visible(plain.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\r"))


def _time(entry: Entry) -> str:
    try:
        return datetime.fromtimestamp(entry.at, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return str(entry.at)
