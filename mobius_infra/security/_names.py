"""`FileName`: one name for one file, on any system."""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import ClassVar

from mobius_infra.core import require
from mobius_infra.security._detect import Sink
from mobius_infra.security._invalid import Check, InvalidInputError, codepoint, fits_size, freeze
from mobius_infra.security._text import (
    bounded_marks,
    require_size,
    without_control,
    without_unseen,
)
from mobius_infra.security._views import views

# What old code pages make separators of.
_LIKE_SEPARATORS = re.compile("[\u2044\u2215\u2216\u29f5\u29f8\xa5\u20a9]")
_UNUSABLE = re.compile(r'[<>:"|?*]')
_LINES = re.compile("[\t\n\r\u2028\u2029]")
# Windows takes these for devices, in any folder, whatever comes after a dot; superscripts too.
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9\xb9\xb2\xb3]) *+(?:\..*)?",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileName(Check):
    """The name of a file, and not of a path: it stays in the folder that it is put into.

    Args:
        most_bytes: in UTF-8; 255 is what file systems take.
        extensions: without the dot, as `png`, whatever the case. None for any.
        hidden: whether it may begin with a dot.

    Raises:
        ConfigurationError: for a bound or an extension that can't be.
    """

    sink: ClassVar[Sink] = "path"

    most_bytes: int = 255
    extensions: AbstractSet[str] | None = None
    hidden: bool = False

    def __post_init__(self) -> None:
        require_size("most_bytes", self.most_bytes, 1)
        freeze(self, "extensions")
        if self.extensions is not None:
            good = not any(each.startswith(".") or not each for each in self.extensions)
            require(good, "extensions", self.extensions, "a set of extensions without dots")

    def _check(self, value: str) -> str:
        fits_size(value, self.most_bytes, self.most_bytes)
        without_control(value)
        if match := _LINES.search(value):
            raise InvalidInputError("control", codepoint(value, match.start()), "one line")
        without_unseen(value)
        bounded_marks(value, 8)
        self._well_formed(value)
        for view in views(value):
            self._stays(view.text)
        if self.extensions is not None:
            dotted, _, extension = value.rpartition(".")
            allowed = {each.casefold() for each in self.extensions}
            if not dotted or extension.casefold() not in allowed:
                raise InvalidInputError(
                    "extension", "another extension", f"one of {', '.join(sorted(allowed))}"
                )
        return value

    def _stays(self, name: str) -> None:
        """Judge one reading of the name: whoever stores it may decode or normalise it."""
        if "/" in name or "\\" in name or "\0" in name:
            raise InvalidInputError("separator", "a separator of folders in it", "one name")
        if not name.strip(". "):
            raise InvalidInputError("reserved", "nothing but dots and spaces", "a name")
        if name[0] == "." and not self.hidden:
            raise InvalidInputError("hidden", "a dot at its beginning", "without it")
        if _DEVICE.fullmatch(name):
            raise InvalidInputError("reserved", "the name of a device of Windows", "another name")

    def _well_formed(self, name: str) -> None:
        if _LIKE_SEPARATORS.search(name):
            raise InvalidInputError("separator", "what looks like a separator in it", "one name")
        if match := _UNUSABLE.search(name):
            raise InvalidInputError(
                "class", codepoint(name, match.start()), 'without any of < > : " | ? *'
            )
        if name and (name[-1] in ". " or name[0] in " -") and name.strip(". "):
            saw = "a dot or space at its end, or a space or hyphen at its beginning"
            raise InvalidInputError("edge", saw, "without them")
