"""How long a thing was up, down, or not looked at: what availability is computed from.

All times are whole milliseconds since the epoch, so that sums are exact. A ledger is told of states
as they are seen, in order; it never goes back. It is a pure structure: it knows no clock.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Seen = Literal["up", "down", "unobserved"]

HOUR = 3_600_000
DAY = 24 * HOUR
KEPT = 91 * 24  # hours
_MOST_SPANS = 2_000  # of one state each; past that the older half is kept as sums by hour


class Span(NamedTuple):
    """From when on a state held; until the next one."""

    start: int
    state: Seen


class Tally(NamedTuple):
    """Milliseconds of a stretch of time; planned maintenance is in none of them but its own."""

    up: int = 0
    down: int = 0
    unobserved: int = 0
    planned: int = 0

    def plus(self, other: "Tally") -> "Tally":
        """Return the sums."""
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))

    def add(self, state: str, amount: int) -> "Tally":
        """Return it with `amount` more of one of its fields."""
        return self._replace(**{state: getattr(self, state) + amount})


@dataclass(frozen=True, slots=True)
class Availability:
    """How available a thing was in a window.

    What was not observed may have been either, so there are two bounds, and a share of what was
    observed between them. None of them counts planned maintenance, and none exceeds 1.

    Attributes:
        up: seconds that it was seen up.
        down: seconds that it was seen down; outages at the same time count once.
        unobserved: seconds that nobody looked, or that are before the first look.
        planned: seconds of maintenance.
        share: up, of what was observed, from 0 to 1; None if nothing was.
        lower: share if all that was not observed was down; None if there was no time at all.
        upper: share if all that was not observed was up.
    """

    up: float
    down: float
    unobserved: float
    planned: float
    share: float | None
    lower: float | None
    upper: float | None

    @classmethod
    def of(cls, least: Tally, most: Tally) -> "Availability":
        """Compute it from the least and the most time up that there may have been."""
        counted, most_counted = (sum(each) - each.planned for each in (least, most))
        up, down = (least.up + most.up) / 2, (least.down + most.down) / 2
        observed = up + down
        return cls(
            up / 1000,
            down / 1000,
            (least.unobserved + most.unobserved) / 2000,
            (least.planned + most.planned) / 2000,
            up / observed if observed else None,
            least.up / counted if counted else None,
            (most.up + most.unobserved) / most_counted if most_counted else None,
        )


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """What an objective leaves for being down, in a window.

    Attributes:
        objective: share of the time that it shall be up.
        allowed: seconds down that there may be.
        spent: seconds down that there were.
        left: what is left of it, from 1 (all) through 0 (none) to below.
    """

    objective: float
    allowed: float
    spent: float
    left: float

    @classmethod
    def of(cls, availability: Availability, objective: float, window: float) -> "ErrorBudget":
        """Compute it; maintenance shortens the window, what is not observed does not."""
        allowed = (1 - objective) * (window - availability.planned)
        spent = availability.down
        left = 1 - spent / allowed if allowed else float(not spent)
        return cls(objective, allowed, spent, left)


class Ledger:
    """The states of one thing over time.

    Args:
        since: when it began to be looked at.
    """

    __slots__ = ("folded", "hours", "last", "since", "spans")

    def __init__(self, since: int) -> None:
        self.spans: list[Span] = [Span(since, "unobserved")]
        self.hours: dict[int, Tally] = {}  # by number, of what was before the first span
        self.since = since  # when the first of them began
        self.folded = since  # until when they go: where the first span starts
        self.last = since  # until when all is known

    def record(self, state: Seen, at: int) -> None:
        """Say what it is from `at` on. What goes back in time is taken for now."""
        at = max(at, self.last)
        self.last = at
        if self.spans[-1].state == state:
            return
        if self.spans[-1].start == at:
            self.spans.pop()
            if self.spans and self.spans[-1].state == state:
                return
        self.spans.append(Span(at, state))

    def note(self, at: int) -> None:
        """Say that its state still holds at `at`."""
        self.last = max(self.last, at)

    def fold(self, planned: list[tuple[int, int]]) -> None:
        """Keep what there is too much of in less room, and nothing older than 91 days."""
        if len(self.spans) > _MOST_SPANS:
            until = self.spans[len(self.spans) // 2].start
            for start, end, state in self._pieces(self.folded, until):
                for begin, stop, kind in _cut(start, end, state, planned):
                    for hour, amount in _by_hour(begin, stop):
                        self.hours[hour] = self.hours.get(hour, Tally()).add(kind, amount)
            self._forget_before(until)
        oldest = self.last // HOUR - KEPT
        self._forget_before(oldest * HOUR)
        self.hours = {hour: tally for hour, tally in self.hours.items() if hour >= oldest}
        self.since = max(self.since, oldest * HOUR)

    def _forget_before(self, until: int) -> None:
        if until <= self.folded:
            return
        at = bisect_right(self.spans, until, key=lambda span: span.start) - 1
        self.spans = [Span(until, self.spans[at].state), *self.spans[at + 1 :]]
        self.folded = until

    def tally(self, begin: int, end: int, planned: list[tuple[int, int]]) -> tuple[Tally, Tally]:
        """Return what is known of a stretch of time: with the least time up, and with the most.

        They differ where only sums by hour are kept, of an hour that is in it in part.
        """
        exact = Tally()
        for start, stop, state in self._pieces(max(begin, self.folded), end):
            for cut_start, cut_stop, kind in _cut(start, stop, state, planned):
                exact = exact.add(kind, cut_stop - cut_start)
        for cut_start, cut_stop, kind in _cut(begin, min(end, self.since), "unobserved", planned):
            exact = exact.add(kind, cut_stop - cut_start)
        least = most = exact
        for hour, tally in self.hours.items():
            start = max(begin, hour * HOUR, self.since)
            stop = min(end, (hour + 1) * HOUR, self.folded)
            if start < stop:
                low, high = _part(tally, stop - start)
                least, most = least.plus(low), most.plus(high)
        return least, most

    def by_day(self, end: int, days: int, planned: list[tuple[int, int]]) -> list[Tally]:
        """Return the sums of each of the last `days` days, the oldest first; the last is today."""
        today = end // DAY
        return [
            self.tally(day * DAY, min((day + 1) * DAY, end), planned)[0]
            for day in range(today - days + 1, today + 1)
        ]

    def _pieces(self, begin: int, end: int) -> Iterator[tuple[int, int, Seen]]:
        """Yield what is known from `begin` to `end`; past the last look nothing is."""
        ends = [*(span.start for span in self.spans[1:]), self.last, end]
        for (start, state), stop in zip(
            [*self.spans, Span(self.last, "unobserved")], ends, strict=True
        ):
            if max(start, begin) < min(stop, end):
                yield max(start, begin), min(stop, end), state


def _cut(
    start: int, stop: int, state: Seen, planned: list[tuple[int, int]]
) -> Iterator[tuple[int, int, str]]:
    """Cut planned maintenance, in order and not overlapping, out of a piece."""
    at = start
    for begin, end in planned:
        if end <= at or begin >= stop:
            continue
        if at < begin:
            yield at, begin, state
        yield max(at, begin), min(end, stop), "planned"
        at = min(end, stop)
    if at < stop:
        yield at, stop, state


def _by_hour(start: int, stop: int) -> Iterator[tuple[int, int]]:
    while start < stop:
        end = min(stop, (start // HOUR + 1) * HOUR)
        yield start // HOUR, end - start
        start = end


def _part(tally: Tally, length: int) -> tuple[Tally, Tally]:
    """Return the least and the most that can have been up in so much of an hour."""
    total = sum(tally)
    if length >= total:
        rest = Tally(unobserved=length - total)
        return tally.plus(rest), tally.plus(rest)
    return _fill(tally, length, "down"), _fill(tally, length, "up")


def _fill(tally: Tally, length: int, first: str) -> Tally:
    """Take `length` out of a tally: as much as there is of `first`, of the opposite last."""
    last = "up" if first == "down" else "down"
    taken = Tally()
    for name in (first, "unobserved", "planned", last):
        amount = min(getattr(tally, name), length)
        taken = taken.add(name, amount)
        length -= amount
    return taken
