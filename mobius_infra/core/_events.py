"""Rare changes, pushed to whoever listens."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("mobius_infra")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something changed. Subclasses add what; all are small and immutable.

    Attributes:
        source: the name of the component that it happened to.
        at: when, in seconds since the epoch.
    """

    source: str
    at: float


Listener = Callable[[Event], object]


class Events:
    """The listeners of one component.

    They are called one after the other, where the change happened, and must not block. One that
    raises is logged and the others still hear of it: telemetry never breaks what it watches.
    """

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        # Replaced, never changed, so that a listener may subscribe or leave while it is called.
        self._listeners: tuple[Listener, ...] = ()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event from now on; return a function that ends it."""
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            kept = list(self._listeners)
            if listener in kept:
                kept.remove(listener)
            self._listeners = tuple(kept)

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Tell every listener."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("listener %r failed on %r", listener, event)

    def __len__(self) -> int:
        return len(self._listeners)

    def __repr__(self) -> str:
        return f"Events(listeners={len(self._listeners)})"
