"""The limits of many keys in one process, in bounded memory.

A key whose limits are as fresh is forgotten: that is the same as none. When all that are kept are
in use, new keys share one state between them, the overflow. Nobody's limit is ever reset to make
room, so nobody can have theirs reset by asking for others.
"""

import re
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, TypeVar

from mobius_infra.core import Clock, State
from mobius_infra.ratelimit import _step
from mobius_infra.ratelimit._bucket import BUCKET
from mobius_infra.ratelimit._kind import SECOND, Rule

V = TypeVar("V")
Key = str | int

_BEFORE_INSERT: Final = 2  # old keys that each new one looks at: more are looked at than come in
_FOR_ROOM: Final = 16  # that one looks at when there is no room
_WHOLE: Final = re.compile(r"-?[1-9][0-9]{0,99}|0")
_LONG: Final = 200  # characters, of at most four bytes each; a backend's keys are 1,024 at most


class Taken(NamedTuple):
    """What a decision came to.

    Attributes:
        granted: tokens; -1 if it was refused.
        wait: microseconds until they may be used or, refused, asked for again.
        at: when, in microseconds.
        marks: what each limit needs to take it back.
        left: for each limit the tokens left, and the microseconds until it is as fresh.
        home: where it was taken from.
    """

    granted: int
    wait: int
    at: int
    marks: Sequence[int]
    left: Sequence[tuple[int, int]]
    home: Literal["memory", "backend", "share", "nowhere"] = "memory"


def short(key: str) -> str:
    """Return the key, or a digest of one that no backend would store: keys are what strangers send.

    That is one that is long, or has halves of surrogate pairs, which JSON can bring in.
    """
    if len(key) <= _LONG:
        if key.isascii():
            return key
        try:
            key.encode()
        except UnicodeEncodeError:
            pass
        else:
            return key
    return f"sha256:{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def key_of(text: str) -> Key:
    """Return the key as it is kept in memory: a whole number as `int`, in half of the memory.

    A call whose key is one `int` argument finds its limit by that, without making text of it.
    """
    return int(text) if _WHOLE.fullmatch(text) else short(text)


class Table(Protocol):
    """One set of limits for many keys."""

    @property
    def overflowed(self) -> int:
        """Decisions that were made on the overflow."""
        ...

    def now(self) -> int:
        """Return the time that its states are in, in microseconds."""
        ...

    def take(self, key: Key, cost: int, most: int, patience: int) -> Taken:
        """Take tokens; see `_step.evaluate`."""
        ...

    def peek(self, key: Key, cost: int) -> Taken:
        """Say what a call would get; granted is 0."""
        ...

    def give_back(self, key: Key, cost: int, taken: Taken) -> None:
        """Give back `cost` of what was taken."""
        ...

    def reset(self, key: Key) -> None:
        """Make the limits of `key` as fresh."""
        ...

    def sweep(self) -> None:
        """Forget some of the keys whose limits are as fresh."""
        ...

    def __len__(self) -> int: ...


class Room(Generic[V]):
    """A bounded dict of states, and the overflow.

    Args:
        most: keys at most.
        idle: says of a state whether it is as fresh at a time.
        overflow: the state shared by all for whom there is no room, at first.
    """

    __slots__ = ("_idle", "_most", "_ring", "overflow", "overflowed", "values")

    def __init__(self, most: int, idle: Callable[[V, int], bool], overflow: V) -> None:
        self.values: dict[Key, V] = {}
        self.overflow = overflow
        self.overflowed = 0
        self._most = most
        self._idle = idle
        # The keys in turn. Walking the dict itself would be slow: what is deleted in front of it
        # leaves holes that each walk has to pass.
        self._ring: deque[Key] = deque()

    def put(self, key: Key, value: V, now: int) -> None:
        """Keep the state of a key that may be new."""
        values = self.values
        if key in values:
            values[key] = value
        elif len(values) < self._most or self.sweep(now, _FOR_ROOM):
            self.sweep(now, _BEFORE_INSERT)
            values[key] = value
            self._ring.append(key)
        else:
            self.overflow = value
            self.overflowed += 1

    def sweep(self, now: int, steps: int) -> bool:
        """Look at some keys, forget those that are idle; say whether there is room."""
        values, ring = self.values, self._ring
        for _ in range(min(steps, len(ring))):
            key = ring.popleft()
            if self._idle(values[key], now):
                del values[key]
            else:
                ring.append(key)
        return len(values) < self._most


class Meters:
    """The table of one bucket: an integer a key.

    It is the time at which nothing will be owed any more, in parts of a microsecond of which
    `count` make one, so that it is exact for any rate. This decides as the step of `_bucket.py`
    does, of which it is the form for a clock that never goes back.
    """

    __slots__ = ("_clock", "capacity", "count", "period", "room")

    def __init__(self, rule: Rule, most: int, clock: Clock) -> None:
        _, self.count, self.period, self.capacity = rule
        self._clock = clock
        count = self.count
        self.room: Room[int] = Room(most, lambda until, now: until <= now * count, 0)

    @property
    def overflowed(self) -> int:
        return self.room.overflowed

    @property
    def monotonic(self) -> Callable[[], float]:
        """The clock's function: `now` for the hot path."""
        return self._clock.monotonic

    def now(self) -> int:
        return int(self._clock.monotonic() * SECOND)

    def take(self, key: Key, cost: int, most: int, patience: int) -> Taken:
        at, count = self.now(), self.count
        now = at * count
        # Who is new begins with what the overflow owes: some of it may be theirs.
        owed = max(self.room.values.get(key, self.room.overflow) - now, 0)
        over = owed + cost * self.period - self.capacity
        wait = -(-over // count) if over > 0 else 0
        if wait > patience:
            return Taken(-1, wait, at, (), self._left(owed))
        if most > cost and not wait:
            cost = max(cost, min(most, (self.capacity - owed) // self.period))
        owed = max(owed, wait * count) + cost * self.period
        if owed:
            self.room.put(key, now + owed, at)
        return Taken(cost, wait, at, (owed,), self._left(owed))

    def peek(self, key: Key, cost: int) -> Taken:
        at = self.now()
        owed = self._owed(key, at)
        over = owed + cost * self.period - self.capacity
        return Taken(0, max(-(-over // self.count), 0), at, (), self._left(owed))

    def give_back(self, key: Key, cost: int, taken: Taken) -> None:
        at = self.now()
        owed = self._owed(key, at)
        unpaid = taken.marks[0] - (at - taken.at) * self.count
        if unpaid < owed:  # others came after it: see `_bucket.refund`
            unpaid -= max(owed - self.capacity, 0)
        back = max(min(unpaid, cost * self.period, owed), 0)
        if back:
            self.room.put(key, at * self.count + owed - back, at)

    def reset(self, key: Key) -> None:
        if key in self.room.values:
            self.room.values[key] = 0

    def sweep(self) -> None:
        self.room.sweep(self.now(), _FOR_ROOM)

    def __len__(self) -> int:
        return len(self.room.values)

    def _owed(self, key: Key, at: int) -> int:
        return max(self.room.values.get(key, self.room.overflow) - at * self.count, 0)

    def _left(self, owed: int) -> tuple[tuple[int, int]]:
        return ((max((self.capacity - owed) // self.period, 0), -(-owed // self.count)),)


class States:
    """The table of any limits: the state of the step, as it is."""

    __slots__ = ("_clock", "_origin", "_rules", "room")

    def __init__(self, rules: Sequence[Rule], most: int, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        # Windows begin where everybody's do; but time goes on by the clock that never goes back.
        self._origin = int((clock.time() - clock.monotonic()) * SECOND)
        self.room: Room[State | None] = Room(most, self._idle, None)

    @property
    def overflowed(self) -> int:
        return self.room.overflowed

    def now(self) -> int:
        return int(self._clock.monotonic() * SECOND) + self._origin

    def take(self, key: Key, cost: int, most: int, patience: int) -> Taken:
        at = self.now()
        state = self._state(key, at)
        granted, wait, marks = _step.evaluate(self._rules, state, at, cost, most, patience)
        if granted > 0:
            self.room.put(key, state, at)
        return Taken(granted, wait, at, marks, _step.report(self._rules, state, at))

    def peek(self, key: Key, cost: int) -> Taken:
        at = self.now()
        state = self._state(key, at)
        wait = _step.look(self._rules, state, at, cost)
        return Taken(0, wait, at, (), _step.report(self._rules, state, at))

    def give_back(self, key: Key, cost: int, taken: Taken) -> None:
        at = self.now()
        state = self._state(key, at)
        _step.give_back(self._rules, state, at, cost, taken.at, taken.marks)
        if key not in self.room.values and self.room.overflow is not None:
            self.room.overflow = state

    def reset(self, key: Key) -> None:
        if key in self.room.values:
            self.room.values[key] = _step.fresh(self._rules, self.now())

    def sweep(self) -> None:
        self.room.sweep(self.now(), _FOR_ROOM)

    def quick(self) -> Callable[[Key, int], bool]:
        """Return a function that takes a cost from a known key, or says that it did not.

        For the hot path: nothing is made, nothing is reported.
        """
        monotonic, origin, find = self._clock.monotonic, self._origin, self.room.values.get
        if len(self._rules) == 1:
            ((kind, a, b, c),) = self._rules
            look, spend = kind.look, kind.spend

            def take_one(key: Key, cost: int) -> bool:
                state = find(key)
                if state is None:
                    return False
                own = state[0]
                now = int(monotonic() * 1e6) + origin
                if look(own, now, cost, a, b, c):
                    return False
                spend(own, cost, 0, a, b, c, now)
                return True

            return take_one
        rules = self._rules

        def take_all(key: Key, cost: int) -> bool:
            state = find(key)
            if state is None:
                return False
            now = int(monotonic() * 1e6) + origin
            for (kind, a, b, c), own in zip(rules, state):  # noqa: B905 - of one length, and hot
                if kind.look(own, now, cost, a, b, c):
                    return False
            for (kind, a, b, c), own in zip(rules, state):  # noqa: B905
                kind.spend(own, cost, 0, a, b, c, now)
            return True

        return take_all

    def __len__(self) -> int:
        return len(self.room.values)

    def _state(self, key: Key, at: int) -> State:
        state = self.room.values.get(key)
        if state is not None:
            return state
        # Who is new begins with what the overflow has spent: some of it may be theirs.
        spent = self.room.overflow
        return [own.copy() for own in spent] if spent else _step.fresh(self._rules, at)

    # Any: `Room` doesn't know that what it keeps is never the None that it begins with.
    def _idle(self, state: Any, now: int) -> bool:
        _step.look(self._rules, state, now, 0)
        return not any(until for _, until in _step.report(self._rules, state, now))


def table_for(rules: Sequence[Rule], most: int, clock: Clock) -> Meters | States:
    """Return the table that keeps these rules in least memory."""
    if len(rules) == 1 and rules[0].kind is BUCKET:
        return Meters(rules[0], most, clock)
    return States(rules, most, clock)
