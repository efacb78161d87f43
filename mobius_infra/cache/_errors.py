"""What can be wrong with a load, or with what it loads."""

from dataclasses import dataclass

from mobius_infra.core import Event, MobiusError


class CacheCycleError(MobiusError):
    """A loader asked for the very key that it was loading, directly or through others.

    Attributes:
        name: the cache's name.
        keys: the cycle, from the key that was asked for back to itself.
    """

    def __init__(self, name: str, keys: tuple[str, ...]) -> None:
        super().__init__(
            f"loading in cache {name!r} waits for itself: {' → '.join(keys)}; "
            "a loader must not need its own result"
        )
        self.name = name
        self.keys = keys


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
