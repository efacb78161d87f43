"""What the status page draws over time."""

from mobius_infra.breaker import Retry
from mobius_infra.cache import Cache
from mobius_infra.metrics import EventLoop, FeatureUse, History, Process
from mobius_infra.ratelimit import RateLimiter


def chart(
    history: History,
    *,
    features: FeatureUse,
    cache: Cache,
    upstream: Retry,
    limiter: RateLimiter,
    loop: EventLoop,
    process: Process,
) -> History:
    """Record the numbers that say most, and return the history."""
    history.track_rate("messages_per_second", lambda: sum(features.stats().uses.values()))
    history.track_rate("upstream_calls_per_second", lambda: upstream.stats().calls)
    history.track_rate("limited_per_second", lambda: limiter.stats().limited)
    history.track("hit_rate", lambda: hit_rate(cache))
    history.track("loop_lag_seconds", lambda: loop.stats().worst_lag_seconds)
    history.track("memory_bytes", lambda: process.stats().resident_bytes)
    return history


def hit_rate(cache: Cache) -> float | None:
    """Return the share of all look-ups that found something; None before the first."""
    stats = cache.stats()
    hits = sum(stats.hits.values())
    asked = hits + stats.misses
    return hits / asked if asked else None
