"""Errors of shared and of background work."""

from mobius_infra.core import MobiusError, Rejected


class WorkCancelledError(MobiusError):
    """Work that several callers shared was cancelled from inside, though none of them was.

    Attributes:
        name: the component whose work it was.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the shared work of {name!r} was cancelled, not its callers: call again")
        self.name = name


class WorkCycleError(MobiusError):
    """Work would wait, through others or at once, for itself.

    Attributes:
        name: the component whose work was to be waited for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"shared work of {name!r} waits for itself: call the function inside it")
        self.name = name


class BatchKeyError(MobiusError, LookupError):
    """A batched function said nothing of a key that it was asked for.

    Attributes:
        name: the component's name.
        key: the key.
    """

    def __init__(self, name: str, key: object) -> None:
        super().__init__(f"the batched function of {name!r} returned nothing for key {key!r}")
        self.name = name
        self.key = key


class WorkFullError(Rejected):
    """There is no room for more work, nor to wait for room.

    Attributes:
        name: the component's name.
        limit: how much may be under way.
        waiting: how much waits.
        retry_after: always None.
    """

    def __init__(self, name: str, *, limit: int, waiting: int) -> None:
        super().__init__(
            f"{name!r} is full: its limit is {limit}, {waiting} wait", name=name, retry_after=None
        )
        self.limit = limit
        self.waiting = waiting


class WorkClosedError(Rejected):
    """It is closed, or being closed, and takes no more work.

    Attributes:
        name: the component's name.
        retry_after: always None.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is closed: it takes no more work", name=name, retry_after=None)
