"""How long to wait before trying to mend something again."""

from dataclasses import dataclass

from mobius_infra.core import require
from mobius_infra.health._refuse import require_seconds


@dataclass(frozen=True, slots=True)
class Pauses:
    """Pauses that double from `first` to `most` seconds, each spread over its upper half.

    Never nothing, so that what is broken is not beaten; never all at once, so that a fleet spreads.
    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (equal
    jitter).

    Attributes:
        first: seconds of the first pause.
        most: seconds that no pause exceeds.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    first: float = 1.0
    most: float = 60.0

    def __post_init__(self) -> None:
        require_seconds("first", self.first)
        require_seconds("most", self.most)
        require(self.first <= self.most, "most", self.most, f"at least first, {self.first:g} s")

    def before(self, attempt: int, draw: float) -> float:
        """Return the seconds to wait before an attempt.

        Args:
            attempt: its number, from 1.
            draw: a random number in [0, 1).
        """
        doubled = self.first * 2.0 ** min(attempt - 1, 64)
        return min(doubled, self.most) * (1.0 - draw / 2)
