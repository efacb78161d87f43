"""Checks that tell the truth, and pages to look at."""

from mobius_infra.health._app import status_app
from mobius_infra.health._checks import backend_check
from mobius_infra.health._ledger import Availability, ErrorBudget
from mobius_infra.health._monitor import (
    CheckFailed,
    CheckRecovered,
    CheckReport,
    Health,
    HealthMonitor,
    Report,
)
from mobius_infra.health._serve import serve
from mobius_infra.health._uptime import WHOLE, WINDOWS, Uptime, UptimeNotSaved, UptimeStats

__all__ = [
    "WHOLE",
    "WINDOWS",
    "Availability",
    "CheckFailed",
    "CheckRecovered",
    "CheckReport",
    "ErrorBudget",
    "Health",
    "HealthMonitor",
    "Report",
    "Uptime",
    "UptimeNotSaved",
    "UptimeStats",
    "backend_check",
    "serve",
    "status_app",
]
