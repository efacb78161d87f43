"""An origin that counts, and a backend that can go away."""

import pytest

from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky, Origin


@pytest.fixture
def origin() -> Origin:
    return Origin()


@pytest.fixture
def backend(manual_clock: ManualClock) -> Flaky:
    return Flaky(manual_clock)
