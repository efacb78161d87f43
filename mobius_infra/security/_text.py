"""`Text`: what people write, looked at and left as it is."""

import re
import unicodedata
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from mobius_infra.core import require
from mobius_infra.security._detect import Sink
from mobius_infra.security._invalid import Check, InvalidInputError, codepoint, fits_size, freeze
from mobius_infra.security._unicode import IGNORABLE, script_of, scripts

Normal = Literal["NFC", "NFKC"]

_PLAIN = re.compile(r"[\t\n\r -~]*+")
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_LINES = re.compile("[\t\n\r\u2028\u2029]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_BIDI_AND_ENDS = re.compile("[\u202a-\u202e\u2066-\u2069\n\r\u2029]")
_ISOLATES = frozenset("\u2066\u2067\u2068")
_DEEPEST = 125  # UAX 9: what is opened in more is ignored

_ZWSP, _ZWNJ, _ZWJ = "\u200b", "\u200c", "\u200d"
_DIRECTION_MARKS = frozenset("\u200e\u200f\u061c")
# Scripts in which a joiner changes how letters are written, and those without spaces.
_JOINING = frozenset(
    """Arabic Syriac Mongolian Nko Adlam Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu
    Kannada Malayalam Sinhala Khmer Tibetan Myanmar Balinese Javanese""".split()  # noqa: SIM905
)
_SPACELESS = frozenset(
    {"Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Han", "Hiragana", "Katakana"}
)
# What has its place among the letters of which scripts.
_AMONG = {
    _ZWNJ: _JOINING,
    _ZWJ: _JOINING,
    _ZWSP: _SPACELESS,
    **dict.fromkeys("\u180b\u180c\u180d\u180e\u180f", frozenset({"Mongolian"})),
}
_COMMON = frozenset({"Common", "Inherited"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Check):
    """A message, a note, a name: bounded, and without characters that deceive.

    Args:
        longest: characters; Telegram's messages have at most 4,096.
        shortest: characters.
        most_bytes: in UTF-8; None for no bound but that of the characters.
        lines: whether new lines and tabs are fine.
        marks: how many combining marks may stand on one letter; no writing system needs 8.
        scripts: long names of Unicode (`Latin`, `Han`); what is common to all is fine besides.
            None for all.
        classes: general categories, as `L` or `Nd`. None for all but control characters.
        normalize: `NFC` or `NFKC` returns the text so; None (the default) as it came.

    Raises:
        ConfigurationError: for a bound, a script, a class or a form that there is not.
    """

    sink: ClassVar[Sink] = "chat_text"

    longest: int = 4096
    shortest: int = 0
    most_bytes: int | None = None
    lines: bool = True
    marks: int = 8
    scripts: AbstractSet[str] | None = None
    classes: AbstractSet[str] | None = None
    normalize: Normal | None = None
    _chosen: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_size("longest", self.longest, 1)
        require_size("shortest", self.shortest, 0)
        require(self.shortest <= self.longest, "shortest", self.shortest, "no more than longest")
        if self.most_bytes is not None:
            require_size("most_bytes", self.most_bytes, 1)
        require_size("marks", self.marks, 0)
        require(self.normalize in (None, "NFC", "NFKC"), "normalize", self.normalize, "NFC or NFKC")
        freeze(self, "scripts")
        freeze(self, "classes")
        if self.scripts is not None:
            unknown = self.scripts - scripts()
            require(not unknown, "scripts", unknown, "names of scripts, as Latin")
        if self.classes is not None:
            bad = {each for each in self.classes if not re.fullmatch("[LMNPSZC][a-z]?", each)}
            require(not bad, "classes", bad, "general categories of Unicode, as L or Nd")
        object.__setattr__(self, "_chosen", self.scripts is not None or self.classes is not None)

    def _check(self, value: str) -> str:
        fits_size(value, self.longest, self.most_bytes)
        if self.normalize is not None and not value.isascii():
            # Bounded just above; one character becomes up to 18.
            value = unicodedata.normalize(self.normalize, value)
            fits_size(value, self.longest, self.most_bytes)
        if len(value) < self.shortest:
            raise InvalidInputError(
                "length", f"{len(value)} characters", f"of {self.shortest} characters at least"
            )
        if not self.lines and (match := _LINES.search(value)):
            raise InvalidInputError("control", codepoint(value, match.start()), "one line")
        if _PLAIN.fullmatch(value) is None:
            without_control(value)
            without_unseen(value)
            if not value.isascii():
                bounded_marks(value, self.marks)
        if self._chosen:
            self._of_the_chosen(value)
        return value

    def _of_the_chosen(self, value: str) -> None:
        for char in dict.fromkeys(value):
            category = unicodedata.category(char)
            if self.classes is not None and not {category, category[0]} & self.classes:
                at, allowed = value.index(char), ", ".join(sorted(self.classes))
                saw = f"{codepoint(value, at)}, of class {category}"
                raise InvalidInputError("class", saw, f"of the classes {allowed}")
            if self.scripts is not None:
                script = script_of(char)
                if script not in _COMMON and script not in self.scripts:
                    at, allowed = value.index(char), ", ".join(sorted(self.scripts))
                    saw = f"{codepoint(value, at)}, of script {script}"
                    raise InvalidInputError("script", saw, f"of the scripts {allowed}")


def require_size(name: str, value: object, least: int) -> None:
    """Refuse, as a setting, what is no whole number of at least `least`."""
    good = type(value) is int and value >= least
    require(good, name, value, f"a whole number, {least} or more")


def without_control(text: str) -> None:
    """Refuse control characters and noncharacters; new lines and tabs are fine.

    Raises:
        InvalidInputError: naming the first.
    """
    for match in _CONTROL.finditer(text):
        raise InvalidInputError(
            "control", codepoint(text, match.start()), "without control characters"
        )


def without_unseen(text: str) -> None:
    """Refuse what is not seen where it has no purpose, and what reorders the text around it.

    Raises:
        InvalidInputError: naming the first.
    """
    if (at := _unbalanced(text)) is not None:
        allowed = "without characters that reorder the text around it"
        raise InvalidInputError("bidi", codepoint(text, at), allowed)
    for match in IGNORABLE.finditer(text):
        at = match.start()
        if not _has_purpose(text, at):
            raise InvalidInputError(
                "invisible", codepoint(text, at), "without invisible characters"
            )


def bounded_marks(text: str, most: int) -> None:
    """Refuse a letter that has more than `most` combining marks.

    Raises:
        InvalidInputError: naming the mark that is too many.
    """
    all_marks = {char for char in set(text) if unicodedata.category(char) in ("Mn", "Me")}
    if not all_marks:
        return
    run = 0
    for at, char in enumerate(text):
        run = run + 1 if char in all_marks else 0
        if run > most:
            raise InvalidInputError(
                "marks", codepoint(text, at), f"without more than {most} marks on a letter"
            )


def _unbalanced(text: str) -> int | None:
    """Return where direction is overridden, left open, or closed without having been opened.

    A closing character too many would close what the text around it has opened.
    """
    opened: list[str] = []
    first = 0
    for match in _BIDI_AND_ENDS.finditer(text) if _BIDI.search(text) else ():
        char, at = match[0], match.start()
        if char in "\u202c\u2069":
            if not opened or (opened.pop() in _ISOLATES) != (char == "\u2069"):
                return at
        elif char in "\n\r\u2029":
            if opened:
                break
        elif char in "\u202d\u202e" or len(opened) == _DEEPEST:
            return at
        else:
            first = first if opened else at
            opened.append(char)
    return first if opened else None


def _has_purpose(text: str, at: int) -> bool:
    """Say whether the invisible character at a place does something that is seen."""
    char, before = text[at], text[at - 1] if at else ""
    if char in _DIRECTION_MARKS or _BIDI.match(char):
        return True  # balanced, as was seen before
    if char in _AMONG and _among(text, at, _AMONG[char]):
        return True
    if not before:
        return False
    if char == _ZWJ:
        return _joins_emoji(text, at)
    if "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":
        # One variation selector on what is seen; runs of them carry hidden messages.
        return IGNORABLE.match(before) is None and not before.isspace()
    return _in_flag(text, at)


def _among(text: str, at: int, scripts: frozenset[str]) -> bool:
    """Say whether letters of some scripts are near, and no more than two such in a row.

    People type one after a space or twice; longer runs carry hidden messages.
    """
    if at > 1 and IGNORABLE.match(text[at - 1]) and IGNORABLE.match(text[at - 2]):
        return False
    return any(script_of(each) in scripts for each in text[max(0, at - 3) : at + 4])


def _joins_emoji(text: str, at: int) -> bool:
    before = at - 1
    if before > 0 and text[before] == "\ufe0f":
        before -= 1
    return _pictured(text[before]) and at + 1 < len(text) and _pictured(text[at + 1])


def _pictured(char: str) -> bool:
    """Say whether it is a picture, or one newer than this Python, or a skin's colour."""
    picture = unicodedata.category(char) in ("So", "Cn")
    return picture or char == "\u2194" or "\U0001f3fb" <= char <= "\U0001f3ff"


_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")


def _in_flag(text: str, at: int) -> bool:
    """Say whether a tag belongs to the flag of a region, such as Scotland's."""
    start = text.rfind("\U0001f3f4", max(0, at - 7), at)
    match = None if start < 0 else _FLAG.match(text, start)
    return match is not None and at < match.end()
