"""Which errors and results are meant, as the user names them."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from mobius_infra.core import require

log = logging.getLogger("mobius_infra.breaker")

ErrorMatch = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Types of errors, or a function that says whether one is meant."""

# Any: what any decorated function returns.
ResultMatch = Callable[[Any], bool]


B = TypeVar("B", bound=BaseException)


def kind_test(field: str, given: object, base: type[B], allowed: str) -> Callable[[B], bool]:
    """Make one function of what may be types of `base`, or a function.

    Raises:
        ConfigurationError: for anything else; says what is `allowed`.
    """
    types = given if isinstance(given, tuple) else (given,)
    if all(isinstance(each, type) and issubclass(each, base) for each in types):
        return lambda error: isinstance(error, types)
    require(callable(given) and not isinstance(given, type), field, given, allowed)
    return given  # type: ignore[return-value]  # a function, by the line above


def error_test(field: str, on: ErrorMatch) -> Callable[[Exception], bool]:
    """Make one function of what may be types or a function.

    Raises:
        ConfigurationError: for no types at all, and for those that are no `Exception`:
            cancellation and the end of the process are never anyone's to handle.
    """
    allowed = "subclasses of Exception, or a function that takes an error"
    require(on != (), field, on, allowed)
    meant = kind_test(field, on, Exception, allowed)
    return lambda error: says_yes(field, meant, error)


def says_yes(field: str, ask: Callable[[Any], bool], about: object) -> bool:
    """Ask a function of the user's; one that fails is logged, and has said no.

    It decides about retries and counts, never about what the caller gets.
    """
    try:
        return bool(ask(about))
    except Exception:
        log.exception("%s failed on a %s", field, type(about).__qualname__)
        return False


# Any: the leaves of an error are errors; of a result, which has none, itself.
def leaves(failure: object) -> Iterator[Any]:
    """Give the errors that a group is made of; of anything else, itself."""
    waiting = [failure]  # not by recursion: groups may be nested deeper than the stack
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(each.exceptions)
        else:
            yield each
