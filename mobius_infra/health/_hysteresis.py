"""When a check's runs are believed: so many in a row, or so many of the last ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mobius_infra.core import require
from mobius_infra.health._refuse import require_count
from mobius_infra.health._states import SEVERITY, Health


@dataclass(frozen=True, slots=True)
class Belief:
    """How much it takes to change a check's state.

    Attributes:
        failures: runs in a row that say worse, until it is worse.
        successes: runs in a row that say better, until it is better.
        failures_of: `(m, n)`: m of the last n runs that say worse do too, in a row or not. That is
            what notices a check that passes every other time; choose `successes` above 1 with it.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    failures: int = 1
    successes: int = 1
    failures_of: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        require_count("failures", self.failures)
        require_count("successes", self.successes)
        if self.failures_of is None:
            return
        pair: Sequence[object] = self.failures_of
        require(len(pair) == 2, "failures_of", pair, "a pair, as (3, 5) for 3 of the last 5")
        for each in pair:
            require_count("failures_of", each)
        m, n = self.failures_of
        require(m <= n, "failures_of", pair, "m of n, m at most n")


@dataclass(slots=True)
class Streak:
    """How often in a row, and of the last ones, runs were past a level. Bits, newest lowest."""

    hits: int = 0
    misses: int = 0
    recent: int = 0

    def add(self, hit: bool, width: int) -> None:
        self.hits = self.hits + 1 if hit else 0
        self.misses = 0 if hit else self.misses + 1
        self.recent = (self.recent << 1 | hit) & ((1 << width) - 1)


@dataclass(slots=True)
class Hysteresis:
    """A check's state by its runs. `record` is the pure step.

    Down and degraded are two levels, each with its own count: a run that says down counts for
    both, so that down, degraded, down is three in a row that are not up.
    """

    belief: Belief
    state: Health = Health.UNKNOWN
    _down: Streak = field(default_factory=Streak)
    _poor: Streak = field(default_factory=Streak)

    def record(self, said: Health) -> None:
        """Count a run that said up, degraded or down."""
        width = self.belief.failures_of[1] if self.belief.failures_of else 0
        self._down.add(said is Health.DOWN, width)
        self._poor.add(said is not Health.UP, width)
        self.state = self._next(said)

    def forget(self) -> None:
        """Begin anew: what was known is too old to count."""
        self.state = Health.UNKNOWN
        self._down, self._poor = Streak(), Streak()

    def _next(self, said: Health) -> Health:
        if self._worse(self._down):
            return Health.DOWN
        if self.state is Health.UNKNOWN:
            # The first that passes is believed at once: nothing is known that it contradicts.
            return said if said is not Health.DOWN else Health.UNKNOWN
        at = SEVERITY[self.state]
        if at < SEVERITY[Health.DEGRADED] and self._worse(self._poor):
            return Health.DEGRADED
        if at > SEVERITY[Health.UP] and self._poor.misses >= self.belief.successes:
            return Health.UP
        if self.state is Health.DOWN and self._down.misses >= self.belief.successes:
            return Health.DEGRADED
        return self.state

    def _worse(self, level: Streak) -> bool:
        if level.hits >= self.belief.failures:
            return True
        if self.belief.failures_of is None:
            return False
        enough, _ = self.belief.failures_of
        # Only a run that is itself worse: a success must not change the state for the worse.
        return level.hits > 0 and level.recent.bit_count() >= enough
