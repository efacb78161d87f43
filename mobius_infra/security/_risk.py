"""Risk: what a subject's offences come to, and which answer that asks for."""

from dataclasses import dataclass
from typing import Final, Literal

from mobius_infra.core import require
from mobius_infra.security._blocklist_steps import FOREVER, require_positive

Answer = Literal["observe", "throttle", "step_up", "block"]
"""What to do about a subject, the mildest first."""

SEVERITY: Final[dict[Answer, int]] = {"observe": 0, "throttle": 1, "step_up": 2, "block": 3}


@dataclass(frozen=True, slots=True)
class Grades:
    """From which risk on which answer is given. Infinity: never.

    Attributes:
        throttle: let through now and then.
        step_up: ask for a second factor.
        block: turn away for a while.
        half_life: seconds in which risk halves.
        pause: seconds between two calls of a subject that is throttled.

    Raises:
        ConfigurationError: if a value can't work.
    """

    throttle: float = 40.0
    step_up: float = 70.0
    block: float = 100.0
    half_life: float = 3_600.0
    pause: float = 1.0

    def __post_init__(self) -> None:
        before: float = 0.0
        for field in ("throttle", "step_up", "block"):
            value = getattr(self, field)
            good = type(value) in (int, float) and (value > before or value == FOREVER)
            require(good, field, value, f"a number above {before:g}, or infinity")
            before = before if value == FOREVER else value
        require_positive("half_life", self.half_life)
        require_positive("pause", self.pause)


def decayed(risk: float, seconds: float, half_life: float) -> float:
    """Return what is left of a risk after `seconds`."""
    return risk if seconds <= 0 else risk * 0.5 ** (seconds / half_life)


def answer_to(risk: float, grades: Grades) -> Answer:
    """Return the answer that a risk asks for."""
    # A sum of decayed risks must not miss its grade by the last bit of a float.
    risk += 1e-9
    if risk >= grades.block:
        return "block"
    if risk >= grades.step_up:
        return "step_up"
    return "throttle" if risk >= grades.throttle else "observe"
