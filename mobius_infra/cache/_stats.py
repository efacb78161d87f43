"""A cache's numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from mobius_infra.cache._engine import Engine
from mobius_infra.core import Stats, counter, gauge


@dataclass(frozen=True, slots=True)
class CacheStats(Stats):
    """A cache's numbers."""

    hits: Mapping[str, int] = counter("Values found, by tier", label="tier")
    misses: int = counter("Values found in no tier")
    loads: int = counter("Loads that succeeded")
    load_errors: int = counter("Loads that failed")
    load_seconds: float = counter("Seconds that loads took that succeeded")
    stale: int = counter("Old values served because a load failed or took too long")
    revalidated: int = counter("Old values served while they were loaded anew")
    early: int = counter("Values refreshed before their end")
    errors_served: int = counter("Cached exceptions raised")
    evictions: Mapping[str, int] = counter("Values not held any longer, by cause", label="cause")
    tier_errors: Mapping[str, int] = counter("Failures of a tier's backend", label="tier")
    unreadable: Mapping[str, int] = counter("Values that could not be read", label="tier")
    unwritable: int = counter("Values that no codec could write; kept in memory only")
    lost_writes: Mapping[str, int] = counter("Values never written behind", label="tier")
    waiting_writes: Mapping[str, int] = gauge("Values to be written behind", label="tier")
    waited: int = counter("Loads for which another process was waited for")
    messages_heard: int = counter("Invalidations heard from other processes")
    messages_failed: int = counter("Messages that could not be sent or read")
    predicted: int = counter("Values loaded by prediction")
    predicted_hits: int = counter("Predicted values that were then asked for")
    predicted_waste: int = counter("Predicted values that were not")
    entries: int = gauge("Values held in memory")
    bytes: int = gauge("Weight of the values held in memory, where it is bounded")
    loading: int = gauge("Loads under way")

    @property
    def hit_rate(self) -> float:
        """The share of hits among all that were asked for; 0 before any was."""
        found = sum(self.hits.values())
        return found / (found + self.misses) if found else 0.0


def stats_of(engine: Engine) -> CacheStats:
    """Read the numbers as they are now."""
    store, memory = engine.store, engine.store.memory
    counts, plane, turns = store.counts, engine.backplane, engine.turns
    predictor = engine.predictor
    lower = {tier.name: tier for tier in store.lower}
    return CacheStats(
        hits={memory.name: memory.hits, **dict(zip(lower, store.hits, strict=True))},
        misses=counts.misses,
        loads=counts.loads,
        load_errors=counts.load_errors,
        load_seconds=counts.load_seconds,
        stale=counts.stale,
        revalidated=counts.revalidated,
        early=counts.early,
        errors_served=counts.errors_served,
        evictions=dict(memory.evictions),
        tier_errors={name: tier.errors for name, tier in lower.items()},
        unreadable={name: tier.unreadable for name, tier in lower.items()},
        unwritable=counts.unwritable,
        lost_writes={name: tier.lost for name, tier in lower.items()},
        waiting_writes={name: tier.waiting for name, tier in lower.items()},
        waited=0 if turns is None else turns.waited,
        messages_heard=0 if plane is None else plane.heard,
        messages_failed=0 if plane is None else plane.failed,
        predicted=0 if predictor is None else predictor.loaded,
        predicted_hits=0 if predictor is None else predictor.hits,
        predicted_waste=0 if predictor is None else predictor.wasted,
        entries=len(memory.entries),
        bytes=memory.weight,
        loading=len(engine.flights),
    )
