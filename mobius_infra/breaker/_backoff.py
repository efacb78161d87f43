"""How long to wait before trying again: the pause grows, is clamped, and only then jittered."""

from dataclasses import dataclass
from typing import Literal, get_args

from mobius_infra.breaker._checks import is_number, require_seconds
from mobius_infra.core import require

Jitter = Literal["full", "equal", "decorrelated", "none"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow by `factor` from `first` to `most` seconds, spread at random.

    The jitter comes after the clamp: before it, every late pause would be exactly `most`, and all
    who failed together would come back together. Source of the four: Marc Brooker, "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015.

    Attributes:
        first: seconds of the first pause, before jitter.
        most: seconds that no pause exceeds.
        factor: what each pause is of the one before it.
        jitter: `full`, uniform in (0, pause], makes the fewest calls under contention; `equal`,
            uniform in (pause / 2, pause], never comes back at once; `decorrelated`, uniform between
            `first` and three times the previous pause, forgets how many attempts there were;
            `none` is for tests.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    first: float = 1.0
    most: float = 60.0
    factor: float = 2.0
    jitter: Jitter = "full"

    def __post_init__(self) -> None:
        require_seconds("first", self.first)
        require_seconds("most", self.most)
        require(self.most >= self.first, "most", self.most, f"at least first, {self.first:g} s")
        require(
            is_number(self.factor) and self.factor >= 1, "factor", self.factor, "a number from 1 up"
        )
        known = get_args(Jitter)
        require(self.jitter in known, "jitter", self.jitter, "one of " + ", ".join(known))

    def pause(self, attempt: int, draw: float, previous: float = 0.0) -> float:
        """Return the seconds to wait, positive and at most `most`.

        Args:
            attempt: how many have failed in a row, from 1.
            draw: a random number in [0, 1).
            previous: the pause taken before this one, for `decorrelated`; 0 if there was none.
        """
        if self.jitter == "decorrelated":
            # The upper end is clamped, not the result, or late pauses would pile up on `most`.
            top = min(max(previous, self.first) * 3.0, self.most)
            return self.first + (top - self.first) * draw
        clamped = self._clamped(attempt)
        if self.jitter == "full":
            return clamped * (1.0 - draw)
        if self.jitter == "equal":
            return clamped * (1.0 - 0.5 * draw)
        return clamped

    def _clamped(self, attempt: int) -> float:
        try:
            return min(self.first * self.factor ** (attempt - 1), self.most)
        except OverflowError:  # the thousandth attempt and later
            return self.most
