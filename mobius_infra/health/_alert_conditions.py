"""What makes a reading alarming. Each condition is a pure step over a memory that it is given.

A rule gives it one reading at a time, with the memory that it returned last (None at first): one
condition can watch many series, and nothing is shared between them.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, ClassVar, Protocol

from mobius_infra.core import require
from mobius_infra.health._alert_step import Verdict

Reading = float | str | tuple[float, float] | None
"""A number, a state's name, totals of good and bad events, or None: there is none."""

# Any: each condition's memory is its own affair; a rule only keeps it.
Memory = Any


class Condition(Protocol):
    """Anything with this method can be a rule's condition.

    One that also has `resumed(now)` is asked for the memory of a reading that was alarming before
    a restart; without, its memory is None then. One with a true `hears_silence` judges readings
    that are gone itself; the alerts of others end with them.
    """

    def step(self, memory: Memory, now: float, reading: Reading) -> tuple[Memory, Verdict]:
        """Return the memory to be given next time, and what it says of `reading` at `now`."""
        ...


def number(reading: Reading) -> float | Verdict:
    """Return a reading that is a usable number, or why nothing can be said of it."""
    if reading is None:
        return Verdict(None, "there is no reading")
    if not isinstance(reading, int | float) or not math.isfinite(reading):
        return Verdict(None, f"the reading {reading!r} is no finite number")
    return float(reading)


def require_number(field: str, value: object, allowed: str = "a finite number") -> float:
    """Refuse what is not a finite number, bool included; return it as a float."""
    fit = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    require(fit, field, value, allowed)
    return float(value)  # type: ignore[arg-type]  # it was looked at just now


def require_seconds(field: str, value: object, *, zero: bool = False) -> float:
    """Refuse what is no span of time."""
    allowed = f"a finite number of seconds, {'zero or more' if zero else 'more than zero'}"
    seconds = require_number(field, value, allowed)
    require(seconds > 0 or (zero and seconds == 0), field, value, allowed)
    return seconds


def require_count(field: str, value: object, least: int) -> None:
    """Refuse what is no whole number from `least`."""
    fit = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(fit, field, value, f"a whole number from {least}")


def require_names(field: str, names: object) -> None:
    """Refuse what is no tuple of texts: one text alone would be taken for its letters."""
    fit = isinstance(names, tuple) and all(isinstance(each, str) for each in names)
    require(fit, field, names, "a tuple of names")


@dataclass(frozen=True, slots=True)
class Above:
    """The number is greater than a limit.

    Attributes:
        limit: it is alarming above this.
        clear: once alarming, it stays so until it is at or below this; the limit itself by
            default. A distance between the two keeps a number that hovers there from flapping.
    """

    limit: float
    clear: float | None = None

    def __post_init__(self) -> None:
        require_number("limit", self.limit)
        if self.clear is not None:
            require_number("clear", self.clear)
            require(self.clear <= self.limit, "clear", self.clear, "at most the limit")

    def resumed(self, now: float) -> Memory:
        """Return the memory of one that was alarming."""
        return True

    def step(self, memory: Memory, now: float, reading: Reading) -> tuple[Memory, Verdict]:
        """Compare; the memory is whether it is alarming."""
        value = number(reading)
        if isinstance(value, Verdict):
            return memory, value
        limit = self.clear if memory and self.clear is not None else self.limit
        over = value > limit
        return over, Verdict(over, f"{value:g} is {'' if over else 'not '}above {limit:g}", value)


@dataclass(frozen=True, slots=True)
class Below:
    """The number is less than a limit.

    Attributes:
        limit: it is alarming below this.
        clear: once alarming, it stays so until it is at or above this; the limit by default.
    """

    limit: float
    clear: float | None = None

    def __post_init__(self) -> None:
        require_number("limit", self.limit)
        if self.clear is not None:
            require_number("clear", self.clear)
            require(self.clear >= self.limit, "clear", self.clear, "at least the limit")

    def resumed(self, now: float) -> Memory:
        """Return the memory of one that was alarming."""
        return True

    def step(self, memory: Memory, now: float, reading: Reading) -> tuple[Memory, Verdict]:
        """Compare; the memory is whether it is alarming."""
        value = number(reading)
        if isinstance(value, Verdict):
            return memory, value
        limit = self.clear if memory and self.clear is not None else self.limit
        under = value < limit
        words = f"{value:g} is {'' if under else 'not '}below {limit:g}"
        return under, Verdict(under, words, value)


class Is:
    """The state is one of those named.

    Args:
        states: the alarming ones.
        unknown: those that say that it isn't known: unless it is named as alarming, such a state
            neither fires nor resolves. A check that was down is not well because nobody can look.
    """

    __slots__ = ("states", "unknown")

    def __init__(self, *states: str, unknown: tuple[str, ...] = ("unknown",)) -> None:
        fit = bool(states) and all(isinstance(each, str) for each in states)
        require(fit, "states", states, "at least one state's name")
        require_names("unknown", unknown)
        self.states, self.unknown = states, unknown

    def step(self, memory: Memory, now: float, reading: Reading) -> tuple[Memory, Verdict]:
        """Compare; there is no memory."""
        if not isinstance(reading, str):
            return None, Verdict(None, f"the reading {reading!r} is no state")
        active = None if reading in self.unknown else False
        active = True if reading in self.states else active
        return None, Verdict(active, f"the state is {reading}", reading)

    def __repr__(self) -> str:
        return f"Is({', '.join(map(repr, self.states))})"


@dataclass(frozen=True, slots=True)
class Changes:
    """The number has moved too far in a span of time, from its lowest or highest reading in it.

    Attributes:
        by: alarming at a change of this much: a rise if positive, a fall if negative.
        within: seconds.
        readings: the most that are kept; older ones are thinned out evenly.
    """

    by: float
    within: float
    readings: int = 120

    def __post_init__(self) -> None:
        require_number("by", self.by, "a finite number other than zero")
        require(self.by != 0, "by", self.by, "a finite number other than zero")
        require_seconds("within", self.within)
        require_count("readings", self.readings, 2)

    def step(self, memory: Memory, now: float, reading: Reading) -> tuple[Memory, Verdict]:
        """Compare with the extreme of the span; the memory is its readings."""
        value = number(reading)
        if isinstance(value, Verdict):
            return memory, value
        kept: deque[tuple[float, float]] = memory or deque()
        while kept and kept[0][0] < now - self.within:
            kept.popleft()
        if len(kept) < 2 or now - kept[-2][0] >= self.within / self.readings:
            kept.append((now, value))
        else:
            kept[-1] = now, value
        values = [each for _, each in kept]
        change = value - (min(values) if self.by > 0 else max(values))
        active = change >= self.by if self.by > 0 else change <= self.by
        seconds = now - kept[0][0]
        return kept, Verdict(active, f"it changed by {change:+g} within {seconds:g} s", value)


@dataclass(frozen=True, slots=True)
class Absent:
    """There has been no reading for some time: none was given, or the source failed.

    Attributes:
        after: seconds.
        unmoved: take a reading that stays the same for none: for a counter that must grow.
    """

    after: float
    unmoved: bool = False
    hears_silence: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_seconds("after", self.after)

    def resumed(self, now: float) -> Memory:
        """Return the memory of one that was alarming: until a reading comes it still is."""
        return now - self.after, None

    def step(self, memory: Memory, now: float, reading: Reading) -> tuple[Memory, Verdict]:
        """Compare with when the last reading came; the memory is that, and the reading."""
        since, last = memory or (now, None)
        there = reading is not None and not (isinstance(reading, float) and math.isnan(reading))
        if there:
            # The first reading of a counter is no movement: there is none to compare it with.
            if not self.unmoved or (last is not None and reading != last):
                since = now
            last = reading
        silent = now - since
        shown = reading if isinstance(reading, int | float | str) else None
        words = "no reading" if not self.unmoved else "no movement"
        active = silent >= self.after
        return (since, last), Verdict(active, f"{words} for {silent:g} s", shown)


@dataclass(frozen=True, slots=True)
class Anomalous:
    """The number is far from what it usually is, by a robust z-score (Iglewicz and Hoaglin, 1993).

    The score is 0.6745 times the distance from the median of earlier readings, over the median of
    their distances from it: outliers move neither. Alarming readings do not become usual before
    they are half of what is kept.

    Attributes:
        score: alarming from this; 3.5 is the source's advice for one look, 6 is calmer for many.
        readings: earlier ones to compare with.
        least: readings before anything is said.
        floor: the smallest distance that can be alarming, in the number's own unit.
    """

    score: float = 6.0
    readings: int = 240
    least: int = 30
    floor: float = 0.0

    def __post_init__(self) -> None:
        require(require_number("score", self.score) > 0, "score", self.score, "more than zero")
        require(require_number("floor", self.floor) >= 0, "floor", self.floor, "zero or more")
        for field in ("readings", "least"):
            require_count(field, getattr(self, field), 2)
        require(self.least <= self.readings, "least", self.least, "at most readings")

    def step(self, memory: Memory, now: float, reading: Reading) -> tuple[Memory, Verdict]:
        """Score against the memory, which is the earlier readings; then remember this one."""
        value = number(reading)
        if isinstance(value, Verdict):
            return memory, value
        usual: deque[float] = memory or deque(maxlen=self.readings)
        verdict = self._judge(usual, value)
        usual.append(value)
        return usual, verdict

    def _judge(self, usual: deque[float], value: float) -> Verdict:
        if len(usual) < self.least:
            return Verdict(None, f"{len(usual)} of {self.least} readings to compare with", value)
        middle = median(usual)
        distances = [abs(each - middle) for each in usual]
        # Where half of them are equal the mean stands in (the same source); 1.2533 = √(π/2).
        scale = median(distances) / 0.6745 or fmean(distances) * 1.2533
        distance = abs(value - middle)
        score = distance / scale if scale else math.inf if distance else 0.0
        active = score >= self.score and distance > self.floor
        return Verdict(active, f"{value:g} scores {score:.3g} against {middle:g}", value)


class When:
    """The application's own judgement of a reading, such as a detector of `metrics`.

    Args:
        judge: takes the reading; returns whether it is alarming, or None: it can't be known. What
            it raises counts as that.
        words: what it means, for people.
    """

    __slots__ = ("judge", "words")

    def __init__(self, judge: Callable[[Any], bool | None], words: str) -> None:
        require(callable(judge), "judge", judge, "a function of a reading")
        require(bool(words), "words", words, "what the judgement means")
        self.judge, self.words = judge, words

    def step(self, memory: Memory, now: float, reading: Reading) -> tuple[Memory, Verdict]:
        """Ask; there is no memory."""
        shown = reading if isinstance(reading, int | float | str) else None
        try:
            active = self.judge(reading)
        except Exception as error:  # noqa: BLE001 - a foreign function may raise anything
            return None, Verdict(None, f"its judgement failed: {type(error).__name__}", shown)
        active = None if active is None else bool(active)
        return None, Verdict(active, self.words if active else f"not so: {self.words}", shown)

    def __repr__(self) -> str:
        return f"When({self.words!r})"
