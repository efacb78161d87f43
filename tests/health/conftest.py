"""A monitor in virtual time."""

import pytest

from mobius_infra.health import HealthMonitor
from mobius_infra.testing import ManualClock


@pytest.fixture
def monitor(manual_clock: ManualClock) -> HealthMonitor:
    return HealthMonitor(clock=manual_clock, draw=lambda: 0.0)
