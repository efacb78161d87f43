"""How many a second, lately: exponentially weighted, as Unix's load averages are."""

import math
from collections.abc import Sequence

from mobius_infra.core import Clock, SystemClock, require
from mobius_infra.metrics._moments import LARGEST

_SETTLING = 1.0
"""Seconds that it counts as having run for at least: one call in its first microsecond is not a
million a second."""


class Rates:
    """Rates over the last minute, five and fifteen minutes (or other spans), in constant memory.

        requests = Rates()
        requests.add()
        minute, five, fifteen = requests.per_second()

    An event that is `age` seconds old has the weight `exp(-age / span)`. Nothing ticks: the time
    that passed is asked for when something is added or read, so that the result is that formula
    itself and not an approximation by steps. While it has run for less than a few spans, the
    weight of the time before it began is left out: a steady flow shows its true rate from the
    first second on, instead of growing towards it.

    The sum of the rates of several processes is the rate of all.

    Args:
        spans: seconds; about 63 % of the weight is on the last span.
        clock: where durations come from.

    Raises:
        ConfigurationError: if there is no span, or one is not positive and finite.
    """

    __slots__ = ("_clock", "_seen", "_since", "_sums", "refused", "spans")

    def __init__(
        self, spans: Sequence[float] = (60.0, 300.0, 900.0), *, clock: Clock | None = None
    ) -> None:
        good = len(spans) > 0 and all(0 < span < math.inf for span in spans)
        require(good, "spans", spans, "one or more positive numbers of seconds")
        self.spans = tuple(spans)
        self.refused = 0
        self._clock = clock or SystemClock()
        self._since = self._seen = self._clock.monotonic()
        self._sums = [0.0] * len(self.spans)  # amounts, each with its weight at `_seen`

    def add(self, amount: float = 1.0) -> None:
        """Count `amount` now. What is no number, or over 1e140, is counted in `refused` instead."""
        if not -LARGEST <= amount <= LARGEST:
            self.refused += 1
            return
        self._advance(self._clock.monotonic(), amount)

    def _advance(self, now: float, amount: float) -> None:
        """Let the sums weigh what they do `now`, and add `amount` to them."""
        passed = max(now - self._seen, 0.0)  # a clock that goes back stands still
        self._seen += passed
        self._sums = [
            each * math.exp(-passed / span) + amount
            for each, span in zip(self._sums, self.spans, strict=True)
        ]

    def per_second(self) -> tuple[float, ...]:
        """Return the rate over each span; zeros before anything was added."""
        now = self._clock.monotonic()
        self._advance(now, 0.0)
        run = max(now - self._since, _SETTLING)
        # A flow of one a second since the beginning weighs span * (1 - exp(-run / span)) now.
        return tuple(
            each / (-span * math.expm1(-run / span))
            for each, span in zip(self._sums, self.spans, strict=True)
        )

    def __repr__(self) -> str:
        rates = ", ".join(
            f"{rate:g}/s over {span:g} s"
            for rate, span in zip(self.per_second(), self.spans, strict=True)
        )
        return f"Rates({rates})"
