"""`Identifier`: names that people tell others apart by."""

import unicodedata
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import ClassVar

from mobius_infra.core import require
from mobius_infra.security._detect import Sink
from mobius_infra.security._invalid import Check, InvalidInputError, codepoint, fits_size, freeze
from mobius_infra.security._text import bounded_marks, require_size
from mobius_infra.security._unicode import IGNORABLE, script_of, skeleton

# UTS 39, section 5.2, highly restrictive: one script, or one of these sets.
_TOGETHER = (
    frozenset({"Latin", "Han", "Hiragana", "Katakana"}),
    frozenset({"Latin", "Han", "Bopomofo"}),
    frozenset({"Latin", "Han", "Hangul"}),
)
_COMMON = frozenset({"Common", "Inherited"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier(Check):
    """A user name or the like: letters and digits, of one script, like no reserved name.

    Compare new ones with those that exist by `skeleton`.

    Args:
        longest: characters.
        shortest: characters.
        signs: what else may be in it, though not at its beginning.
        reserved: names that none may look like, whatever the case.

    Raises:
        ConfigurationError: for a bound that can't be.
    """

    sink: ClassVar[Sink] = "identifier"

    longest: int = 64
    shortest: int = 1
    signs: str = "_-."
    reserved: AbstractSet[str] = frozenset()
    _alike: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_size("longest", self.longest, 1)
        require_size("shortest", self.shortest, 0)
        require(self.shortest <= self.longest, "shortest", self.shortest, "no more than longest")
        freeze(self, "reserved")
        alike = frozenset(look for name in self.reserved for look in _looks(name))
        object.__setattr__(self, "_alike", alike)

    def _check(self, value: str) -> str:
        fits_size(value, self.longest, None)
        name = unicodedata.normalize("NFKC", value)
        fits_size(name, self.longest, None)
        if len(name) < self.shortest:
            raise InvalidInputError(
                "length", f"{len(name)} characters", f"of {self.shortest} characters at least"
            )
        for at, char in enumerate(name):
            if IGNORABLE.match(char):
                raise InvalidInputError(
                    "invisible", codepoint(name, at), "without invisible characters"
                )
            if not (f"a{char}".isidentifier() and char != "_") and not (at and char in self.signs):
                raise InvalidInputError("class", codepoint(name, at), self._made_of())
        bounded_marks(name, 4)
        one_script(name)
        if self._alike & _looks(name):
            raise InvalidInputError("reserved", "like a reserved name", "another name")
        return name

    def _made_of(self) -> str:
        signs = f", and {self.signs} after the first" if self.signs else ""
        return f"of letters and digits{signs}"


def one_script(name: str) -> None:
    """Refuse letters of scripts that no language mixes (UTS 39, highly restrictive).

    Raises:
        InvalidInputError: naming the scripts.
    """
    found = {script_of(char) for char in name} - _COMMON
    if len(found) > 1 and not any(found <= each for each in _TOGETHER):
        raise InvalidInputError(
            "script", f"of the scripts {', '.join(sorted(found))} at once", "of one script"
        )


def _looks(name: str) -> frozenset[str]:
    """Return the skeletons by which `name` is compared whatever the case: I looks like l, i not."""
    cases = (name, name.lower(), name.upper())
    return frozenset(skeleton(each).casefold() for each in cases)
