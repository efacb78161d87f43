"""Pools of connections, on one server or on many."""

from mobius_infra.perf._background import (
    Background,
    BackgroundStats,
)
from mobius_infra.perf._balance_pool import (
    BalancedPool,
    BalancedStats,
    Endpoint,
    EndpointEjected,
    EndpointReturned,
)
from mobius_infra.perf._batched import (
    Batched,
    BatchedStats,
    batched,
)
from mobius_infra.perf._coalesced import (
    Coalesced,
    CoalescedStats,
    coalesced,
)
from mobius_infra.perf._debounced import (
    Debounced,
    DebouncedStats,
    debounced,
)
from mobius_infra.perf._drain import (
    WorkFailed,
)
from mobius_infra.perf._gather import (
    gather_bounded,
)
from mobius_infra.perf._gc import (
    GcStats,
    GcTuner,
)
from mobius_infra.perf._lifespan import Lifespan
from mobius_infra.perf._lifespan_told import LifeChanged, LifespanStats, PartFailed
from mobius_infra.perf._loop import (
    LoopBlocked,
    LoopMonitor,
    LoopStats,
)
from mobius_infra.perf._loop_stuck import (
    StuckTask,
    find_stuck_tasks,
)
from mobius_infra.perf._map import (
    map_bounded,
)
from mobius_infra.perf._memory import (
    LeakSuspected,
    MemoryLevelChanged,
    MemoryMonitor,
    MemoryStats,
    ReliefFailed,
)
from mobius_infra.perf._memory_objects import (
    ObjectPool,
    ObjectPoolStats,
)
from mobius_infra.perf._memory_step import (
    MemoryLevel,
)
from mobius_infra.perf._memory_types import (
    Grown,
    count_types,
)
from mobius_infra.perf._outlier import (
    Outliers,
)
from mobius_infra.perf._pool import (
    Pool,
)
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
from mobius_infra.perf._pool_settings import (
    PoolConfig,
)
from mobius_infra.perf._resources import (
    ResourceMonitor,
    ResourceStats,
)
from mobius_infra.perf._threads import (
    Threads,
    ThreadsStats,
    run_in_threads,
)
from mobius_infra.perf._tuner import (
    Knob,
    PerSecond,
    Tuner,
    TunerDecided,
    TunerStats,
)
from mobius_infra.perf._tuner_step import (
    TunerOutcome,
)
from mobius_infra.perf._uvloop import (
    install_uvloop,
    loop_factory,
    run,
)
from mobius_infra.perf._work_errors import (
    BatchKeyError,
    WorkCancelledError,
    WorkClosedError,
    WorkCycleError,
    WorkFullError,
)
from mobius_infra.perf._workqueue import (
    WorkQueue,
    WorkQueueStats,
)

__all__ = [
    "Background",
    "BackgroundStats",
    "BalancedPool",
    "BalancedStats",
    "BatchKeyError",
    "Batched",
    "BatchedStats",
    "Coalesced",
    "CoalescedStats",
    "Debounced",
    "DebouncedStats",
    "Endpoint",
    "EndpointEjected",
    "EndpointReturned",
    "GcStats",
    "GcTuner",
    "Grown",
    "Knob",
    "LeakSuspected",
    "LifeChanged",
    "Lifespan",
    "LifespanStats",
    "LoopBlocked",
    "LoopMonitor",
    "LoopStats",
    "MemoryLevel",
    "MemoryLevelChanged",
    "MemoryMonitor",
    "MemoryStats",
    "ObjectPool",
    "ObjectPoolStats",
    "Outliers",
    "PartFailed",
    "PerSecond",
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
    "ReliefFailed",
    "ResourceMonitor",
    "ResourceStats",
    "StuckTask",
    "Threads",
    "ThreadsStats",
    "Tuner",
    "TunerDecided",
    "TunerOutcome",
    "TunerStats",
    "WorkCancelledError",
    "WorkClosedError",
    "WorkCycleError",
    "WorkFailed",
    "WorkFullError",
    "WorkQueue",
    "WorkQueueStats",
    "batched",
    "coalesced",
    "count_types",
    "debounced",
    "find_stuck_tasks",
    "gather_bounded",
    "install_uvloop",
    "loop_factory",
    "map_bounded",
    "run",
    "run_in_threads",
]
