"""Bad numbers are refused where they are given: not-a-number, infinity and booleans included."""

from math import isfinite
from typing import TypeGuard

from mobius_infra.core import require


def is_number(value: object) -> TypeGuard[float]:
    """Say whether it is a number that one can calculate with; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def require_count(field: str, value: object, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`.

    Raises:
        ConfigurationError: naming field and value.
    """
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(whole, field, value, f"a whole number of at least {least}")


def require_seconds(field: str, value: object) -> None:
    """Refuse what is not a finite number of seconds, zero or more.

    Raises:
        ConfigurationError: naming field and value.
    """
    require(is_number(value) and value >= 0, field, value, "a number of seconds, zero or more")


def require_name(name: object) -> None:
    """Refuse what is no name, such as a function under a decorator without parentheses.

    Raises:
        ConfigurationError: naming the value.
    """
    good = isinstance(name, str) and bool(name)
    require(good, "name", name, 'a name: write `@decorator("name", …)`')
