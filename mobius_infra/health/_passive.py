"""Real calls that tell how a thing is, so that nobody has to ask."""

from collections.abc import Callable
from dataclasses import dataclass

from mobius_infra.core import Component, require, samples
from mobius_infra.health._outcome import Outcome
from mobius_infra.health._refuse import require_count, require_share
from mobius_infra.health._states import Evidence, Health

Counts = Callable[[], tuple[int, int]]
"""Gives how many calls have succeeded and how many have failed, since the beginning."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Where real calls are counted, and what they say.

    When a check is due, and since it was last due there were `calls` of them, they are the answer
    and it does not run. Else it is quiet, and it runs.

    Attributes:
        counts: gives successes and failures since the beginning; `traffic_of` makes it from a
            breaker, a pool, a cache. Called on the event loop.
        calls: so many are enough.
        degraded: share of failures from which it is degraded.
        down: share of failures from which it is down.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    counts: Counts
    calls: int = 10
    degraded: float = 0.1
    down: float = 0.5

    def __post_init__(self) -> None:
        require(callable(self.counts), "counts", self.counts, "a function of nothing")
        require_count("calls", self.calls)
        require_share("degraded", self.degraded)
        require_share("down", self.down)
        require(0 < self.degraded <= self.down, "degraded", self.degraded, "above 0, at most down")

    def judge(self, successes: int, failures: int) -> Outcome | None:
        """Return what so many new calls say; None if they are too few."""
        total = successes + failures
        if total < self.calls:
            return None
        share = failures / total
        reason = f"{failures} of the last {total} calls failed"
        if share >= self.down:
            return Outcome(Health.DOWN, Evidence.TRAFFIC, reason)
        if share >= self.degraded:
            return Outcome(Health.DEGRADED, Evidence.TRAFFIC, reason)
        return Outcome(Health.UP, Evidence.TRAFFIC)


class Listener:
    """Remembers what was counted when it last looked."""

    __slots__ = ("_failures", "_successes", "_traffic")

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._successes = self._failures = 0

    def look(self) -> Outcome | None:
        """Return what the calls since the last look say; None if they are too few, or unreadable.

        A count that went back was begun anew, so all of it is new.
        """
        try:
            successes, failures = self._traffic.counts()
        except Exception:  # noqa: BLE001 - the user's function; without it, the check runs
            return None
        before = (self._successes, self._failures)
        self._successes, self._failures = successes, failures
        if successes >= before[0] and failures >= before[1]:
            successes, failures = successes - before[0], failures - before[1]
        return self._traffic.judge(successes, failures)


def traffic_of(
    component: Component, *, successes: str = "successes", failures: str = "failures"
) -> Counts:
    """Count the calls through a component, as its `stats()` tells them.

    Args:
        component: such as a circuit breaker.
        successes: its counter of calls that went well; summed over labels.
        failures: its counter of calls that did not.

    Raises:
        ConfigurationError: if it has no such counters.
    """

    def counts() -> tuple[int, int]:
        totals = {successes: 0, failures: 0}
        for sample in samples(component.stats()):
            if sample.name in totals:
                totals[sample.name] += int(sample.value)
        return totals[successes], totals[failures]

    known = {sample.name for sample in samples(component.stats()) if sample.kind == "counter"}
    for field, name in (("successes", successes), ("failures", failures)):
        require(name in known, field, name, "one of " + ", ".join(sorted(known)))
    return counts
