"""What a refused value is told by, what a check is, and how pydantic takes one."""

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from mobius_infra.core import Rejected, require
from mobius_infra.security._detect import Sink


class InvalidInputError(Rejected, ValueError):
    """A value is not what it may be. The value itself is nowhere in here.

    Attributes:
        field: the parameter or field that it came in.
        reason: what kind of fault it is, in one word, as `length`.
        saw: what is wrong with it, in words.
        allowed: what would have been right, in words.
    """

    def __init__(
        self, reason: str, saw: str, allowed: str, *, field: str = "value", name: str = "input"
    ) -> None:
        super().__init__(f"{field}: {saw}; it must be {allowed}", name=name, retry_after=None)
        self.field = field
        self.reason = reason
        self.saw = saw
        self.allowed = allowed

    def within(self, name: str, field: str) -> "InvalidInputError":
        """Return the same for a field of the validator `name`."""
        return InvalidInputError(self.reason, self.saw, self.allowed, field=field, name=name)


class Check:
    """Base of the checks: called with a value, it returns what to go on with, or raises.

    Used inside `Annotated`, it is a type for pydantic.
    """

    __slots__ = ()

    sink: ClassVar[Sink] = "any"

    # Any: most checks return a string, and `JsonText` whatever was written.
    def __call__(self, value: object) -> Any:
        """Return the value, if it is a string that passes.

        Raises:
            InvalidInputError: if it is not.
        """
        if not isinstance(value, str):
            raise InvalidInputError("type", f"of type {type(value).__name__}", "a string")
        return self._check(value)

    def _check(self, value: str) -> Any:
        raise NotImplementedError

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self, handler(source))


def fits_size(text: str, longest: int, most_bytes: int | None) -> None:
    """Refuse what is too long, or is no text that can be written in UTF-8.

    Raises:
        InvalidInputError: in constant time for what is too long.
    """
    if len(text) > longest:
        raise InvalidInputError(
            "length", f"{len(text)} characters", f"of {longest} characters at most"
        )
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        saw = f"{codepoint(text, error.start)}, half of a character"
        raise InvalidInputError("encoding", saw, "text") from None
    if most_bytes is not None and size > most_bytes:
        raise InvalidInputError("bytes", f"{size} bytes", f"of {most_bytes} bytes at most in UTF-8")


def freeze(check: object, field: str) -> None:
    """Make a frozen set of a setting that is a collection or None, so that a check has a hash.

    Raises:
        ConfigurationError: for one string, whose letters were not meant.
    """
    given = getattr(check, field)
    if given is not None:
        good = isinstance(given, Iterable) and not isinstance(given, str | bytes)
        require(good, field, given, "a collection")
        object.__setattr__(check, field, frozenset(given))


def codepoint(text: str, at: int) -> str:
    """Say which character is at a place, by its number."""
    return f"U+{ord(text[at]):04X} at {at}"
