"""Decorators that time and count calls, of sync and of async functions alike.

A decorator that does not await what it is given times the making of a coroutine, not its run. So
which of the two a function is, is found out once, when it is decorated.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, TypeVar

from mobius_infra.core import ConfigurationError, compile_key
from mobius_infra.metrics._instruments import Counter, Gauge, Histogram
from mobius_infra.metrics._labelled import Labelled

log = logging.getLogger("mobius_infra")

F = TypeVar("F")
Outcome = Literal["ok", "error", "cancelled"]
# Any, here and below: whatever function is decorated; the decorators keep its type.
Function = Callable[..., Any]
By = str | Callable[..., str]


def outcome_of(error: BaseException) -> Outcome:
    """Return what became of a call that raised `error`."""
    given_up = isinstance(error, asyncio.CancelledError | GeneratorExit)
    return "cancelled" if given_up else "error"


def timed(func: F, seconds: Labelled[Histogram], now: Callable[[], float]) -> F:
    """Observe how long each call takes, by outcome."""
    return _decorate(func, "timed", lambda plain: _timer(plain, seconds, now))


def counted(func: F, calls: Labelled[Counter], by: By | None) -> F:
    """Count calls by outcome, and by a value of theirs."""
    return _decorate(func, "counted", lambda plain: _tally(plain, calls, by))


def in_flight(func: F, running: Labelled[Gauge]) -> F:
    """Say how many calls are under way."""
    return _decorate(func, "in_flight", lambda plain: _presence(plain, running))


def _timer(func: Function, seconds: Labelled[Histogram], now: Callable[[], float]) -> Function:
    name = _name_of(func)
    ok = seconds.labels(name, "ok").observe

    def failed(error: BaseException, started: float) -> None:
        seconds.labels(name, outcome_of(error)).observe(now() - started)

    async def timed_async(*args: Any, **kwargs: Any) -> Any:
        started = now()
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            failed(error, started)
            raise
        ok(now() - started)
        return result

    def timed_sync(*args: Any, **kwargs: Any) -> Any:
        started = now()
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            failed(error, started)
            raise
        ok(now() - started)
        return result

    return timed_async if _is_async(func) else timed_sync


def _tally(func: Function, calls: Labelled[Counter], by: By | None) -> Function:
    name = _name_of(func)
    value_of = (lambda *args, **kwargs: "") if by is None else _carefully(compile_key(by, func))

    def count(outcome: Outcome, value: str) -> None:
        calls.labels(name, outcome, value).inc()

    async def counted_async(*args: Any, **kwargs: Any) -> Any:
        value = value_of(*args, **kwargs)
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            count(outcome_of(error), value)
            raise
        count("ok", value)
        return result

    def counted_sync(*args: Any, **kwargs: Any) -> Any:
        value = value_of(*args, **kwargs)
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            count(outcome_of(error), value)
            raise
        count("ok", value)
        return result

    return counted_async if _is_async(func) else counted_sync


def _presence(func: Function, running: Labelled[Gauge]) -> Function:
    gauge = running.labels(_name_of(func))

    async def present_async(*args: Any, **kwargs: Any) -> Any:
        gauge.inc()
        try:
            return await func(*args, **kwargs)
        finally:
            gauge.dec()

    def present_sync(*args: Any, **kwargs: Any) -> Any:
        gauge.inc()
        try:
            return func(*args, **kwargs)
        finally:
            gauge.dec()

    return present_async if _is_async(func) else present_sync


def _carefully(value_of: Callable[..., str]) -> Callable[..., str]:
    """Return `unknown` where it fails: counting a call never makes it fail."""

    def value(*args: Any, **kwargs: Any) -> str:
        try:
            return value_of(*args, **kwargs)
        except Exception:
            log.exception("what a call is counted by could not be told")
            return "unknown"

    return value


def _decorate(func: F, by: str, wrap: Callable[[Function], Function]) -> F:
    if isinstance(func, staticmethod | classmethod):
        return type(func)(_decorate(func.__func__, by, wrap))  # type: ignore[return-value]  # its own kind
    inner = inspect.unwrap(func) if callable(func) else func
    if not callable(func) or inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise ConfigurationError(
            f"what is decorated by {by}", func, "a function, sync or async, that returns once"
        )
    return wraps(func)(wrap(func))  # type: ignore[return-value]  # of the same signature


def _is_async(func: Function) -> bool:
    called = getattr(func, "__call__", None)  # noqa: B004 - the method itself is examined
    return any(map(inspect.iscoroutinefunction, (func, inspect.unwrap(func), called)))


def _name_of(func: Function) -> str:
    name: str = getattr(func, "__qualname__", type(func).__qualname__)
    return name.replace("<locals>.", "")


