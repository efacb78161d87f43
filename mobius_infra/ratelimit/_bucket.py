"""The token bucket, as a pure step.

The bucket holds at most `burst` tokens and gains `rate` a second; a call takes its cost or is
refused. In any stretch of t seconds at most `burst + rate * t` pass, and any caller who keeps
to the rate always passes (Turner, "New directions in communications", 1986; as a meter it is ITU-T
I.371's generic cell rate algorithm).
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

from mobius_infra.core import ConfigurationError, Outcome, Script, State, require

# Refilling in floats may end this much short of a whole token, which is then given all the same.
_SLACK = 1e-9

Taken = tuple[bool, float, float, float]
"""Allowed, tokens left, seconds to wait before asking again, seconds until full."""


def take(
    state: State | None, now: float, rate: float, burst: float, cost: float, /
) -> Outcome[Taken]:
    """Take `cost` tokens if they are there. The state is `[tokens, updated]`, changed in place."""
    if state is None:
        tokens = burst
        state = [tokens, now]
    else:
        tokens, updated = state
        if now > updated:  # a clock that went back gives nothing, and takes nothing away
            tokens = min(burst, tokens + (now - updated) * rate)
            state[1] = now
    allowed = tokens + _SLACK >= cost
    wait = 0.0
    if allowed:
        tokens -= cost
    else:
        wait = (cost - tokens) / rate
    state[0] = tokens
    reset = (burst - tokens) / rate
    # A full bucket is the same as none, so it need not be kept.
    return state, (allowed, tokens, wait, reset), max(reset, 0.001)


TAKE = Script("token_bucket", take, files(__package__).joinpath("token_bucket.lua"))

_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:/|per)\s*(\d*)\s*(second|minute|hour|day)s?\s*")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds.

    Attributes:
        amount: how many.
        per: seconds.
    """

    amount: float
    per: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is not positive."""
        require(0 < self.amount < float("inf"), "rate", self.amount, "a positive number")
        require(0 < self.per < float("inf"), "per", self.per, "a positive number of seconds")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `5/second`, `100 per minute` or `10/5 seconds`.

        Raises:
            ConfigurationError: if it is not written so.
        """
        found = _RATE.fullmatch(text.lower())
        if found is None:
            allowed = "written as 5/second, 100/minute or 10/5 seconds"
            raise ConfigurationError("rate", text, allowed)
        return cls(float(found[1]), float(found[2] or 1) * _UNITS[found[3]])

    @property
    def per_second(self) -> float:
        """How many in one second."""
        return self.amount / self.per


class TokenBucket:
    """A limit of `rate`, with bursts of at most `burst`.

    In any stretch of t seconds at most `burst + rate * t` pass.

    Args:
        rate: tokens a second, or text such as `100/minute`.
        burst: tokens that may be saved up: the most that pass at once. By default what the rate
            gives in its own period, at least one.

    Raises:
        ConfigurationError: for a rate that is not positive, or a burst below 1.
    """

    __slots__ = ("burst", "rate")

    script = TAKE

    def __init__(self, rate: float | str, burst: float | None = None) -> None:
        parsed = Rate.parse(rate) if isinstance(rate, str) else Rate(rate)
        self.rate = parsed.per_second
        self.burst = max(parsed.amount, 1.0) if burst is None else float(burst)
        require(1 <= self.burst < float("inf"), "burst", burst, "at least 1")

    def __repr__(self) -> str:
        return f"TokenBucket(rate={self.rate:g}, burst={self.burst:g})"
