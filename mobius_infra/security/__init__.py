"""Security: screening of what comes in.

Screening is a signal: parameterised queries and escaping at output stay the fix.
"""

from mobius_infra.security._detect import (
    SINKS,
    Detector,
    DetectorStats,
    Finding,
    Mode,
    ScreenedError,
    Sink,
    Suspected,
    Verdict,
    inspect_text,
)
from mobius_infra.security._views import View, views

__all__ = [
    "SINKS",
    "Detector",
    "DetectorStats",
    "Finding",
    "Mode",
    "ScreenedError",
    "Sink",
    "Suspected",
    "Verdict",
    "View",
    "inspect_text",
    "views",
]
