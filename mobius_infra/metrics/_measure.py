"""Decorators that time and count calls, of sync and of async functions alike.

A decorator that does not await what it is given times the making of a coroutine, not its run. So
which of the two a function is, is found out once, when it is decorated; and a plain function that
turns out to return a coroutine has that timed.
"""

import asyncio
import inspect
import logging
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import CoroutineType
from typing import Any, Literal, TypeVar

from mobius_infra.core import ConfigurationError, Rejected, signature_source
from mobius_infra.metrics._instruments import Counter, Gauge, Histogram
from mobius_infra.metrics._labelled import Labelled

log = logging.getLogger("mobius_infra")

F = TypeVar("F")
B = TypeVar("B")
Outcome = Literal["ok", "error", "cancelled", "rejected"]
# Any, here and below: whatever function is decorated; the decorators keep its type.
Function = Callable[..., Any]
Values = tuple[object, ...]
By = str | Sequence[str] | Mapping[str, str | Function]
Paths = dict[str, str | Function]
Exemplify = Callable[[], Mapping[str, str] | None]

SECONDS = "Seconds that calls took, by function and outcome"
CALLS = "Calls that ended, by function and outcome"
RUNNING = "Calls under way, by function"
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def outcome_of(error: BaseException | None) -> Outcome:
    """Return what became of a call that raised `error`, or returned.

    Cancelled is neither good nor bad: somebody gave up waiting. Rejected is no failure either: a
    breaker or limiter turned the call away before anything was tried, in no time that would say
    something about what was called.
    """
    if error is None:
        return "ok"
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    return "rejected" if isinstance(error, Rejected) else "error"


def timed(
    func: F, seconds: Labelled[Histogram], now: Callable[[], float], exemplar: Exemplify | None
) -> F:
    """Observe how long each call takes, by outcome."""
    observer = operator.attrgetter("observe") if exemplar is None else _noting(exemplar)

    def wrap(plain: Function) -> Function:
        name = _name_of(plain)
        ok = observer(seconds.labels(name, "ok"))

        def end(started: float, error: BaseException | None) -> None:
            took = now() - started
            observer(seconds.labels(name, outcome_of(error)))(took)

        if _is_async(plain):
            return _timer(plain, now, ok, end)
        return _around(plain, lambda *args, **kwargs: now(), end)

    return _decorate(func, "timed", wrap)


def _noting(exemplar: Exemplify) -> Callable[[Histogram], Callable[[float], None]]:
    """Return what makes an observer that asks for each call's exemplar.

    One that raises gives none, and is logged once: to time a call never makes it fail.
    """
    failed = False

    def found() -> Mapping[str, str] | None:
        nonlocal failed
        try:
            return exemplar()
        except Exception:
            if not failed:
                failed = True
                log.exception("the exemplar of a call, from %r, is not known", exemplar)
            return None

    return lambda series: lambda took: series.observe(took, found())


def _timer(
    func: Function,
    now: Callable[[], float],
    ok: Callable[[float], None],
    end: Callable[[float, BaseException], None],
) -> Function:
    """Do what `_around` does for async functions, with two calls less where nothing is raised."""

    async def timed_call(*args: Any, **kwargs: Any) -> Any:
        started = now()
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            end(started, error)
            raise
        ok(now() - started)
        return result

    return timed_call


def counted(func: F, calls: Labelled[Counter], by: Paths) -> F:
    """Count calls by outcome, and by values of theirs."""

    def wrap(plain: Function) -> Function:
        name = _name_of(plain)

        def end(values: Values, error: BaseException | None) -> None:
            calls.labels(name, outcome_of(error), *values).inc()

        return _around(plain, _values_of(by, plain), end)

    return _decorate(func, "counted", wrap)


def in_flight(func: F, running: Labelled[Gauge]) -> F:
    """Say how many calls are under way."""

    def wrap(plain: Function) -> Function:
        gauge = running.labels(_name_of(plain))
        return _around(plain, lambda *args, **kwargs: gauge.inc(), lambda begun, error: gauge.dec())

    return _decorate(func, "in_flight", wrap)


def _around(
    func: Function,
    begin: Callable[..., B],
    end: Callable[[B, BaseException | None], None],
) -> Function:
    """Return a function that does what `func` does, between `begin` and `end`.

    Args:
        func: sync or async.
        begin: called with the arguments of a call; what it returns is given to `end`.
        end: called with that, and with what the call raised.
    """

    async def ended(begun: B, call: Function, /, *args: Any, **kwargs: Any) -> Any:
        try:
            result = await call(*args, **kwargs)
        except BaseException as error:
            end(begun, error)
            raise
        end(begun, None)
        return result

    async def call_async(*args: Any, **kwargs: Any) -> Any:
        return await ended(begin(*args, **kwargs), func, *args, **kwargs)

    def call_sync(*args: Any, **kwargs: Any) -> Any:
        begun = begin(*args, **kwargs)
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            end(begun, error)
            raise
        if type(result) is CoroutineType:
            return ended(begun, lambda: result)
        end(begun, None)
        return result

    return call_async if _is_async(func) else call_sync


def paths_of(by: By) -> Paths:
    """Return labels, and where their values come from."""
    if isinstance(by, Mapping):
        return dict(by)
    paths = (by,) if isinstance(by, str) else tuple(by)
    return {path.replace(".", "_"): path for path in paths}


def _values_of(by: Paths, func: Function) -> Callable[..., Values]:
    """Return a function of a call's arguments that returns its labels' values.

    One that raises gives `unknown`: to count a call never makes it fail.

    Raises:
        ConfigurationError: for a path that begins with no parameter of `func`.
    """
    if not by:
        return lambda *args, **kwargs: ()
    ways = [way if callable(way) else _follow(way, func) for way in by.values()]
    failed: set[str] = set()

    def values(*args: Any, **kwargs: Any) -> Values:
        found: list[object] = []
        for label, way in zip(by, ways, strict=True):
            try:
                found.append(str(way(*args, **kwargs)))
            except Exception:
                found.append("unknown")
                if label not in failed:
                    failed.add(label)
                    log.exception("the label %s of a call of %r is not known", label, func)
        return tuple(found)

    return values


def _follow(path: str, func: Function) -> Function:
    """Return a function of a call's arguments that returns what a path of names leads to."""
    signature = inspect.signature(func)
    root = path.partition(".")[0]
    if _PATH.fullmatch(path) is None or root not in signature.parameters:
        known = ", ".join(signature.parameters) or "none"
        allowed = f"a parameter of {_name_of(func)} ({known}), or a path into one: order.kind"
        raise ConfigurationError("by", path, allowed)
    names: dict[str, object] = {}
    source = f"lambda {signature_source(signature, names)[1:-1]}: {path}"
    # Only identifiers that the signature itself has are in `source`, and the path that was checked.
    found: Function = eval(source, names)  # noqa: S307
    return found


def _decorate(func: F, by: str, wrap: Callable[[Function], Function]) -> F:
    """Wrap the function inside `func`, and put it back as it was.

    Raises:
        ConfigurationError: for what does not return once.
    """
    if isinstance(func, staticmethod | classmethod):
        return type(func)(_decorate(func.__func__, by, wrap))
    if not callable(func) or isinstance(func, type):
        raise ConfigurationError(f"what is decorated by {by}", func, "a function")
    inner = inspect.unwrap(func)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        allowed = "a function that returns once: a generator's time is mostly its reader's"
        raise ConfigurationError(f"what is decorated by {by}", func, allowed)
    return wraps(func)(wrap(func))  # type: ignore[return-value]  # of the same signature


def _is_async(func: Function) -> bool:
    # What it wraps says nothing: it may run an async function to its end, or make it one.
    called = getattr(func, "__call__", None)  # noqa: B004 - the method itself is examined
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(called)


def _name_of(func: Function) -> str:
    """Return what a function is called in the label: functions of two modules are two."""
    name = getattr(func, "__qualname__", type(func).__qualname__).replace("<locals>.", "")
    return f"{func.__module__}.{name}"
