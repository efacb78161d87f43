"""`@audit.recorded(...)`: calls, and how they ended."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mobius_infra.core import AsyncDecorator, MobiusError, require
from mobius_infra.security._access_requires import argument_source

if TYPE_CHECKING:
    from mobius_infra.security._audit import AuditLog

P = ParamSpec("P")
R = TypeVar("R")

_Said = dict[str, Any]  # Any: text, by the name of a parameter of `record`
Source = str | ContextVar[Any] | Callable[..., object]  # Any: ContextVar is invariant


class Recorded(AsyncDecorator):
    """Records each call. Made by `AuditLog.recorded`."""

    __slots__ = ("_action", "_audit", "_intent", "_sources")

    def __init__(
        self,
        audit: "AuditLog",
        action: str,
        sources: Mapping[str, Source | None],
        intent: bool,
    ) -> None:
        require(action != "", "action", action, "text")
        for field, source in sources.items():
            fits = source is None or isinstance(source, str | ContextVar) or callable(source)
            require(fits, field, source, "a parameter's name, a context variable or a function")
        self._audit, self._action, self._intent = audit, action, intent
        self._sources = {field: source for field, source in sources.items() if source is not None}

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        audit, action, intent = self._audit, self._action, self._intent
        reach = {field: argument_source(each, field, func) for field, each in self._sources.items()}

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            said: _Said = {field: _text(find, args, kwargs) for field, find in reach.items()}
            if intent:
                await audit.record(action, outcome="begun", **said)
            try:
                result = await func(*args, **kwargs)
            except asyncio.CancelledError:
                # Not awaited: who was cancelled must not be kept waiting.
                _note(audit, action, "cancelled", said)
                raise
            except Exception as error:
                await _record(audit, action, "failed", said, {"error": type(error).__name__})
                raise
            await _record(audit, action, "ok", said)
            return result

        return wrapper

    def __repr__(self) -> str:
        return f"{self._audit!r}.recorded({self._action!r})"


# Any: any function's arguments.
def _text(find: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    try:
        found = find(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - a wrong call is the function's to refuse
        return f"unknown: {type(error).__name__}"
    return "" if found is None else str(found)


async def _record(
    audit: "AuditLog",
    action: str,
    outcome: str,
    said: _Said,
    details: Mapping[str, object] | None = None,
) -> None:
    try:
        await audit.record(action, outcome=outcome, details=details, **said)
    except MobiusError as error:
        audit.missed(error)


def _note(audit: "AuditLog", action: str, outcome: str, said: _Said) -> None:
    try:
        audit.note(action, outcome=outcome, **said)
    except MobiusError as error:
        audit.missed(error)
