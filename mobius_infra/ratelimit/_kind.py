"""What the algorithms have in common: a state of integers and five small functions on it.

All amounts of time are whole microseconds and all tokens whole numbers, or whole parts of tokens,
so nothing is ever lost to rounding. Each number stays below 2^53, where Lua's are exact too: limits
that would not fit are refused when they are made.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from mobius_infra.core import ConfigurationError

SECOND = 1_000_000
EXACT = 2**52
"""The most that a limit's numbers may come to: half of what a double holds exactly, so that the sum
of two of them still fits."""

# Any: a flat list of integers; each algorithm's module says what they are.
Own = list[Any]
"""One limit's part of the state under a key."""


class Kind(NamedTuple):
    """An algorithm. `a` and `b` and `c` are its parameters, see its module.

    Attributes:
        name: which of the functions in `limits.lua` are its twins.
        fresh: returns the state of a key that nothing is known of.
        look: brings a state up to `now` in place, and returns the microseconds until `cost` would
            pass if nothing else happened.
        spend: takes `cost` in a state just looked at, as of `delay` microseconds from then; returns
            a mark by which it can be given back.
        refund: gives `cost` back, taken at `at` with `mark`, as far as it has not come back by
            itself; in a state just looked at.
        report: returns the tokens left, and the microseconds until the state is as `fresh`, of a
            state just looked at.
        promises: whether it can take what comes later: see `RateLimiter.reserve`.
    """

    name: str
    fresh: Callable[[int], Own]
    look: Callable[[Own, int, int, int, int, int], int]
    spend: Callable[[Own, int, int, int, int, int, int], int]
    refund: Callable[[Own, int, int, int, int, int, int, int], None]
    report: Callable[[Own, int, int, int, int], tuple[int, int]]
    promises: bool


class Rule(NamedTuple):
    """An algorithm with its parameters: what a step needs of a limit."""

    kind: Kind
    a: int
    b: int
    c: int


def require_fit(field: str, value: object, *numbers: int) -> None:
    """Refuse a limit whose numbers would not be exact in Lua.

    Raises:
        ConfigurationError: naming `field`.
    """
    if any(number >= EXACT for number in numbers):
        allowed = "small enough: limit times period, in microseconds and lowest terms, under 2^52"
        raise ConfigurationError(field, value, allowed)


def require_whole(field: str, value: object, least: int = 1) -> int:
    """Return `value` if it is an integer of at least `least`.

    Raises:
        ConfigurationError: for anything else, `bool` included.
    """
    if type(value) is not int or value < least:
        raise ConfigurationError(field, value, f"a whole number, {least} or more")
    return value
