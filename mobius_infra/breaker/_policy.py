"""What all circuits of one breaker share."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from mobius_infra.breaker._backoff import Backoff
from mobius_infra.breaker._matching import ResultMatch
from mobius_infra.breaker._member import Fleet
from mobius_infra.breaker._rules import Calls, RampUp, Rules, Seconds
from mobius_infra.breaker._state import Mode
from mobius_infra.breaker._verdicts import ErrorTest, RetryAfter, Verdicts
from mobius_infra.core import Clock, SystemClock, require

ModeName = Mode | Literal["enabled", "shadow", "disabled"]


class CodeOptions(TypedDict, total=False):
    """The keyword arguments of `CircuitBreaker` that only code can give."""

    failed_on: ErrorTest
    ignored: ErrorTest
    failed_if: ResultMatch | None
    retry_after: RetryAfter | None
    fleet: Fleet | None
    clock: Clock | None
    draw: Callable[[], float]


class Options(CodeOptions, total=False):
    """The keyword arguments of `CircuitBreaker`."""

    consecutive_failures: int | None
    failure_rate: float | None
    slow_rate: float | None
    slow_after: float | None
    window: Calls | Seconds
    minimum_calls: int
    backoff: Backoff
    permits: int
    successes: int
    probe_timeout: float
    ramp_up: RampUp | None
    mode: ModeName


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules, judgement, time and chance."""

    rules: Rules = field(default_factory=Rules)
    verdicts: Verdicts = field(default_factory=Verdicts)
    fleet: Fleet | None = None
    mode: Mode = Mode.ENABLED
    clock: Clock = field(default_factory=SystemClock)
    draw: Callable[[], float] = random.random


def mode_of(mode: str) -> Mode:
    """Return the mode of that name.

    Raises:
        ConfigurationError: if there is none.
    """
    require(mode in set(Mode), "mode", mode, "one of " + ", ".join(Mode))
    return Mode(mode)
