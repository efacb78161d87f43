"""The life cycle of one alert, as a function of its state, the time, and what is so now.

    inactive ──so──▶ pending ──so for `for_`──▶ firing ──not so for `keep_firing_for`──▶ resolved
        ▲               │not so                   ▲ so (and `for_` is 0)                     │
        └───────────────┘                         └──────────────────────────────────────────┘

After the states of Prometheus' alerting rules. What can't be known changes nothing: it neither
fires nor resolves, and does not count towards `for_`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class Phase(StrEnum):
    """Where an alert is in its life."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How bad it is, and for whom: wake somebody, do it today, good to know."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """Greater is worse."""
        return {"critical": 2, "warning": 1, "info": 0}[self.value]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a condition says of a reading.

    Attributes:
        active: whether it is so; None: it can't be known.
        reason: why, in words, with the figures that decided.
        value: the reading, or what was worked out from it.
    """

    active: bool | None
    reason: str
    value: float | str | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient an alert is. All in seconds.

    Attributes:
        for_: how long it must be so before it fires.
        keep_firing_for: how long it must not be so before it resolves.
    """

    for_: float = 0.0
    keep_firing_for: float = 0.0


@dataclass(frozen=True, slots=True)
class AlertState:
    """Where one alert is. Times are seconds since the epoch.

    Attributes:
        phase: inactive, pending, firing or resolved.
        since: when that began.
        reason: what decided it, in words.
        held: seconds that it has been seen to be so while pending, or not to be so while firing.
        seen: when it was last looked at with an answer; None: there was none to the last look.
        cleared: since when it has not been so, while firing.
        firings: how often it has fired; tells one time from another.
        value: the last reading.
    """

    phase: Phase = Phase.INACTIVE
    since: float = 0.0
    reason: str = "not looked at yet"
    held: float = 0.0
    seen: float | None = None
    cleared: float | None = None
    firings: int = 0
    value: float | str | None = None

    @property
    def active(self) -> bool:
        """Whether it is pending or firing."""
        return self.phase in (Phase.PENDING, Phase.FIRING)


def clean(text: str, most: int = 500) -> str:
    """Return a text as it can be stored and sent: half a surrogate pair would stop everything."""
    return text[:most].encode("utf-8", "replace").decode()


def step(state: AlertState, now: float, verdict: Verdict, timing: Timing) -> AlertState:
    """Return the state that follows.

    Time that passed between two answers counts towards `for_` only if both said so and none
    between them was unknown, and towards `keep_firing_for` if both denied it: what was not observed
    is not evidence.
    """
    if verdict.active is None:
        return replace(state, reason=verdict.reason, seen=None)
    if verdict.active:
        return _so(state, now, verdict, timing)
    return _not_so(state, now, verdict, timing)


def _so(state: AlertState, now: float, verdict: Verdict, timing: Timing) -> AlertState:
    state = replace(state, reason=verdict.reason, value=verdict.value, cleared=None)
    if state.phase is Phase.FIRING:
        return replace(state, seen=now)
    if state.phase is not Phase.PENDING:
        state = replace(state, phase=Phase.PENDING, since=now, held=0.0)
    else:
        state = _hold(state, now)
    if state.held < timing.for_:
        return replace(state, seen=now)
    fired = state.firings + 1
    return replace(state, phase=Phase.FIRING, since=now, seen=now, firings=fired)


def _hold(state: AlertState, now: float) -> AlertState:
    """Count the time since the last look, if that had an answer."""
    if state.seen is None:
        return state
    return replace(state, held=state.held + max(now - state.seen, 0.0))


def _not_so(state: AlertState, now: float, verdict: Verdict, timing: Timing) -> AlertState:
    before = state
    state = replace(state, reason=verdict.reason, value=verdict.value, seen=now)
    if state.phase is Phase.PENDING:
        return replace(state, phase=Phase.INACTIVE, since=now, held=0.0)
    if state.phase is not Phase.FIRING:
        return state
    if state.cleared is None:
        state = replace(state, cleared=now, held=0.0)
    else:
        state = replace(state, held=_hold(before, now).held)
    left = timing.keep_firing_for - state.held
    if left <= 0:
        return replace(state, phase=Phase.RESOLVED, since=now, cleared=None, held=0.0)
    return replace(state, reason=f"{verdict.reason}; kept for another {left:g} s")


def resume(state: AlertState) -> AlertState:
    """Return the state as it is after a restart: the time in between was not observed."""
    return replace(state, seen=None)


def end(state: AlertState, now: float, reason: str) -> AlertState:
    """Return the state of an alert that nobody looks at any more: resolved, if it was firing."""
    phase = Phase.RESOLVED if state.phase is Phase.FIRING else Phase.INACTIVE
    return replace(state, phase=phase, since=now, reason=reason, cleared=None, held=0.0)
