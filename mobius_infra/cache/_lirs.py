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

_SHARES: Final = (0.01, 0.3, 1.0)  # of the room, for the queue; all of it is LRU
_STEPS: Final = 64  # in which the numbers of reads grow while as many are read as there is room for
_RIVAL: Final = 256  # keys that a rival holds at most
_FADING: Final = 0.9  # of the hits of a round that count in the next
_LEAD: Final = 1.02  # by which a rival must be better to be followed


class Lirs:
    """LIRS on keys.

    The paper has one stack of all keys by their last read, down to the hot key that was read
    longest ago: what lies lower can't become hot. Here each key has the number of its last read
    instead, and is in the stack if that is later than the one of that hot key. Numbers grow in
    steps, so that the keys of one step share one, and its memory.

    `_hot` and `_queue` have the resident keys by their last read. `_gone` and `_gone_before` have
    those that were evicted lately: whichever comes back while it is in the stack becomes hot.
    """

    __slots__ = (
        "_capacity",
        "_gone",
        "_gone_before",
        "_hot",
        "_left",
        "_most_hot",
        "_now",
        "_queue",
        "_step",
    )

    def __init__(self, capacity: int, share: float) -> None:
        self._hot: OrderedDict[str, int] = OrderedDict()
        self._queue: OrderedDict[str, int] = OrderedDict()
        self._gone: dict[str, int] = {}
        self._gone_before: dict[str, int] = {}
        self._capacity = capacity
        self._now = 1  # so that no number is nothing
        self._step = self._left = max(1, capacity // _STEPS)
        self.give_queue(share)

    def give_queue(self, share: float) -> None:
        """Give the queue this share of the room."""
        self._most_hot = max(0, self._capacity - max(1, int(self._capacity * share)))
        while len(self._hot) > self._most_hot:
            self._cool()

    def __contains__(self, key: str) -> bool:
        return key in self._hot or key in self._queue

    def __len__(self) -> int:
        return len(self._hot) + len(self._queue)

    def touch(self, key: str) -> None:
        self._tick()
        if key in self._hot:
            self._hot[key] = self._now
            self._hot.move_to_end(key)
        elif self._in_stack(self._queue[key]):
            del self._queue[key]
            self._heat(key)
        else:
            self._queue[key] = self._now
            self._queue.move_to_end(key)

    def add(self, key: str) -> None:
        self._tick()
        read = self._gone.pop(key, None) or self._gone_before.pop(key, None)
        there_is_room = len(self._hot) < self._most_hot and not self._queue
        if there_is_room or (read is not None and self._in_stack(read)):
            self._heat(key)
        else:
            self._queue[key] = self._now

    def victim(self) -> str:
        if not self._queue:
            self._cool()
        key, read = self._queue.popitem(last=False)
        if self._in_stack(read):
            self._gone[key] = read
            if len(self._gone) >= self._capacity:
                self._gone_before, self._gone = self._gone, {}
        return key

    def remove(self, key: str) -> None:
        if self._hot.pop(key, None) is None:
            self._queue.pop(key, None)

    def _tick(self) -> None:
        self._left -= 1
        if not self._left:
            self._left = self._step
            self._now += 1

    def _in_stack(self, read: int) -> bool:
        hot = self._hot
        return self._most_hot > 0 and (not hot or read > hot[next(iter(hot))])

    def _heat(self, key: str) -> None:
        self._hot[key] = self._now
        if len(self._hot) > self._most_hot:
            self._cool()

    def _cool(self) -> None:
        """Move the hot key that was read longest ago to the queue."""
        key, read = self._hot.popitem(last=False)
        self._queue[key] = read


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
