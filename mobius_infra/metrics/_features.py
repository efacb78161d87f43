"""What of the service is used, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass

from mobius_infra.core import Clock, Event, Events, Stats, SystemClock, counter, require

OTHER = "other"

LONGEST_NAME = 100
"""Characters of a feature's name that count."""


@dataclass(frozen=True, slots=True)
class FeatureUseStats(Stats):
    """How often each feature was used."""

    uses: Mapping[str, int] = counter("Uses, by feature", label="feature")


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyFeatures(Event):
    """From now on new features count as `other`. Said once.

    Attributes:
        feature: the first that did.
    """

    feature: str


class FeatureUse:
    """Counts uses by feature, of a bounded number of features.

        features = FeatureUse()
        features.use("price")

    A name may come from a user: it is cut after 100 characters, the first `max_features` have
    counters of their own, and all others share the one of `other`.

    Args:
        name: for its numbers.
        max_features: bound of the memory and of what is exported.
        clock: the time of the event.

    Raises:
        ConfigurationError: if there is no name, or `max_features` is not positive.
    """

    __slots__ = ("__weakref__", "_clock", "_full", "_max_features", "_uses", "events", "name")

    def __init__(
        self, name: str = "features", *, max_features: int = 100, clock: Clock | None = None
    ) -> None:
        require(bool(name), "name", name, "a name for its numbers")
        good = type(max_features) is int and max_features > 0
        require(good, "max_features", max_features, "a positive number")
        self.name = name
        self.events = Events()
        self._clock = clock or SystemClock()
        self._max_features = max_features
        self._full = False
        self._uses: dict[str, int] = {OTHER: 0}

    def use(self, feature: str) -> None:
        """Count one use."""
        uses, feature = self._uses, feature[:LONGEST_NAME]
        if feature in uses:
            uses[feature] += 1
        elif len(uses) <= self._max_features:
            uses[feature] = 1
        else:
            uses[OTHER] += 1
            if not self._full:
                self._full = True
                self.events.emit(
                    TooManyFeatures(source=self.name, at=self._clock.time(), feature=feature)
                )

    def stats(self) -> FeatureUseStats:
        """Return a snapshot of the counters."""
        return FeatureUseStats(dict(self._uses))

    def __repr__(self) -> str:
        return f"FeatureUse({self.name!r}, features={len(self._uses) - 1})"
