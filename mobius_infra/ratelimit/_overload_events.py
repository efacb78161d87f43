"""What limiters and shedders tell their listeners: an overload begins, or ends."""

from dataclasses import dataclass

from mobius_infra.core import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAtFloor(Event):
    """An adaptive limit fell as low as it may: what it guards is hardly usable.

    Attributes:
        limit: calls at once that still may be.
    """

    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRecovered(Event):
    """An adaptive limit that was at its floor has doubled since.

    Attributes:
        limit: calls at once that may be.
    """

    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SheddingBegan(Event):
    """Calls are turned away from now on, the least important first.

    Attributes:
        signal: the signal that is highest.
        load: its value; 1 is as much as may be.
    """

    signal: str
    load: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SheddingEnded(Event):
    """No call is turned away any more.

    Attributes:
        lasted: seconds since it began.
        shed: calls that were turned away meanwhile.
    """

    lasted: float
    shed: int
