"""Many things at once, within limits."""

from mobius_infra.perf._batched import Batched, BatchedStats, batched
from mobius_infra.perf._coalesced import Coalesced, CoalescedStats, coalesced
from mobius_infra.perf._debounced import Debounced, DebouncedStats, debounced
from mobius_infra.perf._gather import gather_bounded
from mobius_infra.perf._map import map_bounded
from mobius_infra.perf._work_errors import (
    BatchKeyError,
    WorkCancelledError,
    WorkClosedError,
    WorkCycleError,
    WorkFullError,
)

__all__ = [
    "BatchKeyError",
    "Batched",
    "BatchedStats",
    "Coalesced",
    "CoalescedStats",
    "Debounced",
    "DebouncedStats",
    "WorkCancelledError",
    "WorkClosedError",
    "WorkCycleError",
    "WorkFullError",
    "batched",
    "coalesced",
    "debounced",
    "gather_bounded",
    "map_bounded",
]
