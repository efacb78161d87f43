"""Whether a check changes its mind all the time."""

from dataclasses import dataclass

from mobius_infra.core import require
from mobius_infra.health._refuse import require_count, require_share
from mobius_infra.health._states import Health


@dataclass(frozen=True, slots=True)
class Flapping:
    """What counts as flapping: the share of runs that said other than the run before.

    Two thresholds, so that being on the edge of flapping is not itself flapping. After Nagios'
    "Detection and Handling of State Flapping", which looks at 21 results too; its weights for newer
    ones are left out.

    Attributes:
        window: changes looked at; a run that is not there yet counts as one without a change.
        start: share from which it flaps.
        stop: share below which it does so no longer.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    window: int = 20
    start: float = 0.5
    stop: float = 0.25

    def __post_init__(self) -> None:
        require_count("window", self.window)
        require_share("start", self.start)
        require_share("stop", self.stop)
        require(0 < self.stop <= self.start, "stop", self.stop, "above 0 and at most start")


@dataclass(slots=True)
class FlapDetector:
    """Watches what runs say. `record` is the pure step."""

    rules: Flapping
    flapping: bool = False
    _last: Health | None = None
    _changes: int = 0  # bits, newest lowest

    def record(self, said: Health) -> bool:
        """Count a run; return whether flapping began or ended with it."""
        changed = self._last is not None and said is not self._last
        self._last = said
        self._changes = (self._changes << 1 | changed) & ((1 << self.rules.window) - 1)
        before = self.flapping
        self.flapping = self.share >= (self.rules.stop if before else self.rules.start)
        return self.flapping is not before

    @property
    def share(self) -> float:
        """The share of the window's runs that said other than the one before."""
        return self._changes.bit_count() / self.rules.window
