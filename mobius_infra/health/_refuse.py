"""Bad numbers are refused where they are given: not-a-number, infinity and booleans included."""

from math import isfinite
from typing import TypeGuard

from mobius_infra.core import require


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def require_seconds(field: str, value: object) -> None:
    """Refuse what is not a positive, finite number of seconds.

    Raises:
        ConfigurationError: naming field and value.
    """
    require(_is_number(value) and value > 0, field, value, "a positive number of seconds")


def require_count(field: str, value: object, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`.

    Raises:
        ConfigurationError: naming field and value.
    """
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(whole, field, value, f"a whole number of at least {least}")


def require_share(field: str, value: object) -> None:
    """Refuse what is not in [0, 1].

    Raises:
        ConfigurationError: naming field and value.
    """
    require(_is_number(value) and 0 <= value <= 1, field, value, "a share from 0 to 1")
