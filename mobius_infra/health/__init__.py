"""Checks that tell the truth, and pages to look at."""

from mobius_infra.health._app import status_app
from mobius_infra.health._checks import backend_check
from mobius_infra.health._monitor import (
    CheckFailed,
    CheckRecovered,
    CheckReport,
    Health,
    HealthMonitor,
    Report,
)
from mobius_infra.health._serve import serve

__all__ = [
    "CheckFailed",
    "CheckRecovered",
    "CheckReport",
    "Health",
    "HealthMonitor",
    "Report",
    "backend_check",
    "serve",
    "status_app",
]
