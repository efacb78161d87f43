"""What a `Lifespan` tells: its states, its events and its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mobius_infra.core import Event, Stats, counter, gauge, state

LifeState = Literal["new", "starting", "ready", "draining", "closing", "ended"]
Phase = Literal["start", "drain", "close"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeChanged(Event):
    """The service is in another state.

    Attributes:
        state: which.
        reason: why it ends: a signal's name, or what was given to `stop`. Empty before.
    """

    state: LifeState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFailed(Event):
    """A part did not start, drain or close as it should. It is logged too.

    Attributes:
        part: its name.
        phase: what it was doing.
        error: what it raised; a `TimeoutError` if it took longer than it may.
    """

    part: str
    phase: Phase
    error: BaseException


@dataclass(frozen=True, slots=True)
class LifespanStats(Stats):
    """A snapshot of a `Lifespan`."""

    state: str = state("new, starting, ready, draining, closing or ended")
    parts: int = gauge("Parts that have started and not yet been closed")
    failures: Mapping[str, int] = counter("Parts that failed, by what they did", label="phase")
