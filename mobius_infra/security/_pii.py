"""What in a text is personal or secret: e-mail addresses, telephone numbers, cards, keys.

Each pattern is bounded or possessive, so that time is linear in the text whatever is in it. What is
found is likely what it is called, and not proven: a name or a street is found by none of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from mobius_infra.core import require

Kind = Literal["email", "phone", "card", "iban", "secret", "ip"]


class Found(NamedTuple):
    """One place in a text.

    Attributes:
        kind: what it is.
        start: where it begins, in characters.
        end: where it ends.
    """

    kind: Kind
    start: int
    end: int


_LOCAL = r"A-Za-z0-9.!#$%&'*+/=?^_{|}~-"
_EMAIL = re.compile(
    rf"(?<![{_LOCAL}])[{_LOCAL}]{{1,64}}+@(?:[A-Za-z0-9-]{{1,63}}+\.){{1,8}}[A-Za-z]{{2,24}}+(?!\w)"
)
_PHONE = re.compile(
    r"(?<![\w+.-])(?:\+\d(?:[ ().-]{0,2}\d){7,14}+|\(\d{3}\) ?\d{3}-\d{4}|\d{3}[-.]\d{3}[-.]\d{4})"
    r"(?![\w-])"
)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}+(?![\w-])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?=[ A-Z0-9])")
_IP = re.compile(
    r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])"
)
_SECRET = re.compile(
    r"(?<![\w-])(?:"
    r"\d{8,10}:[\w-]{35}"  # a Telegram bot's token
    r"|eyJ[\w-]{8,4096}+\.[\w-]{8,4096}+\.[\w-]{8,4096}+"  # a JSON web token
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|gh[oprsu]_[A-Za-z0-9]{36,255}+"
    r"|xox[abpr]-[\w-]{10,255}+"
    r"|AIza[\w-]{35}"
    r"|sk-[\w-]{20,255}+"
    r")(?![\w-])"
)
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----")
_NAMED = re.compile(
    r"(?<![a-z])(?:password|passwd|pwd|secret|token|api[_-]?key|authorization|cookie)"
    r"[\"']?\s{0,3}[:=]\s{0,3}(?:bearer |basic )?[\"']?([^\s\"',;&]{3,4096}+)",
    re.IGNORECASE,
)

_IBAN_LENGTH = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LI": 21, "LT": 20, "LU": 20, "LV": 21,
    "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
"""Characters of an IBAN by country: SWIFT's registry."""


def _whole(pattern: re.Pattern[str], kind: Kind) -> Callable[[str], Iterator[Found]]:
    def find(text: str) -> Iterator[Found]:
        for match in pattern.finditer(text):
            yield Found(kind, *match.span())

    return find


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD.finditer(text):
        if passes_luhn(match[0]):
            yield Found("card", *match.span())


def _ibans(text: str) -> Iterator[Found]:
    for match in _IBAN.finditer(text):
        wanted, at, taken = _IBAN_LENGTH.get(match[0][:2], 0), match.start(), ""
        while len(taken) < wanted and at < len(text) and (text[at].isalnum() or text[at] == " "):
            taken += text[at].strip()
            at += 1
        followed = at < len(text) and text[at].isalnum()
        if wanted and len(taken) == wanted and not followed and passes_mod_97(taken):
            yield Found("iban", match.start(), at)


def _secrets(text: str) -> Iterator[Found]:
    yield from _whole(_SECRET, "secret")(text)
    for match in _NAMED.finditer(text):
        yield Found("secret", *match.span(1))
    at = 0
    while (begin := _PEM.search(text, at)) is not None:
        end = text.find("-----END", begin.end())
        close = -1 if end < 0 else text.find("-----", end + 8)
        at = len(text) if close < 0 else close + 5  # what is cut off is a secret to its end
        yield Found("secret", begin.start(), at)


_FINDERS: dict[Kind, Callable[[str], Iterator[Found]]] = {
    "secret": _secrets,
    "email": _whole(_EMAIL, "email"),
    "iban": _ibans,
    "card": _cards,
    "phone": _whole(_PHONE, "phone"),
    "ip": _whole(_IP, "ip"),
}
KINDS: tuple[Kind, ...] = ("secret", "email", "iban", "card", "phone")
"""What is looked for by default; `ip` can be added."""


def find_personal(text: str, kinds: Iterable[Kind] = KINDS) -> list[Found]:
    """Return what is personal or secret in a text, in order; nothing overlaps.

    Args:
        text: of any length; time is linear in it.
        kinds: what to look for; of what overlaps, the first in their order is kept.

    Raises:
        ConfigurationError: for a kind that there is not.
    """
    found: list[Found] = []
    for kind in kinds:
        require(kind in _FINDERS, "kinds", kind, f"of {', '.join(_FINDERS)}")
        found += _FINDERS[kind](text)
    kept: list[Found] = []
    # Sorting is stable: of two that begin together, the first kind stays first.
    for each in sorted(found, key=lambda each: each.start):
        if kept and each.start < kept[-1].end:
            kept[-1] = kept[-1]._replace(end=max(kept[-1].end, each.end))
        else:
            kept.append(each)
    return kept


def passes_luhn(number: str) -> bool:
    """Say whether a card's number has the check digit that it must have (ISO/IEC 7812-1)."""
    digits = [int(each) for each in reversed(number) if each.isdigit()]
    doubled = (each * 2 - 9 * (each > 4) for each in digits[1::2])
    return any(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def passes_mod_97(iban: str) -> bool:
    """Say whether an IBAN has the check digits that it must have (ISO 7064)."""
    return int("".join(str(int(each, 36)) for each in iban[4:] + iban[:4])) % 97 == 1
