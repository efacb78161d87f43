"""A monitor in virtual time."""

import pytest
from hypothesis import settings

from mobius_infra.health import HealthMonitor
from mobius_infra.testing import ManualClock

# An example that takes long says something of the machine, and nothing of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def monitor(manual_clock: ManualClock) -> HealthMonitor:
    return HealthMonitor(clock=manual_clock, draw=lambda: 0.0)
