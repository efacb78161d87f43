"""How many different users there were today, this week, this month."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mobius_infra.core import (
    Clock,
    CodecError,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)
from mobius_infra.metrics._distinct import Distinct, Item

WINDOWS: Mapping[str, int] = MappingProxyType({"day": 1, "week": 7, "month": 30})

_SPARE = 2
"""Steps kept beyond the longest window: a clock that jumps to another day and back loses none."""

_FORMAT = b"A\x01"
_STEP = struct.Struct("<qI")


@dataclass(frozen=True, slots=True)
class ActiveUsersStats(Stats):
    """How many users there were."""

    users: Mapping[str, int] = gauge("Different users lately, by window", label="window")
    seen: int = counter("Times that a user was seen")


class ActiveUsers:
    """Different users of the last day, week and month, in bounded memory.

        users = ActiveUsers()
        users.seen(message.from_user.id)
        users.count("week")

    Each step of time (a day in UTC) has a `Distinct` of its own: exact up to 1,024 users, then
    within 0.81 % (standard error) in 16 KB. A window is the union of the last steps, the present
    one included, and has the same error. A month takes 524 KB at most, however many users.

    Days are the wall clock's, since people read them and restarts must find them again.

    Args:
        name: for its numbers.
        windows: steps in each window, by name.
        step: seconds of one step. With 3600 and `{"day": 24}` a day is the last 24 hours.
        precision: of each step's `Distinct`.
        salt: of each step's `Distinct`; as in the other processes that one merges with.
        clock: says what day it is.

    Raises:
        ConfigurationError: if there is no name or window, a window of no or too many steps, or
            another argument that makes no sense.
    """

    __slots__ = (
        "__weakref__", "_clock", "_longest", "_precision", "_salt", "_seen", "_step", "_steps",
        "_windows", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str = "users",
        *,
        windows: Mapping[str, int] = WINDOWS,
        step: float = 86_400.0,
        precision: int = 14,
        salt: bytes = b"",
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "a name for its numbers")
        good = all(type(each) is int and 0 < each <= 1000 for each in windows.values())
        require(bool(windows) and good, "windows", windows, "1 to 1000 steps for each name")
        good = not isinstance(step, bool) and 1 <= step < float("inf")
        require(good, "step", step, "seconds, at least 1")
        Distinct(precision, salt=salt)  # refuses what it can't be made with
        self.name = name
        self.events = Events()
        self._windows = dict(sorted(windows.items(), key=lambda each: each[1]))
        self._longest = max(windows.values())
        self._step = step
        self._precision = precision
        self._salt = salt
        self._clock = clock or SystemClock()
        self._steps: dict[int, Distinct] = {}
        self._seen = 0

    def seen(self, user: Item) -> None:
        """Count a user as active now."""
        self._seen += 1
        self._at(self._today()).add(user)

    def _today(self) -> int:
        return int(self._clock.time() // self._step)

    def _at(self, number: int) -> Distinct:
        """Return a step's users; those of the step furthest from the present make room."""
        found = self._steps.get(number)
        if found is None:
            found = self._steps[number] = Distinct(self._precision, salt=self._salt)
            today = self._today()
            while len(self._steps) > self._longest + _SPARE:
                del self._steps[max(self._steps, key=lambda each: abs(each - today))]
        return found

    def count(self, window: str) -> int:
        """Return how many different users a window had.

        Raises:
            ConfigurationError: if there is no window of this name.
        """
        require(window in self._windows, "window", window, f"one of {list(self._windows)}")
        return dict(self._counts())[window]

    def _counts(self) -> Iterator[tuple[str, int]]:
        """Give each window's number, the shortest first: each goes on where the last one ended."""
        union, at = Distinct(self._precision, salt=self._salt), self._today()
        first = at
        for window, length in self._windows.items():
            while first - at < length:
                held = self._steps.get(at)
                if held is not None:
                    union.merge(held)
                at -= 1
            yield window, union.count()

    def merge(self, other: "ActiveUsers") -> None:
        """Count the users of another one too, each at its day. Doing it twice changes nothing.

        Raises:
            ConfigurationError: if it has another step, precision or salt.
        """
        mine, theirs = self._step, other._step
        require(mine == theirs, "step", theirs, f"{mine:g} as in what it is merged into")
        self._take(other._steps)

    def _take(self, steps: Mapping[int, Distinct]) -> None:
        oldest, newest = self._today() - self._longest, self._today() + 1
        for number, users in steps.items():
            if oldest < number <= newest:
                self._at(number).merge(users)

    def to_bytes(self) -> bytes:
        """Return all steps, to be stored or sent."""
        whole = _FORMAT + struct.pack("<d", self._step)
        for number, users in sorted(self._steps.items()):
            data = users.to_bytes()
            whole += _STEP.pack(number, len(data)) + data
        return whole

    def load(self, data: bytes) -> None:
        """Count the users that `to_bytes` wrote, here or in another process, too.

        Raises:
            CodecError: if these bytes are not of this kind, are damaged, or were written with
                another step, precision or salt. Nothing is counted then.
        """
        if data[:10] != _FORMAT + struct.pack("<d", self._step):
            raise CodecError("active users", "not active users, or of another step")
        steps, at = {}, 10
        while at < len(data):
            try:
                number, size = _STEP.unpack_from(data, at)
            except struct.error as error:
                raise CodecError("active users", "damaged") from error
            at += _STEP.size + size
            users = steps[number] = Distinct.from_bytes(data[at - size : at], salt=self._salt)
            if users.precision != self._precision or at > len(data):
                raise CodecError("active users", "damaged, or of another precision")
        self._take(steps)

    def stats(self) -> ActiveUsersStats:
        """Return the numbers of all windows."""
        return ActiveUsersStats(users=dict(self._counts()), seen=self._seen)

    def __repr__(self) -> str:
        return f"ActiveUsers({self.name!r}, {', '.join(f'{k}={n}' for k, n in self._counts())})"
