"""What Unicode says of characters: their script, whether they are seen, what they look like.

The tables are Unicode's own, made compact by `tests/security/make_unicode.py`.
"""

import re
import unicodedata
from bisect import bisect
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files

# Default_Ignorable_Code_Point of DerivedCoreProperties.txt: what is not shown by design.
_IGNORABLE = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
IGNORABLE = re.compile(f"[{_IGNORABLE}]")


@lru_cache(4096)  # of what a service sees, most is in few scripts
def script_of(char: str) -> str:
    """Return a character's script by its long name: `Latin`, `Common`, ...; `Unknown` if none."""
    starts, ends, names = _ranges()
    point = ord(char)
    at = bisect(starts, point) - 1
    return names[at] if at >= 0 and point <= ends[at] else "Unknown"


def scripts() -> frozenset[str]:
    """Return the names of all scripts."""
    return frozenset(_ranges()[2])


def skeleton(text: str) -> str:
    """Return what all identifiers that look like `text` have in common (UTS 39, section 4).

    For comparing identifiers, never for showing: what is returned need not be readable.
    """
    plain = IGNORABLE.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFD", plain.translate(_prototypes()))


@cache
def _ranges() -> tuple[list[int], list[int], list[str]]:
    found = []
    for name, ranges in _lines("scripts.txt"):
        for each in ranges.split():
            first, last = each.split("-")
            found.append((int(first, 16), int(last, 16), name))
    found.sort()
    return (
        [first for first, _, _ in found],
        [last for _, last, _ in found],
        [s for _, _, s in found],
    )


@cache
def _prototypes() -> dict[int, str]:
    return {
        int(each, 16): "".join(chr(int(one, 16)) for one in prototype.split())
        for prototype, alike in _lines("confusables.txt")
        for each in alike.split()
    }


def _lines(name: str) -> Iterator[tuple[str, str]]:
    for line in files(__package__).joinpath(name).read_text("ascii").splitlines():
        if not line.startswith("#"):
            key, _, rest = line.partition(";")
            yield key, rest
