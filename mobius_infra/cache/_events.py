"""What a cache tells of."""

from dataclasses import dataclass

from mobius_infra.core import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class TierDegraded(Event):
    """A tier failed and is skipped for now.

    Attributes:
        tier: its name.
        reason: what its backend said.
    """

    tier: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRestored(Event):
    """A tier serves again; what was invalidated meanwhile has been made invalid in it.

    Attributes:
        tier: its name.
    """

    tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueUnwritable(Event):
    """A value could not be written for the lower tiers; it is held in memory only.

    Told once for each function whose values are such.

    Attributes:
        key: of the first such value.
        reason: what the codec said.
    """

    key: str
    reason: str
