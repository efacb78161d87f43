"""`@threats.guarded(...)`: how the caller stands, before the call."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar

from mobius_infra.core import AsyncDecorator, require
from mobius_infra.security._access_requires import argument_source
from mobius_infra.security._threat_refusals import Refusals

if TYPE_CHECKING:
    from mobius_infra.security._threats import ThreatDetector

P = ParamSpec("P")
R = TypeVar("R")

Source = str | Callable[..., object]
OnError = Literal["refuse", "pass"]

_FIELDS: Final = ("user", "ip", "chat")
_IDS: Final = frozenset((int, str, type(None)))


class Guarded(AsyncDecorator):
    """Lets a call through if nothing is against whoever makes it.

    Made by `ThreatDetector.guarded`.
    """

    __slots__ = ("_refusals", "_refuse", "_sources", "_threats")

    def __init__(
        self,
        threats: "ThreatDetector",
        refusals: Refusals,
        sources: dict[str, Source | None],
        on_error: OnError,
    ) -> None:
        given = {field: source for field, source in sources.items() if source is not None}
        someone = bool(given.keys() - {"verified"})
        require(someone, "user", None, "given, or `ip` or `chat`, to say who calls")
        for field, source in given.items():
            good = isinstance(source, str) or callable(source)
            good = good and not inspect.iscoroutinefunction(source)
            allowed = "a parameter's name, or a function, not async, of the arguments"
            require(good, field, source, allowed)
        require(on_error in ("refuse", "pass"), "on_error", on_error, "'refuse' or 'pass'")
        self._threats = threats
        self._refusals = refusals
        self._sources = given
        self._refuse = on_error == "refuse"

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        calm, demand = self._threats.calm, self._threats.demand
        failed, refuse = self._refusals.failed, self._refuse
        sources = {
            field: argument_source(each, field, func, through_none=True)
            for field, each in self._sources.items()
        }
        # Any, here and below: whatever the arguments of a function lead to.
        verified: Callable[..., Any] = sources.pop("verified", lambda *_args, **_kwargs: False)
        places = [(_FIELDS.index(field), source) for field, source in sources.items()]

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            who: list[Any] = [None, None, None]
            for place, source in places:
                try:
                    found = source(*args, **kwargs)
                    who[place] = found if type(found) in _IDS else _id(found)
                except Exception as error:  # noqa: BLE001 - whatever it is, who calls is not known
                    inspect.signature(func).bind(*args, **kwargs)  # a wrong call is its own error
                    failed(_FIELDS[place], error, refuse=refuse)
            if not calm(*who):
                try:
                    shown = _plain(verified(*args, **kwargs))
                except Exception as error:  # noqa: BLE001 - nothing was shown
                    shown = False
                    failed("verified", error, refuse=False)
                user, ip, chat = who
                demand(user=user, ip=ip, chat=chat, verified=shown)
            return await func(*args, **kwargs)

        return wrapper

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={source!r}" for field, source in self._sources.items())
        return f"{self._threats!r}.guarded({fields})"


def _id(found: object) -> str | int:
    """Return an id; of anything else the text, if it has one, may be another each time."""
    if isinstance(found, str | int) and not isinstance(found, bool):
        return found
    raise TypeError("neither text nor a whole number")


def _plain(shown: object) -> object:
    """Return what was shown; nothing was that must be waited for, which is true as it stands."""
    if inspect.isawaitable(shown):
        if inspect.iscoroutine(shown):
            shown.close()
        raise TypeError("to be awaited")
    return shown
