"""Who waits for a slot of a bulkhead, and whose turn is next."""

from collections import OrderedDict
from typing import Protocol, TypeVar

T = TypeVar("T")


class WaitQueue(Protocol[T]):
    """The order in which waiters are served. Pure: it knows no clock and awaits nothing.

    A bulkhead brings a first-in-first-out queue of its own. Another one, such as a queue that
    tenants share fairly, is plugged in by having these four methods; nothing is inherited. A queue
    belongs to one bulkhead. What is put in is hashable, unlike all that wait, and not looked into.
    """

    def push(self, tenant: str, item: T, /) -> bool:
        """Put `item` in, on account of `tenant`; False, changing nothing, if there is no room."""
        ...

    def pop(self) -> T | None:
        """Take out the one whose turn it is; None only if nobody waits."""
        ...

    def remove(self, item: T, /) -> bool:
        """Take `item` out, wherever it stands; False if it is not there."""
        ...

    def __len__(self) -> int:
        """Say how many wait."""
        ...


class Fifo:
    """First come, first served, whoever it is; at most `room` wait."""

    __slots__ = ("_items", "_room")

    def __init__(self, room: int) -> None:
        self._room = room
        # Ordered: takes the first and any other in O(1). A plain dict would search for its first
        # item through all that were taken before it.
        self._items: OrderedDict[object, None] = OrderedDict()

    def push(self, tenant: str, item: object, /) -> bool:
        """Put `item` at the end."""
        if len(self._items) >= self._room:
            return False
        self._items[item] = None
        return True

    def pop(self) -> object | None:
        """Take the first."""
        return self._items.popitem(last=False)[0] if self._items else None

    def remove(self, item: object, /) -> bool:
        """Take `item` out."""
        return self._items.pop(item, self) is None

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Fifo({len(self)} of {self._room})"
