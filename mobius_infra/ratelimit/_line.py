"""Who waits for a key, first come first served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Line:
    """Who waits for one key."""

    __slots__ = ("cost", "head", "lock", "ready_at", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # fair: newcomers stand behind
        self.waiting = 0
        self.cost = 0  # of all of them
        self.head = 0  # of that, the head's
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

    def ahead(self, key: str, now: float, cost: int | None, pace: float) -> float | None:
        """Return the seconds that a newcomer of `key` waits at least; None: there is no room.

        Args:
            key: whose line.
            now: monotonic seconds.
            cost: the newcomer's, who waits for it once the head has passed; None: as in a queue,
                where each waits for what the one before costs.
            pace: seconds a token; 0 where a limit doesn't give them at a pace.
        """
        line = self.places.get(key)
        if line is None:
            return 0.0
        if line.waiting >= self._most:
            return None
        if not line.ready_at:
            return 0.0
        tokens = line.cost if cost is None else line.cost - line.head + cost
        return max(line.ready_at - now, 0.0) + tokens * pace

    def expect(self, key: str, ready_at: float) -> None:
        """Note when the head of the line will have passed."""
        self.places[key].ready_at = ready_at

    @asynccontextmanager
    async def turn(self, key: str, cost: int) -> AsyncIterator[None]:
        """Wait for the head of the line; be it for the block."""
        line = self.places.setdefault(key, Line())
        line.waiting += 1
        line.cost += cost
        try:
            async with line.lock:
                line.head, line.ready_at = cost, 0.0
                try:
                    yield
                finally:
                    line.head = 0
        finally:
            line.waiting -= 1
            line.cost -= cost
            if not line.waiting:
                del self.places[key]

    @property
    def waiting(self) -> int:
        """Calls that wait, heads included."""
        return sum(line.waiting for line in self.places.values())
