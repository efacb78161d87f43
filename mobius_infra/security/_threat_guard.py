"""`@threats.guarded(...)`: how the caller stands, before the call."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from mobius_infra.core import AsyncDecorator, require
from mobius_infra.security._access_requires import argument_source

if TYPE_CHECKING:
    from mobius_infra.security._threats import ThreatDetector

P = ParamSpec("P")
R = TypeVar("R")

Source = str | Callable[..., object]


_FIELDS: Final = ("user", "ip", "chat")
# What is not there is nobody: a channel's post has no sender.
_NOBODY: Final = (AttributeError, LookupError, TypeError)


class Guarded(AsyncDecorator):
    """Lets a call through if nothing is against whoever makes it.

    Made by `ThreatDetector.guarded`.
    """

    __slots__ = ("_sources", "_threats")

    def __init__(self, threats: "ThreatDetector", sources: dict[str, Source | None]) -> None:
        given = {field: source for field, source in sources.items() if source is not None}
        someone = bool(given.keys() - {"verified"})
        require(someone, "user", None, "given, or `ip` or `chat`, to say who calls")
        for field, source in given.items():
            good = isinstance(source, str) or callable(source)
            require(good, field, source, "a parameter's name, or a function of the arguments")
        self._threats = threats
        self._sources = given

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        calm, demand = self._threats.calm, self._threats.demand
        sources = {
            field: argument_source(each, field, func) for field, each in self._sources.items()
        }
        # Any, here and below: whatever the arguments of a function lead to.
        verified: Callable[..., Any] = sources.pop("verified", lambda *_args, **_kwargs: False)
        places = [(_FIELDS.index(field), source) for field, source in sources.items()]

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            who: list[Any] = [None, None, None]
            try:
                for place, source in places:
                    who[place] = source(*args, **kwargs)
            except _NOBODY:
                inspect.signature(func).bind(*args, **kwargs)  # a wrong call is its own error
                for place, source in places:
                    with suppress(*_NOBODY):
                        who[place] = source(*args, **kwargs)
            if not calm(*who):
                shown = False
                with suppress(*_NOBODY):
                    shown = verified(*args, **kwargs)
                user, ip, chat = who
                demand(user=user, ip=ip, chat=chat, verified=shown)
            return await func(*args, **kwargs)

        return wrapper

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={source!r}" for field, source in self._sources.items())
        return f"{self._threats!r}.guarded({fields})"
