"""Which parameters of a function are checked, and how they are replaced in a call."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_type_hints

from mobius_infra.core import ConfigurationError
from mobius_infra.security._invalid import Check

_BY_PLACE = inspect.Parameter.POSITIONAL_ONLY
_BY_NAME = inspect.Parameter.KEYWORD_ONLY
_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

# Any: arguments of any function.
Replace = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]


def annotated_fields(func: Callable[..., object], *, by: str) -> dict[str, Any]:
    """Return the annotations that have a check in them, by parameter.

    Raises:
        ConfigurationError: if there is none, or one can't be read: a check must not be missed.
    """
    try:
        hints = get_type_hints(func, include_extras=True)
    except Exception as error:
        raise ConfigurationError(
            f"the function decorated by {by}",
            func,
            f"annotated with names that exist when it is decorated ({error}); or give `fields`",
        ) from error
    hints.pop("return", None)
    found = {name: hint for name, hint in hints.items() if any(checks_in(hint))}
    if not found:
        raise ConfigurationError(
            f"the function decorated by {by}",
            func,
            "one with a check in an annotation, as `Annotated[str, Text()]`; or give `fields`",
        )
    return found


def replacing(
    func: Callable[..., object], checks: Mapping[str, Callable[[Any], Any]], *, by: str
) -> Replace:
    """Return a function of a call's arguments that puts what was checked in their place.

    Defaults are the programmer's, and not checked.

    Raises:
        ConfigurationError: for a check of what is no parameter, or of one that collects others.
    """
    parameters = inspect.signature(func).parameters
    good = [name for name, each in parameters.items() if each.kind not in _COLLECTING]
    for name in checks:
        if name not in good:
            allowed = f"parameters of the function decorated by {by}: {', '.join(good) or 'none'}"
            raise ConfigurationError("fields", name, allowed)
    # A parameter that may only be given by place may have a namesake among the others.
    places = tuple(
        (name, check, place, parameters[name].kind)
        for place, name in enumerate(parameters)
        if (check := checks.get(name))
    )
    by_name = tuple((name, check) for name, check, _, kind in places if kind is not _BY_PLACE)
    by_place = tuple((place, check) for _, check, place, kind in places if kind is not _BY_NAME)

    def replace(
        args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        checked = list(args)
        for place, check in by_place:
            if place < len(checked):
                checked[place] = check(checked[place])
        for name, check in by_name:
            if name in kwargs:
                kwargs[name] = check(kwargs[name])
        return tuple(checked), kwargs

    return replace


def checks_in(hint: object) -> Iterator[Check]:
    """Find the checks in an annotation, however deep."""
    if isinstance(hint, Check):
        yield hint
    for part in get_args(hint):
        yield from checks_in(part)
