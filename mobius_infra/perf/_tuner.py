"""Turns knobs while the service runs, and turns them back when that was wrong."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from math import inf, isfinite
from typing import Self

from mobius_infra.core import (
    Clock,
    Event,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
    state,
)
from mobius_infra.perf._checks import is_number, require_count, require_name
from mobius_infra.perf._tuner_step import STUDENT, Climb, Climber, TunerOutcome, TunerRules, Verdict

log = logging.getLogger("mobius_infra")


@dataclass(frozen=True, slots=True)
class Knob:
    """A setting that may be changed while the service runs.

        Knob("pool size", lambda: pool.stats().max_size, lambda n: pool.resize(max_size=int(n)),
             least=1, most=100)

    Attributes:
        name: for the log.
        read: returns the value that holds now.
        write: sets another.
        least: the smallest allowed, above zero.
        most: the largest allowed.
        step: the factor of the first steps up and down.
        whole: whether only whole numbers make sense.
    """

    name: str
    read: Callable[[], float]
    write: Callable[[float], object]
    least: float
    most: float
    step: float = 2.0
    whole: bool = True

    def __post_init__(self) -> None:
        require_name(self.name)
        least, most = self.least, self.most
        require(is_number(least) and least > 0, f"least of {self.name!r}", least, "above zero")
        good = is_number(most) and most > least
        require(good, f"most of {self.name!r}", most, f"above the least, {least:g}")
        good = is_number(self.step) and 1.2 <= self.step <= 10
        require(good, f"step of {self.name!r}", self.step, "a factor in [1.2, 10]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TunerDecided(Event):
    """A tuner decided something; this is what, and why.

    Attributes:
        knob: its name.
        before: the value that held.
        tried: the one that was tried, or gone back to.
        outcome: `kept`: it is better; `refused`: it is not, or not for certain; `guarded`: the
            guard was worse with it; `disturbed`: there was nothing to measure, or the guard was bad
            anyhow; `returned`: the guard got bad later, and the value before the last move holds
            again; `planned`: a dry run would have tried it.
        gain: the mean gain, as a share of what it was before.
        t: Student's t of the gain.
        base: the objective in each window with `before`.
        trial: the objective in each window with `tried`.
    """

    knob: str
    before: float
    tried: float
    outcome: TunerOutcome
    gain: float | None
    t: float | None
    base: tuple[float, ...]
    trial: tuple[float, ...]

    def __str__(self) -> str:
        gain = "" if self.gain is None else f", gain {self.gain:+.1%} (t = {self.t:.1f})"
        return f"{self.knob}: {self.before:g} -> {self.tried:g} {self.outcome}{gain}"


@dataclass(frozen=True, slots=True)
class TunerStats(Stats):
    """The numbers of a tuner."""

    state: str = state("outside, resting or trying")
    decisions: Mapping[str, int] = counter("Decisions, by what came of them", label="outcome")
    value: Mapping[str, float] = gauge("The last good value, by knob", label="knob")
    score: float | None = gauge("The objective in the last window")
    guard: float | None = gauge("The guard in the last window")


class PerSecond:
    """Makes an objective of a number that only grows: by how much a second, since the last call.

    Tuner("pool", knobs, PerSecond(lambda: served.total))
    """

    __slots__ = ("_clock", "_last", "_read")

    def __init__(self, read: Callable[[], float], clock: Clock | None = None) -> None:
        self._read = read
        self._clock = clock or SystemClock()
        self._last = self._clock.monotonic(), read()

    def __call__(self) -> float:
        """Return the rate since the last call; not-a-number if no time has passed."""
        (then, before), now, value = self._last, self._clock.monotonic(), self._read()
        self._last = now, value
        return (value - before) / (now - then) if now > then else float("nan")

    def __repr__(self) -> str:
        return f"PerSecond({self._read!r})"


class Tuner:
    """Finds better values for knobs, one small step after the other, while the service runs.

        tuner = Tuner("pool", [size], PerSecond(served), guard=p99, guard_most=0.5)
        async with tuner:
            await serve()

    It climbs: from the value that holds it tries the next, up or down, in turns with the present
    one, and keeps it only if it is better for certain. Steps get smaller where neither way is
    better, and then it rests, longer each time. When the guard is worse than `guard_most` a trial
    ends at once; when it gets worse later, the value before the last move holds again. Each
    decision is in `decisions` and told to `events`, with its evidence. Left in mid-trial, it puts
    the last good value back.

    Args:
        name: for numbers and events.
        knobs: what it may turn, one at a time.
        objective: returns how well it goes; more is better. It is called at the beginning of each
            window, for nothing, and at its end. Not-a-number: there was nothing to measure.
        guard: returns what must not get worse, such as a latency or a share of errors; called as
            the objective is. Not-a-number is fine.
        guard_most: up to which the guard is fine.
        interval: seconds of a window.
        settle: seconds after a change before the window begins.
        pairs: windows with the present value, and with the one that is tried, for a decision.
        gain: share by which it must be better to be kept.
        patience: bad windows in a row after which it goes back to before the last move.
        cool_down: seconds between a decision and the next trial.
        rest: seconds after which it tries again when nothing was better; doubles up to 32 times.
        dry_run: turn nothing; only tell what would be tried.
        keep: decisions that are kept.
        clock: sleeps, and tells the time.

    Raises:
        ConfigurationError: if a value is out of range, or a knob's value outside its bounds.
    """

    __slots__ = (
        "__weakref__",
        "_applied",
        "_climber",
        "_clock",
        "_counts",
        "_failing",
        "_guard",
        "_guard_most",
        "_interval",
        "_knobs",
        "_objective",
        "_score",
        "_seen_guard",
        "_settle",
        "_task",
        "decisions",
        "events",
        "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        knobs: Sequence[Knob],
        objective: Callable[[], float],
        *,
        guard: Callable[[], float] | None = None,
        guard_most: float = inf,
        interval: float = 5.0,
        settle: float = 1.0,
        pairs: int = 6,
        gain: float = 0.03,
        patience: int = 2,
        cool_down: float = 10.0,
        rest: float = 600.0,
        dry_run: bool = False,
        keep: int = 200,
        clock: Clock | None = None,
    ) -> None:
        require_name(name)
        require(len(knobs) > 0, "knobs", knobs, "at least one")
        names = [knob.name for knob in knobs]
        require(len(set(names)) == len(names), "knobs", names, "of different names")
        require(is_number(interval) and interval > 0, "interval", interval, "a number of seconds")
        for field, value in (("settle", settle), ("cool_down", cool_down), ("rest", rest)):
            require(is_number(value) and value >= 0, field, value, "seconds, zero or more")
        require(pairs in STUDENT, "pairs", pairs, "a whole number in 3 to 20")
        require(is_number(gain) and gain >= 0, "gain", gain, "a share, zero or more")
        require_count("patience", patience)
        require_count("keep", keep)
        good = guard is None or is_number(guard_most)
        require(good, "guard_most", guard_most, "given, where there is a guard")
        self.name = name
        self.events = Events()
        self.decisions: deque[TunerDecided] = deque(maxlen=keep)
        self._knobs = tuple(knobs)
        self._objective, self._guard, self._guard_most = objective, guard, guard_most
        self._interval, self._settle = interval, settle
        self._clock = clock or SystemClock()
        rules = TunerRules(
            pairs=pairs, gain=gain, patience=patience, dry_run=dry_run,
            cool_down=max(1, round(cool_down / interval)), rest=max(1, round(rest / interval)),
        )  # fmt: skip
        self._climber = Climber([_climb(knob) for knob in knobs], rules)
        self._applied = [climb.value for climb in self._climber.knobs]
        self._counts: dict[str, int] = {}
        self._failing: set[str] = set()
        self._score: float | None = None
        self._seen_guard: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        require(self._task is None, "tuner", self.name, "entered once at a time")
        loop = asyncio.get_running_loop()
        # In a context of its own: it would keep that of some request for ever.
        self._task = loop.create_task(self._run(), name=f"tune {self.name}", context=Context())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._climber.trial = None
        self._apply()

    async def _run(self) -> None:
        while True:
            if self._apply() and self._settle:
                await self._clock.sleep(self._settle)
            self._measure("objective", self._objective)
            self._measure("guard", self._guard)
            await self._clock.sleep(self._interval)
            self._score = self._measure("objective", self._objective)
            self._seen_guard = self._measure("guard", self._guard)
            self.step(self._score, self._seen_guard)

    def step(self, score: float | None, guard: float | None = None) -> TunerDecided | None:
        """Take what one window showed, and decide. Called by itself when entered."""
        if self._climber.trial is None:
            self._look_who_else_turned()
        bad = guard is not None and guard > self._guard_most
        verdict = self._climber.step(score, bad=bad)
        return None if verdict is None else self._tell(verdict)

    def _look_who_else_turned(self) -> None:
        """Take over what somebody else set, as long as it is within the bounds."""
        for at, (knob, climb) in enumerate(zip(self._knobs, self._climber.knobs, strict=True)):
            value = knob.read()
            if value not in (climb.value, self._applied[at]) and knob.least <= value <= knob.most:
                climb.value = self._applied[at] = value
                climb.again()

    def _apply(self) -> bool:
        """Set the knobs as they are wanted; say whether one was turned."""
        wanted = [climb.value for climb in self._climber.knobs]
        trial = self._climber.wanted()
        if trial is not None:
            wanted[trial[0]] = trial[1]
        turned = False
        for at, (knob, value) in enumerate(zip(self._knobs, wanted, strict=True)):
            if value == self._applied[at]:
                continue
            try:
                knob.write(value)
            except Exception:
                log.exception("%r: could not set %r to %g", self.name, knob.name, value)
                if (verdict := self._climber.refuse()) is not None:
                    self._tell(verdict)
                continue
            self._applied[at], turned = value, True
        return turned

    def _measure(self, what: str, read: Callable[[], float] | None) -> float | None:
        """Return what `read` returns; None if it raises, or that is no number."""
        if read is None:
            return None
        try:
            value = float(read())
        except Exception:
            if what not in self._failing:
                self._failing.add(what)
                log.exception("%r: could not read the %s", self.name, what)
            return None
        self._failing.discard(what)
        return value if isfinite(value) else None

    def _tell(self, verdict: Verdict) -> TunerDecided:
        decided = TunerDecided(
            source=self.name,
            at=self._clock.time(),
            knob=self._knobs[verdict.knob].name,
            before=verdict.before,
            tried=verdict.tried,
            outcome=verdict.outcome,
            gain=verdict.gain,
            t=verdict.t,
            base=verdict.base,
            trial=verdict.trial,
        )
        self._counts[decided.outcome] = self._counts.get(decided.outcome, 0) + 1
        self.decisions.append(decided)
        log.info("%r: %s", self.name, decided)
        self.events.emit(decided)
        return decided

    def stats(self) -> TunerStats:
        """Return the numbers as they are now."""
        climbs = zip(self._knobs, self._climber.knobs, strict=True)
        return TunerStats(
            state=self._state(),
            decisions=dict(self._counts),
            value={knob.name: climb.value for knob, climb in climbs},
            score=self._score,
            guard=self._seen_guard,
        )

    def _state(self) -> str:
        if self._task is None:
            return "outside"
        return "resting" if self._climber.trial is None else "trying"

    def __repr__(self) -> str:
        climbs = zip(self._knobs, self._climber.knobs, strict=True)
        values = ", ".join(f"{knob.name}={climb.value:g}" for knob, climb in climbs)
        return f"Tuner({self.name!r}, {self._state()}, {values})"


def _climb(knob: Knob) -> Climb:
    value = knob.read()
    good = is_number(value) and knob.least <= value <= knob.most
    bounds = f"in {knob.least:g} to {knob.most:g}"
    require(good, f"value of {knob.name!r}", value, bounds)
    return Climb(value, knob.least, knob.most, knob.step, knob.whole)
