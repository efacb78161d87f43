"""Pools of connections, on one server or on many."""

from mobius_infra.perf._balance_pool import (
    BalancedPool,
    BalancedStats,
    Endpoint,
    EndpointEjected,
    EndpointReturned,
)
from mobius_infra.perf._outlier import Outliers
from mobius_infra.perf._pool import Pool
from mobius_infra.perf._pool_errors import (
    PoolClosedError,
    PoolConnectError,
    PoolFullError,
    PoolMisuseError,
    PoolTimeoutError,
)
from mobius_infra.perf._pool_events import (
    PoolClosed,
    PoolLeakSuspected,
    PoolReachable,
    PoolStats,
    PoolUnreachable,
)
from mobius_infra.perf._pool_settings import PoolConfig

__all__ = [
    "BalancedPool",
    "BalancedStats",
    "Endpoint",
    "EndpointEjected",
    "EndpointReturned",
    "Outliers",
    "Pool",
    "PoolClosed",
    "PoolClosedError",
    "PoolConfig",
    "PoolConnectError",
    "PoolFullError",
    "PoolLeakSuspected",
    "PoolMisuseError",
    "PoolReachable",
    "PoolStats",
    "PoolTimeoutError",
    "PoolUnreachable",
]
