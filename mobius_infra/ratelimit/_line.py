"""Who waits for a key, first come first served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Line:
    """Who waits for one key."""

    __slots__ = ("cost", "lock", "ready_at", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # fair: newcomers stand behind
        self.waiting = 0
        self.cost = 0  # of those behind the head
        self.ready_at = 0.0  # when the head will have passed, once that is known


class Lines:
    """A line for each key in which somebody waits; one never holds up another.

    The head of a line alone deals with the limit, so whoever leaves from behind it owes nothing,
    and a large cost at the head is not overtaken by small ones.

    Args:
        most: calls of one key that wait at most.

    Attributes:
        places: the lines in which somebody is.
    """

    __slots__ = ("_most", "places")

    def __init__(self, most: int) -> None:
        self.places: dict[str, Line] = {}
        self._most = most

    def ahead(self, key: str, now: float, cost: int, pace: float) -> float | None:
        """Return the seconds that a newcomer of `key` waits at least; None: there is no room.

        Args:
            key: whose line.
            now: monotonic seconds.
            cost: the newcomer's.
            pace: seconds a token; 0 where a limit doesn't give them at a pace.
        """
        line = self.places.get(key)
        if line is None:
            return 0.0
        if line.waiting >= self._most:
            return None
        return max(line.ready_at - now, 0.0) + (line.cost + cost) * pace if line.ready_at else 0.0

    def expect(self, key: str, ready_at: float) -> None:
        """Note when the head of the line will have passed."""
        self.places[key].ready_at = ready_at

    @asynccontextmanager
    async def turn(self, key: str, cost: int) -> AsyncIterator[None]:
        """Wait for the head of the line; be it for the block."""
        line = self.places.setdefault(key, Line())
        line.waiting += 1
        line.cost += cost
        behind = True
        try:
            async with line.lock:
                line.cost -= cost
                behind = False
                line.ready_at = 0.0
                yield
        finally:
            line.waiting -= 1
            line.cost -= cost * behind
            if not line.waiting:
                del self.places[key]

    @property
    def waiting(self) -> int:
        """Calls that wait, heads included."""
        return sum(line.waiting for line in self.places.values())
