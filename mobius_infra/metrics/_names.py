"""Names and labels that every format can bear: checked when declared, cleaned when they come.

One invalid label makes Prometheus drop a whole scrape, so nothing invalid may get that far.
"""

import re
from collections.abc import Collection, Sequence

from mobius_infra.core import require

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Control characters, but for the new line, which every format escapes; and halves of a character.
_UNFIT = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST = 256

SUFFIXES = ("_total", "_bucket", "_sum", "_count", "_created", "_info")
"""What formats add to a name; no declared name ends so."""


def clean(value: object) -> str:
    """Return `value` as a label's: what no format can bear replaced, at most 256 characters."""
    text = str(value)
    if not text.isprintable():
        text = _UNFIT.sub("\ufffd", text)
    return text[:_LONGEST]


def require_metric_name(name: str, *, utf8: bool) -> None:
    """Refuse a name that is none, or that would clash with what formats add.

    Raises:
        ConfigurationError: naming it.
    """
    whole = isinstance(name, str) and (_METRIC.fullmatch(name) or (utf8 and _is_text(name)))
    allowed = "letters, digits, _ and :, no digit first" + " (or any UTF-8 text)" * utf8
    require(bool(whole), "name", name, allowed)
    require(not name.endswith(SUFFIXES), "name", name, f"without {', '.join(SUFFIXES)} at its end")
    require(not name.startswith("mobius_"), "name", name, "without `mobius_`: that is for watched")


def require_label_names(
    names: Sequence[str], *, utf8: bool, reserved: Collection[str] = ()
) -> tuple[str, ...]:
    """Return label names, unless one is none, reserved, or given twice.

    Raises:
        ConfigurationError: naming it.
    """
    require(not isinstance(names, str), "labels", names, "a list of names")
    for name in names:
        whole = isinstance(name, str) and (_LABEL.fullmatch(name) or (utf8 and _is_text(name)))
        allowed = "letters, digits and _, no digit first" + " (or any UTF-8 text)" * utf8
        require(bool(whole) and not name.startswith("__"), "labels", name, allowed)
        require(name not in reserved, "labels", name, f"none of {', '.join(sorted(reserved))}")
    require(len(set(names)) == len(names), "labels", names, "different names")
    return tuple(names)


def _is_text(name: str) -> bool:
    return bool(name) and clean(name) == name and "\n" not in name
