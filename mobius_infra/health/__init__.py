"""Checks that tell the truth, and pages to look at."""

from mobius_infra.health._app import (
    status_app,
)
from mobius_infra.health._budget import (
    Restarts,
)
from mobius_infra.health._check_events import (
    CheckChanged,
    CheckDegraded,
    CheckEvent,
    CheckFailed,
    CheckFlapping,
    CheckRecovered,
    CheckReleased,
    CheckSettled,
    CheckStuck,
    CheckUnknown,
)
from mobius_infra.health._checks_inside import (
    cache_check,
    component_check,
    disk_check,
    loop_check,
    memory_check,
)
from mobius_infra.health._checks_outside import (
    backend_check,
    http_check,
    tcp_check,
    telegram_check,
)
from mobius_infra.health._flapping import (
    Flapping,
)
from mobius_infra.health._ledger import (
    Availability,
    ErrorBudget,
)
from mobius_infra.health._monitor import (
    HealthMonitor,
)
from mobius_infra.health._outcome import (
    UnhealthyError,
)
from mobius_infra.health._passive import (
    Traffic,
    traffic_of,
)
from mobius_infra.health._pauses import (
    Pauses,
)
from mobius_infra.health._recovery_events import (
    RecoveryEscalated,
    RecoveryEvent,
    RecoveryFailed,
    RecoveryHeld,
    RecoveryStarted,
    RecoverySucceeded,
)
from mobius_infra.health._reports import (
    CheckReport,
    Report,
)
from mobius_infra.health._serve import (
    serve,
)
from mobius_infra.health._states import (
    Degraded,
    Evidence,
    Health,
    Kind,
)
from mobius_infra.health._supervisor import (
    RestartsExhaustedError,
    Supervisor,
    SupervisorStats,
    TaskCrashed,
    TaskEvent,
    TaskStuck,
)
from mobius_infra.health._uptime import (
    WHOLE,
    WINDOWS,
    Uptime,
    UptimeNotSaved,
    UptimeStats,
)

__all__ = [
    "WHOLE",
    "WINDOWS",
    "Availability",
    "CheckChanged",
    "CheckDegraded",
    "CheckEvent",
    "CheckFailed",
    "CheckFlapping",
    "CheckRecovered",
    "CheckReleased",
    "CheckReport",
    "CheckSettled",
    "CheckStuck",
    "CheckUnknown",
    "Degraded",
    "ErrorBudget",
    "Evidence",
    "Flapping",
    "Health",
    "HealthMonitor",
    "Kind",
    "Pauses",
    "RecoveryEscalated",
    "RecoveryEvent",
    "RecoveryFailed",
    "RecoveryHeld",
    "RecoveryStarted",
    "RecoverySucceeded",
    "Report",
    "Restarts",
    "RestartsExhaustedError",
    "Supervisor",
    "SupervisorStats",
    "TaskCrashed",
    "TaskEvent",
    "TaskStuck",
    "Traffic",
    "UnhealthyError",
    "Uptime",
    "UptimeNotSaved",
    "UptimeStats",
    "backend_check",
    "cache_check",
    "component_check",
    "disk_check",
    "http_check",
    "loop_check",
    "memory_check",
    "serve",
    "status_app",
    "tcp_check",
    "telegram_check",
    "traffic_of",
]
