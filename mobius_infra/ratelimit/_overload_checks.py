"""What settings may be: `True` is no number, NaN lies in no range."""

from collections.abc import Callable
from math import inf
from typing import TypeGuard

from mobius_infra.core import ConfigurationError, compile_key, require


def is_number(value: object) -> TypeGuard[float]:
    """Say whether `value` is a finite number; a `bool` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -inf < value < inf


def require_count(field: str, value: object, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`."""
    enough = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(enough, field, value, f"a whole number, at least {least}")


def require_between(field: str, value: object, low: float, high: float) -> None:
    """Refuse what is not a finite number from `low` to `high`, both allowed."""
    inside = is_number(value) and low <= value <= high
    bound = f"at least {low:g}" if high == inf else f"from {low:g} to {high:g}"
    require(inside, field, value, f"a number {bound}")


def require_positive(field: str, value: object, unit: str) -> None:
    """Refuse what is not a finite number above 0."""
    require(is_number(value) and value > 0, field, value, f"a positive number of {unit}")


def compile_reader(
    field: str, template: str | Callable[..., str], func: Callable[..., object]
) -> Callable[..., str]:
    """Compile what reads something from a call of `func`, as `compile_key` does.

    Raises:
        ConfigurationError: naming `field`, if the template can't be read from such a call.
    """
    try:
        return compile_key(template, func)
    except ConfigurationError as error:
        raise ConfigurationError(field, error.value, error.allowed) from error


def require_name(name: str) -> None:
    """Refuse an empty name."""
    require(bool(name), "name", name, "a name for numbers, events and errors")
