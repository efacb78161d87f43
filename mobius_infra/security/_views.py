"""The ways in which one text may be read by what comes after: raw, decoded, normalised.

Whoever receives a text may decode it again: a browser its entities, a web server its percent
signs, a database driver its full-width letters. Each such reading is a view. They are few, and none
loses anything: nothing is folded to ASCII, nothing is removed.
"""

import html
import re
import unicodedata
from typing import NamedTuple
from urllib.parse import unquote

# NFKC makes up to 18 characters of one (U+FDFA), so what goes in is bounded before it, and what
# comes out after it: four times as long only if most of the text is such characters.
LONGEST = 16_384

# `html.unescape` fails on numbers of more than 4,300 digits: it only gets what has this shape.
_ENTITY = re.compile(
    r"&(?:#0*+(?:(\d{1,7})|[xX]0*+([0-9a-fA-F]{1,6}));?+|([A-Za-z][A-Za-z0-9]{1,31}+;?+))"
)
_WIDE = re.compile(r"%[uU]([0-9a-fA-F]{4})")


class View(NamedTuple):
    """One reading of a text.

    Attributes:
        name: `raw`, `percent`, `percent-twice`, `entities` or `nfkc`.
        text: what it says, read so.
    """

    name: str
    text: str


def views(text: str) -> tuple[View, ...]:
    """Return the readings of `text` that differ from one another, the raw one first.

    Each is made from the one before it, so that layers come off in the order in which attackers
    put them on. Text beyond `LONGEST` characters is not read at all: refuse it first.
    """
    text = text[:LONGEST]
    found = [View("raw", text)]
    if "%" in text or ("+" in text and " " not in text):
        once = percent_decoded(text)
        _add(found, "percent", once)
        if "%" in once:
            _add(found, "percent-twice", percent_decoded(once))
    if "&" in found[-1].text:
        # Twice, for `&amp;lt;`: what is shown in one page is often put into another.
        once = _ENTITY.sub(_entity, found[-1].text)
        _add(found, "entities", _ENTITY.sub(_entity, once) if "&" in once else once)
    if not text.isascii() or not found[-1].text.isascii():
        _add(found, "nfkc", unicodedata.normalize("NFKC", found[-1].text)[: 4 * LONGEST])
    return tuple(found)


def percent_decoded(text: str) -> str:
    """Undo URL encoding once, `%uXXXX` of old servers too; bytes that are no UTF-8 are kept.

    A plus is a space where there is no other: forms write it so.
    """
    if " " not in text:
        text = text.replace("+", " ")
    wide = _WIDE.sub(lambda match: chr(int(match[1], 16)), text)
    return unquote(wide, errors="surrogateescape")


def _add(found: list[View], name: str, text: str) -> None:
    if text != found[-1].text:
        found.append(View(name, text))


def _entity(match: re.Match[str]) -> str:
    decimal, hexadecimal, named = match.groups()
    if named:
        return html.unescape(f"&{named}")
    return html.unescape(f"&#{decimal};" if decimal else f"&#x{hexadecimal};")
