"""The pytest fixture, found by pytest through the distribution's entry point."""

import pytest

from mobius_infra.testing._clock import ManualClock


@pytest.fixture
def manual_clock() -> ManualClock:
    """Give a clock that stands still until the test moves it."""
    return ManualClock()
