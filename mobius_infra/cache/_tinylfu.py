"""W-TinyLFU: a newcomer must have been asked for more often than what it would displace.

Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy" (ACM ToS 2017).
"""

from collections import OrderedDict

_ROWS = 4
_MOST = 15  # that one counter counts to
_HALVED = bytes(count >> 1 for count in range(256))


class _Sketch:
    """Estimates how often a key was seen lately, never too low: a count-min sketch that ages."""

    __slots__ = ("_left", "_period", "_rows", "_width")

    def __init__(self, capacity: int) -> None:
        self._width = max(64, 1 << (2 * capacity).bit_length())
        self._rows = [bytearray(self._width) for _ in range(_ROWS)]
        self._period = self._left = 10 * max(capacity, 16)

    def _places(self, key: str) -> list[int]:
        mixed = hash(key) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFFFFFF
        return [(mixed >> shift) & (self._width - 1) for shift in (8, 24, 40, 52)]

    def add(self, key: str) -> None:
        for row, place in zip(self._rows, self._places(key), strict=True):
            if row[place] < _MOST:
                row[place] += 1
        self._left -= 1
        if not self._left:
            self._left = self._period
            self._rows = [row.translate(_HALVED) for row in self._rows]

    def count(self, key: str) -> int:
        return min(row[at] for row, at in zip(self._rows, self._places(key), strict=True))


class WTinyLfu:
    """A small LRU window before a segmented LRU that admits by frequency.

    Args:
        capacity: keys that the tier holds.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._window: OrderedDict[str, None] = OrderedDict()
        self._probation: OrderedDict[str, None] = OrderedDict()
        self._protected: OrderedDict[str, None] = OrderedDict()
        self._most_window = max(1, capacity // 100)
        self._most_protected = (capacity - self._most_window) * 4 // 5
        self._seen = _Sketch(capacity)

    def add(self, key: str) -> None:
        self._seen.add(key)
        window = self._window
        window[key] = None
        held = len(window) + len(self._probation) + len(self._protected)
        if len(window) > self._most_window and held <= self._capacity:  # there is room behind it
            self._probation[window.popitem(last=False)[0]] = None

    def touch(self, key: str) -> None:
        self._seen.add(key)
        if key in self._window:
            self._window.move_to_end(key)
        elif key in self._protected:
            self._protected.move_to_end(key)
        else:
            del self._probation[key]
            self._protected[key] = None
            if len(self._protected) > self._most_protected:
                self._probation[self._protected.popitem(last=False)[0]] = None

    def victim(self) -> str:
        while len(self._window) > self._most_window:
            newcomer, _ = self._window.popitem(last=False)
            if not self._probation:
                self._probation[newcomer] = None
                continue
            eldest = next(iter(self._probation))
            if self._seen.count(newcomer) <= self._seen.count(eldest):
                return newcomer
            self._probation[newcomer] = None
            break
        for segment in (self._probation, self._window, self._protected):
            if segment:
                return segment.popitem(last=False)[0]
        raise LookupError("there is no key to evict")

    def remove(self, key: str) -> None:
        for segment in (self._window, self._probation, self._protected):
            segment.pop(key, None)
