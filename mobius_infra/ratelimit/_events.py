"""What limiters tell their listeners."""

from dataclasses import dataclass

from mobius_infra.core import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterDegraded(Event):
    """The backend failed; limits are now kept, or not kept, as `on_error` says.

    Attributes:
        reason: what the backend said.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterRestored(Event):
    """The backend keeps the limits again.

    Attributes:
        down_for: seconds since it was lost.
    """

    down_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundPaused(Event):
    """An upstream asked for a pause.

    Attributes:
        chat: whose messages wait; None: everybody's.
        seconds: how long.
    """

    chat: str | None
    seconds: float
