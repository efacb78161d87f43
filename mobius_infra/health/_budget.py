"""How often something may be restarted before that is no cure: the restart intensity of OTP."""

from dataclasses import dataclass, field

from mobius_infra.health._refuse import require_count, require_seconds


@dataclass(frozen=True, slots=True)
class Restarts:
    """How many restarts are allowed within a period.

    As in OTP's `supervisor` (`intensity` and `period`): one more than `intensity` within `period`
    seconds, and it is given up. Budgets that are nested multiply: 3 inside 3 allows 4 x 4 starts.

    Attributes:
        intensity: restarts within the period; 0: none at all.
        period: seconds that a restart counts.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    intensity: int = 3
    period: float = 60.0

    def __post_init__(self) -> None:
        require_count("intensity", self.intensity, least=0)
        require_seconds("period", self.period)

    def spend(self, spent: tuple[float, ...], now: float) -> tuple[bool, tuple[float, ...]]:
        """Decide whether one more is allowed at `now`, and return the times that count then.

        Args:
            spent: when restarts were made, as returned before.
            now: on the same clock.
        """
        kept = tuple(each for each in spent if each >= now - self.period)
        return (True, (*kept, now)) if len(kept) < self.intensity else (False, kept)


@dataclass(slots=True)
class Budget:
    """What is left of a number of restarts."""

    restarts: Restarts
    spent: tuple[float, ...] = field(default=())

    def spend(self, now: float) -> bool:
        """Take one restart, if there is one left."""
        allowed, self.spent = self.restarts.spend(self.spent, now)
        return allowed
