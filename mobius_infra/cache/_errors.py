"""What can be wrong with a load."""

from mobius_infra.core import MobiusError


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
