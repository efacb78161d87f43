"""Which errors and results are meant, as the user names them."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from mobius_infra.core import require

log = logging.getLogger("mobius_infra.breaker")

ErrorMatch = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Types of errors, or a function that says whether one is meant."""

# Any: what any decorated function returns.
ResultMatch = Callable[[Any], bool]


def error_test(field: str, on: ErrorMatch) -> Callable[[Exception], bool]:
    """Make one function of what may be types or a function.

    Raises:
        ConfigurationError: for no types at all, and for those that are no `Exception`:
            cancellation and the end of the process are never anyone's to handle.
    """
    types = on if isinstance(on, tuple) else (on,)
    if types and all(isinstance(each, type) and issubclass(each, Exception) for each in types):
        return lambda error: isinstance(error, types)  # type: ignore[arg-type]  # all are types
    usable = callable(on) and not isinstance(on, type)
    require(usable, field, on, "subclasses of Exception, or a function that takes an error")
    return lambda error: says_yes(field, on, error)  # type: ignore[arg-type]  # a function


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
        if isinstance(each, ExceptionGroup):
            waiting.extend(each.exceptions)
        else:
            yield each
