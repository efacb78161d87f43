"""Where a knob goes next: decisions on what was measured, and nothing else.

A value is tried against the present one in turns (A B, B A, A B, ...), so that a load that rises or
falls meanwhile weighs on both alike. It is kept if the paired differences say so: by Student's
t-test, one-sided, at 1 %, and by a gain that is worth it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, sqrt
from statistics import fmean, stdev
from typing import Literal

STUDENT = {
    3: 6.965, 4: 4.541, 5: 3.747, 6: 3.365, 7: 3.143, 8: 2.998, 9: 2.896, 10: 2.821, 11: 2.764,
    12: 2.718, 13: 2.681, 14: 2.650, 15: 2.624, 16: 2.602, 17: 2.583, 18: 2.567, 19: 2.552,
    20: 2.539,
}  # fmt: skip
"""By the number of pairs: what t exceeds by chance in 1 %."""

FINEST = 1.1
"""Steps below this factor are not worth a trial."""
MOST_HISTORY = 20

TunerOutcome = Literal["kept", "refused", "guarded", "disturbed", "returned", "planned"]


@dataclass(frozen=True, slots=True)
class TunerRules:
    """How a tuner decides. Spans are in windows."""

    pairs: int
    gain: float
    patience: int
    cool_down: int
    rest: int
    dry_run: bool


@dataclass(slots=True)
class Climb:
    """One knob: where it is, and where it goes next.

    Attributes:
        value: the last good one.
        factor: by which it is multiplied or divided; smaller when both ways were in vain.
        up: the way that is tried next.
        misses: ways that were in vain at this value.
    """

    value: float
    least: float
    most: float
    step: float
    whole: bool
    factor: float = 0.0
    up: bool = True
    misses: int = 0

    def __post_init__(self) -> None:
        self.factor = self.step

    @property
    def done(self) -> bool:
        """Whether there is nothing to try from here."""
        return self.factor < FINEST

    def proposal(self) -> float | None:
        """Return the next value to try; None if there is none any more."""
        while not self.done:
            value = self.value * self.factor if self.up else self.value / self.factor
            if self.whole:
                value = max(round(value), self.value + 1) if self.up else min(
                    round(value), self.value - 1
                )  # fmt: skip
            value = min(max(value, self.least), self.most)
            if value != self.value:
                return value
            self.miss()
        return None

    def miss(self) -> None:
        """Turn around; after both ways, take smaller steps."""
        self.up, self.misses = not self.up, self.misses + 1
        if self.misses == 2:
            self.misses = 0
            # The next whole number is one away, however small the factor.
            near = self.whole and self.value * (self.factor - 1) <= 1
            self.factor = 1.0 if near else sqrt(self.factor)

    def hit(self, value: float) -> None:
        """Go on from there, the same way."""
        self.value, self.misses = value, 0

    def again(self) -> None:
        """Begin anew from here: much may have changed."""
        self.factor, self.misses = self.step, 0


@dataclass(slots=True)
class Trial:
    """A value that is tried against the present one."""

    knob: int
    value: float
    base: list[float] = field(default_factory=list)
    tried: list[float] = field(default_factory=list)

    @property
    def on(self) -> bool:
        """Whether the next window is the tried value's: A B B A A B B A ..."""
        return (len(self.base) + len(self.tried)) % 4 in (1, 2)

    def add(self, score: float) -> None:
        """Take the score of one window."""
        (self.tried if self.on else self.base).append(score)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, and on what evidence."""

    knob: int
    before: float
    tried: float
    outcome: TunerOutcome
    gain: float | None = None
    t: float | None = None
    base: tuple[float, ...] = ()
    trial: tuple[float, ...] = ()


def compare(base: Sequence[float], tried: Sequence[float]) -> tuple[float, float]:
    """Return the mean gain as a share of the base, and its t."""
    scale = fmean(map(abs, base)) or 1.0
    gains = [(b - a) / scale for a, b in zip(base, tried, strict=True)]
    mean, spread = fmean(gains), stdev(gains)
    if spread == 0:
        return mean, 0.0 if mean == 0 else inf if mean > 0 else -inf
    return mean, mean / (spread / sqrt(len(gains)))


class Climber:
    """Moves several knobs, one at a time."""

    __slots__ = ("_bad", "_history", "_next", "_pause", "_rests", "_rules", "knobs", "trial")

    def __init__(self, knobs: Sequence[Climb], rules: TunerRules) -> None:
        self.knobs = list(knobs)
        self.trial: Trial | None = None
        self._rules = rules
        self._next = 0
        self._pause = 1
        self._rests = 0
        self._bad = 0
        self._history: deque[tuple[int, float]] = deque(maxlen=MOST_HISTORY)

    def wanted(self) -> tuple[int, float] | None:
        """Return the knob under trial and its value in the next window; None: all as they are."""
        trial = self.trial
        if trial is None or self._rules.dry_run:
            return None
        return trial.knob, trial.value if trial.on else self.knobs[trial.knob].value

    def step(self, score: float | None, *, bad: bool) -> Verdict | None:
        """Take what one window showed.

        Args:
            score: the objective; None if it could not be measured.
            bad: whether the guard was worse than it may be.
        """
        if self.trial is not None:
            return self._try(self.trial, score, bad=bad)
        self._bad = self._bad + 1 if bad else 0
        if self._bad >= self._rules.patience and self._history:
            return self._return()
        if score is None or bad:  # not from here
            return None
        self._pause -= 1
        if self._pause <= 0:
            self._begin()
        return None

    def _begin(self) -> None:
        for _ in self.knobs:
            knob = self._next
            value = self.knobs[knob].proposal()
            if value is not None:
                self.trial = Trial(knob, value)
                return
            self._next = (self._next + 1) % len(self.knobs)
        # Nothing is left to try: rest, longer each time that nothing was better.
        self._pause = self._rules.rest * 2 ** min(self._rests, 5)
        self._rests += 1
        for each in self.knobs:
            each.again()

    def _try(self, trial: Trial, score: float | None, *, bad: bool) -> Verdict | None:
        on = trial.on and not self._rules.dry_run
        if bad or score is None:
            return self._end(trial, "guarded" if bad and on else "disturbed")
        trial.add(score)
        if len(trial.base) != len(trial.tried) or len(trial.base) < 3:
            return None
        gain, t = compare(trial.base, trial.tried)
        pairs = len(trial.base)
        if self._rules.dry_run:
            return self._end(trial, "planned") if pairs == self._rules.pairs else None
        if gain <= 0:  # no use in going on
            return self._end(trial, "refused", gain, t)
        if pairs < self._rules.pairs:
            return None
        good = gain >= self._rules.gain and t >= STUDENT[pairs]
        return self._end(trial, "kept" if good else "refused", gain, t)

    def _end(
        self, trial: Trial, outcome: TunerOutcome, gain: float | None = None, t: float | None = None
    ) -> Verdict:
        climb, self.trial = self.knobs[trial.knob], None
        before = climb.value
        self._pause = self._rules.cool_down
        if outcome == "kept":
            self._history.append((trial.knob, before))
            climb.hit(trial.value)
            self._rests = 0
            for each in self.knobs:
                if each is not climb:
                    each.again()
        elif outcome != "disturbed":  # a disturbed trial says nothing, and is made again
            climb.miss()
            self._next = (self._next + 1) % len(self.knobs)
        evidence = tuple(trial.base), tuple(trial.tried)
        return Verdict(trial.knob, before, trial.value, outcome, gain, t, *evidence)

    def _return(self) -> Verdict:
        """Go back to what was good before the last move."""
        knob, value = self._history.pop()
        climb = self.knobs[knob]
        before, climb.value = climb.value, value
        climb.again()
        climb.up = value > before  # away from what went wrong
        self._bad, self._pause = 0, self._rules.rest
        return Verdict(knob, before, value, "returned")

    def refuse(self) -> Verdict | None:
        """End the trial: its value can't be set."""
        return None if self.trial is None else self._end(self.trial, "refused")
