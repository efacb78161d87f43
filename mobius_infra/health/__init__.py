"""Checks that tell the truth, and pages to look at."""

from mobius_infra.health._app import (
    status_app,
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
from mobius_infra.health._checks import (
    backend_check,
)
from mobius_infra.health._flapping import (
    Flapping,
)
from mobius_infra.health._ledger import (
    Availability,
    ErrorBudget,
)
from mobius_infra.health._monitor import HealthMonitor
from mobius_infra.health._passive import (
    Traffic,
    traffic_of,
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
    "Report",
    "Traffic",
    "Uptime",
    "UptimeNotSaved",
    "UptimeStats",
    "backend_check",
    "serve",
    "status_app",
    "traffic_of",
]
