"""The default policy: LIRS, with as much room for newcomers as pays at present.

LIRS (Jiang and Zhang, SIGMETRICS 2002) ranks keys by the time between their last two reads, not by
the last read alone, and so is not flushed by a scan nor fooled by a loop that is longer than the
cache. It keeps nearly all room for keys that came back soon (hot), and a small queue for the rest.
Where recency is all there is to know, a small queue is wrong, and the whole cache should be one.

How large the queue should be is found by a tournament: rivals that hold keys only, on a sample of
all keys, one with a small queue, one with a larger, one that is LRU. The cache takes the size of
the one that has had the most hits lately.
"""

from collections import OrderedDict
from typing import Final

_HOT, _COLD, _GONE = 0, 1, 2

_SHARES: Final = (0.01, 0.3, 1.0)  # of the room, for the queue; all of it is LRU
_RIVAL: Final = 256  # keys that a rival holds at most
_FADING: Final = 0.9  # of the hits of a round that count in the next
_LEAD: Final = 1.02  # by which a rival must be better to be followed


class Lirs:
    """LIRS on keys.

    `_stack` has keys by their last read, down to the hot key read longest ago: what lies lower
    can't become hot. `_queue` has the resident keys that are not hot, by their last read. `_gone`
    has those of the stack that were evicted and are remembered, by when they were.
    """

    __slots__ = ("_capacity", "_gone", "_hot", "_most_hot", "_queue", "_share", "_stack")

    def __init__(self, capacity: int, share: float) -> None:
        self._stack: OrderedDict[str, int] = OrderedDict()
        self._queue: OrderedDict[str, None] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._hot = 0
        self._capacity = capacity
        self.give_queue(share)

    def give_queue(self, share: float) -> None:
        """Give the queue this share of the room."""
        self._share = share
        self._most_hot = max(0, self._capacity - max(1, int(self._capacity * share)))
        while self._hot > self._most_hot:
            self._cool()

    def __contains__(self, key: str) -> bool:
        return self._stack.get(key) == _HOT or key in self._queue

    def __len__(self) -> int:
        return self._hot + len(self._queue)

    def touch(self, key: str) -> None:
        stack = self._stack
        state = stack.get(key)
        if state == _HOT:
            stack.move_to_end(key)
            self._prune()
        elif state == _COLD and self._most_hot:
            stack.move_to_end(key)
            del self._queue[key]
            self._heat(key)
        else:
            self._queue.move_to_end(key)
            if self._most_hot:
                stack[key] = _COLD

    def add(self, key: str) -> None:
        if self._stack.get(key) == _GONE:
            del self._gone[key]
            self._stack.move_to_end(key)
            self._heat(key)
        elif self._hot < self._most_hot and not self._queue:
            self._heat(key)  # there is room
        else:
            if self._most_hot:
                self._stack[key] = _COLD
            self._queue[key] = None

    def victim(self) -> str:
        if not self._queue:
            self._cool()
        key, _ = self._queue.popitem(last=False)
        if key in self._stack:
            self._stack[key] = _GONE
            self._gone[key] = None
            if len(self._gone) > 2 * self._capacity:
                forgotten, _ = self._gone.popitem(last=False)
                del self._stack[forgotten]
        return key

    def remove(self, key: str) -> None:
        if key in self._queue:
            del self._queue[key]
            self._stack.pop(key, None)
        elif self._stack.get(key) == _HOT:
            del self._stack[key]
            self._hot -= 1
            self._prune()

    def _heat(self, key: str) -> None:
        self._stack[key] = _HOT
        self._hot += 1
        if self._hot > self._most_hot:
            self._cool()

    def _cool(self) -> None:
        """Move the hot key that was read longest ago to the queue."""
        key, _ = self._stack.popitem(last=False)
        self._hot -= 1
        self._queue[key] = None
        self._prune()

    def _prune(self) -> None:
        """Let the stack end with a hot key."""
        stack = self._stack
        while stack:
            key = next(iter(stack))
            state = stack[key]
            if state == _HOT:
                return
            del stack[key]
            if state == _GONE:
                del self._gone[key]


class _Lru:
    __slots__ = ("_capacity", "_keys")

    def __init__(self, capacity: int) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._capacity = capacity

    def read(self, key: str) -> bool:
        keys = self._keys
        if key in keys:
            keys.move_to_end(key)
            return True
        keys[key] = None
        if len(keys) > self._capacity:
            keys.popitem(last=False)
        return False


class _LirsRival(Lirs):
    __slots__ = ()

    def read(self, key: str) -> bool:
        if key in self:
            self.touch(key)
            return True
        self.add(key)
        if len(self) > self._capacity:
            self.victim()
        return False


class AdaptiveLirs:
    """LIRS whose queue has the size that the winner of the tournament has.

    Args:
        capacity: keys that the tier holds.
    """

    def __init__(self, capacity: int) -> None:
        self._lirs = Lirs(capacity, _SHARES[0])
        size = min(capacity, _RIVAL)
        self._rivals = [
            _Lru(size) if share == 1.0 else _LirsRival(size, share) for share in _SHARES
        ]
        self._hits = [0.0] * len(_SHARES)
        self._leader = 0
        self._sample = (size << 32) // capacity if capacity else 0
        self._round = self._left = max(size, 16)
        self.touch_main, self.add_main = self._lirs.touch, self._lirs.add
        self.victim, self.remove = self._lirs.victim, self._lirs.remove

    @property
    def share(self) -> float:
        """The share of the room that newcomers have at present."""
        return _SHARES[self._leader]

    def add(self, key: str) -> None:
        self._compete(key)
        self.add_main(key)

    def touch(self, key: str) -> None:
        self._compete(key)
        self.touch_main(key)

    def _compete(self, key: str) -> None:
        # A hash is spread well enough in its low bits once it is multiplied.
        if (hash(key) * 0x9E3779B97F4A7C15 >> 16) & 0xFFFFFFFF >= self._sample:
            return
        hits = self._hits
        for number, rival in enumerate(self._rivals):
            if rival.read(key):
                hits[number] += 1
        self._left -= 1
        if not self._left:
            self._left = self._round
            best = max(range(len(hits)), key=hits.__getitem__)
            if hits[best] > hits[self._leader] * _LEAD + 1:
                self._leader = best
                self._lirs.give_queue(_SHARES[best])
            self._hits = [each * _FADING for each in hits]
