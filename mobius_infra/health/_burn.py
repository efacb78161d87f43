"""Burn rates: how fast an error budget is being used up, over two windows at once.

After "The Site Reliability Workbook" (Google, 2018), chapter 5, section 6: the long window says
that it matters, the short one, a twelfth of it, that it still goes on. At a burn rate of 1 the
budget lasts exactly its period.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from mobius_infra.core import require
from mobius_infra.health._alert_conditions import (
    Memory,
    Reading,
    require_number,
    require_seconds,
)
from mobius_infra.health._alert_step import Severity, Verdict

_HOUR: Final = 3600.0
_BUCKETS: Final = 360  # of the long window; 30 of the short one, where it is a twelfth


@dataclass(frozen=True, slots=True)
class BurnRate:
    """One row of the table.

    Attributes:
        factor: alarming from this burn rate on.
        long: seconds of the long window.
        short: seconds of the short window.
        severity: of the alert; rows of one severity are one alert, see `burn_rate_rules`.
    """

    factor: float
    long: float
    short: float
    severity: Severity


BURN_RATES: Final = (
    BurnRate(14.4, 1 * _HOUR, _HOUR / 12, Severity.CRITICAL),
    BurnRate(6.0, 6 * _HOUR, _HOUR / 2, Severity.CRITICAL),
    BurnRate(3.0, 24 * _HOUR, 2 * _HOUR, Severity.WARNING),
    BurnRate(1.0, 72 * _HOUR, 6 * _HOUR, Severity.WARNING),
)
"""The workbook's table for a budget over 30 days: two that page and two that open a ticket."""


class Totals:
    """Counts good and bad events: a reading for `Burning`, where no component counts them yet.

    Attributes:
        good: events that were as promised.
        bad: events that were not.
    """

    __slots__ = ("bad", "good")

    def __init__(self) -> None:
        self.good = 0
        self.bad = 0

    def __call__(self) -> tuple[float, float]:
        """Return both."""
        return self.good, self.bad

    def __repr__(self) -> str:
        return f"Totals(good={self.good}, bad={self.bad})"


@dataclass(slots=True)
class _Ring:
    """Good and bad events by span of time: a fixed number of spans, whatever happens.

    Attributes:
        good, bad: by span; a span's place is its number modulo their length.
        at: when the totals were read last; totals: what they were.
        began: when they were read first: before that nothing is known.
    """

    good: list[float]
    bad: list[float]
    began: float
    at: float
    totals: tuple[float, float]

    @classmethod
    def new(cls, now: float, totals: tuple[float, float]) -> Self:
        # One more than the long window has: its oldest is in it only in part.
        size = _BUCKETS + 1
        return cls([0.0] * size, [0.0] * size, now, now, totals)

    def add(self, now: float, totals: tuple[float, float], width: float) -> None:
        """Put what has happened since the last reading where it happened, evenly."""
        # A total that became smaller was begun anew, as after a restart of what counts.
        good, bad = (
            new - old if new >= old else new for new, old in zip(totals, self.totals, strict=True)
        )
        size, first, last = len(self.good), int(self.at // width), int(now // width)
        for number in range(max(first + 1, last - size + 1), last + 1):
            self.good[number % size] = self.bad[number % size] = 0.0
        elapsed = now - self.at
        for number in range(max(first, last - size + 1), last + 1):
            overlap = min(now, (number + 1) * width) - max(self.at, number * width)
            share = overlap / elapsed if elapsed > 0 else float(number == last)
            self.good[number % size] += good * share
            self.bad[number % size] += bad * share
        self.at, self.totals = now, totals

    def ratio(self, window: float, width: float) -> float | None:
        """Return the bad share of the last `window` seconds; None if nothing happened."""
        size, start, last = len(self.good), self.at - window, int(self.at // width)
        oldest = max(int(start // width), last - size + 1)
        # Of the span that the window begins in, as much as is inside it.
        inside = 1.0 - max(start - oldest * width, 0.0) / width
        good, bad = self.good[oldest % size] * inside, self.bad[oldest % size] * inside
        for number in range(oldest + 1, last + 1):
            good += self.good[number % size]
            bad += self.bad[number % size]
        return bad / (good + bad) if good + bad > 0 else None


@dataclass(frozen=True, slots=True)
class Burning:
    """An error budget burns at the factor of a row or faster, over both its windows.

    Any row is enough: one alert that lasts from the first that says so to the last. Its readings
    are totals of good and bad events that only grow. It keeps 361 spans of them for each row,
    whatever the traffic. With few events one failure can be a large share: `least` says how many
    must have been bad.

    Attributes:
        objective: the share of events that must be good, such as 0.999.
        rates: rows of the table; their severity is not asked.
        least: bad events in a long window below which it is not alarming.
    """

    objective: float
    rates: tuple[BurnRate, ...]
    least: float = 0.0

    def __post_init__(self) -> None:
        allowed = "a share between 0 and 1, both left out"
        objective = require_number("objective", self.objective, allowed)
        require(0 < objective < 1, "objective", self.objective, allowed)
        _require_rows(self.rates)
        reachable = f"more than 0 and at most {1 / (1 - objective):g}, a total outage"
        for rate in self.rates:
            factor = require_number("factor", rate.factor)
            require(0 < factor * (1 - objective) <= 1, "factor", rate.factor, reachable)
            require_seconds("long", rate.long)
            require_seconds("short", rate.short)
            require(rate.short < rate.long, "short", rate.short, "less than long")
        require(require_number("least", self.least) >= 0, "least", self.least, "zero or more")

    def step(self, memory: Memory, now: float, reading: Reading) -> tuple[Memory, Verdict]:
        """Compare the windows of each row; the memory is the spans of each."""
        if not isinstance(reading, tuple) or not all(0 <= each < 1e300 for each in reading):
            return memory, Verdict(None, f"the reading {reading!r} is no pair of totals")
        rings: tuple[_Ring, ...] = memory or tuple(_Ring.new(now, reading) for _ in self.rates)
        verdicts = []
        for rate, ring in zip(self.rates, rings, strict=True):
            ring.add(max(now, ring.at), reading, rate.long / _BUCKETS)
            verdicts.append(self._judge(rate, ring))
        return rings, _any(verdicts)

    def _judge(self, rate: BurnRate, ring: _Ring) -> Verdict:
        width = rate.long / _BUCKETS
        long, short = (ring.ratio(each, width) for each in (rate.long, rate.short))
        # Until a short window has been seen, it can't be known that the burning has ended.
        ended = False if ring.at - ring.began >= rate.short else None
        if long is None or short is None:  # no traffic burns no budget
            return Verdict(ended, "there were no events", 0.0)
        budget = 1 - self.objective
        burn, burn_now = long / budget, short / budget
        enough = long > 0 and sum(ring.bad) >= self.least
        # Rounded: a share that is exactly the limit must not miss it by a bit of the last place.
        active = enough and round(min(burn, burn_now) - rate.factor, 9) >= 0
        words = (
            f"burning the error budget at {burn:.3g} times over {_words(rate.long)} and "
            f"{burn_now:.3g} times over {_words(rate.short)} (alarming: {rate.factor:g})"
        )
        return Verdict(active or ended, words, round(burn, 6))


def _require_rows(rates: object) -> None:
    fit = isinstance(rates, tuple) and bool(rates) and all(isinstance(r, BurnRate) for r in rates)
    require(fit, "rates", rates, "a tuple of at least one BurnRate")


def _any(verdicts: Sequence[Verdict]) -> Verdict:
    """Return what holds if any of them is enough, with the figures of those that decided."""
    said = [each.active for each in verdicts]
    active = True if True in said else None if None in said else False
    decided = [each for each in verdicts if each.active is active]
    reason = "; ".join(dict.fromkeys(each.reason for each in decided))
    return Verdict(active, reason, decided[0].value)


def _words(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
