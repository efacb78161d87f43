"""Answer from what was asked before: tiers, tags, and one load for all who wait."""

from mobius_infra.cache._batched import Batched, BatchedDecorator
from mobius_infra.cache._behind import WriteBehind
from mobius_infra.cache._cache import Cache, CacheConfig
from mobius_infra.cache._decorator import Cached, CachedDecorator
from mobius_infra.cache._errors import CacheCycleError
from mobius_infra.cache._events import TierDegraded, TierRestored, ValueUnwritable
from mobius_infra.cache._history import Point
from mobius_infra.cache._keys import encode_key
from mobius_infra.cache._memory import MemoryTier
from mobius_infra.cache._policy import Policy
from mobius_infra.cache._predict import Prediction
from mobius_infra.cache._stats import CacheStats
from mobius_infra.cache._tier import BackendTier

__all__ = [
    "BackendTier",
    "Batched",
    "BatchedDecorator",
    "Cache",
    "CacheConfig",
    "CacheCycleError",
    "CacheStats",
    "Cached",
    "CachedDecorator",
    "MemoryTier",
    "Point",
    "Policy",
    "Prediction",
    "TierDegraded",
    "TierRestored",
    "ValueUnwritable",
    "WriteBehind",
    "encode_key",
]
