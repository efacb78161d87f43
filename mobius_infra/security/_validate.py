"""`InputValidator` and `@validated`: what comes in is checked before anything is done with it."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Literal, ParamSpec, TypeVar, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    ConfigurationError,
    Event,
    Events,
    Stats,
    SystemClock,
    counter,
    require,
)
from mobius_infra.security._detect import Detector, ScreenedError, Sink
from mobius_infra.security._invalid import Check, InvalidInputError
from mobius_infra.security._validate_fields import annotated_fields, checks_in, replacing

P = ParamSpec("P")
R = TypeVar("R")

# Any: values of any type go in, and what they were made come out.
Judge = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRefused(Event):
    """A value was not what it may be; `passed` says whether it went on all the same."""

    error: InvalidInputError
    passed: bool


@dataclass(frozen=True, slots=True)
class ValidatorStats(Stats):
    """Numbers of an `InputValidator`."""

    checked: int = counter("Values checked")
    refused: Mapping[str, int] = counter("Values refused, by reason", label="reason")
    would_have_refused: Mapping[str, int] = counter(
        "Values that only the mode `observe` let pass, by reason", label="reason"
    )


class InputValidator(AsyncDecorator):
    """Checks values by field; as a decorator, the parameters of an async function.

        orders = InputValidator("orders", {"note": Text(longest=200), "amount": PositiveInt})

    Args:
        name: labels its numbers and events.
        fields: a check, or any type that pydantic knows, by field. None takes those parameters of
            the decorated function whose annotations have a check in them.
        mode: `block` refuses; `observe` counts and reports, and lets the value pass as it came.
        screen: screens each text that passes, for the sink of its check; only texts themselves,
            not those in models.
        clock: stamps events.

    Raises:
        ConfigurationError: for a field of a type that pydantic doesn't know; at decoration, for a
            field that is no parameter, or if none of the parameters has a check.
    """

    __slots__ = (
        "_checked", "_clock", "_events", "_fields", "_mode", "_name", "_passed", "_refused",
        "_screen",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Any] | None = None,  # Any: a check, or any type
        *,
        mode: Literal["block", "observe"] = "block",
        screen: Detector | None = None,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "a name that is not empty")
        require(mode in ("block", "observe"), "mode", mode, "'block' or 'observe'")
        self._name = name
        self._fields = None if fields is None else _judges(fields)
        self._mode = mode
        self._screen = screen
        self._clock = clock or SystemClock()
        self._events = Events()
        self._checked = 0
        self._refused: dict[str, int] = {}
        self._passed: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self._name

    @property
    def events(self) -> Events:
        """Where `InputRefused` is sent."""
        return self._events

    def check(self, field: str, value: object) -> Any:
        """Return what a value of a field was made by its check or type: mostly itself.

        Raises:
            InvalidInputError: if it is not what it may be, unless the mode is `observe`.
            ScreenedError: if the detector turns it away.
            ConfigurationError: if there is no such field.
        """
        fields = self._fields or {}
        known = ", ".join(fields) or "none"
        require(field in fields, "field", field, f"one of the fields of {self._name}: {known}")
        return self._judge(field, *fields[field], value)

    def stats(self) -> ValidatorStats:
        """Return its numbers as they are now."""
        return ValidatorStats(self._checked, dict(self._refused), dict(self._passed))

    def _judge(self, field: str, judge: Judge, sink: Sink, value: object) -> Any:
        self._checked += 1
        try:
            made = judge(value)
        except InvalidInputError as error:
            fault = error.within(self._name, field)
        except ValidationError as error:
            fault = _fault(error, self._name, field)
        else:
            return self._screened(field, sink, made)
        passes = self._mode == "observe"
        counts = self._passed if passes else self._refused
        counts[fault.reason] = counts.get(fault.reason, 0) + 1
        if len(self._events):
            at = self._clock.time()
            self._events.emit(InputRefused(source=self._name, at=at, error=fault, passed=passes))
        if passes:
            return self._screened(field, sink, value)
        raise fault

    def _screened(self, field: str, sink: Sink, value: object) -> object:
        if self._screen is None or not isinstance(value, str):
            return value
        try:
            return self._screen.demand(value, field=field, sink=sink)
        except ScreenedError:
            self._refused["screened"] = self._refused.get("screened", 0) + 1
            raise

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        fields = self._fields
        if fields is None:
            fields = _judges(annotated_fields(func, by=repr(self)))
        checks = {field: partial(self._judge, field, *how) for field, how in fields.items()}
        replace = replacing(func, checks, by=repr(self))

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            checked, named = replace(args, kwargs)
            return await func(*checked, **named)

        return wrapper

    def __repr__(self) -> str:
        fields = "" if self._fields is None else f", fields=[{', '.join(self._fields)}]"
        return f"InputValidator({self._name!r}{fields}, mode={self._mode!r})"


def validated(
    name: str,
    fields: Mapping[str, Any] | None = None,  # Any: a check, or any type
    *,
    mode: Literal["block", "observe"] = "block",
    screen: Detector | None = None,
    clock: Clock | None = None,
) -> InputValidator:
    """Check the parameters of an async function: an `InputValidator` to write above it.

        @validated("search")
        async def search(user_id: int, query: Annotated[str, Text(longest=200)]) -> None: ...

    It takes what `InputValidator` takes. Keep what it returns to read its numbers.
    """
    return InputValidator(name, fields, mode=mode, screen=screen, clock=clock)


def _judges(fields: Mapping[str, Any]) -> dict[str, tuple[Judge, Sink]]:
    return {field: _how(field, kind) for field, kind in fields.items()}


def _how(field: str, kind: Any) -> tuple[Judge, Sink]:
    """Return what judges a field, and where its text goes."""
    parts = get_args(kind)
    alone = parts[1] if len(parts) == 2 and parts[0] is str else kind  # Annotated[str, Text()]
    if isinstance(alone, Check):
        return alone, alone.sink
    try:
        adapter = TypeAdapter(kind, config=ConfigDict(hide_input_in_errors=True))
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":  # a model has its own settings
            allowed = "a check, or a type that pydantic knows"
            raise ConfigurationError(f"fields[{field!r}]", kind, allowed) from error
        adapter = TypeAdapter(kind)
    inner = next(checks_in(kind), None)
    return adapter.validate_python, "any" if inner is None else inner.sink


def _fault(error: ValidationError, name: str, field: str) -> InvalidInputError:
    """Return the first fault that pydantic found, without the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join([field, *map(_named, first["loc"])])
    own = first.get("ctx", {}).get("error")
    if isinstance(own, InvalidInputError):
        return own.within(name, place)
    kind = first["type"]
    return InvalidInputError(kind, "of another kind", f"valid ({kind})", field=place, name=name)


def _named(part: int | str) -> str:
    """Return a place, or a name that may be one of ours: keys are what somebody sent."""
    ours = isinstance(part, int) or (part.isidentifier() and len(part) < 64)
    return str(part) if ours else "?"
