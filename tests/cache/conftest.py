"""An origin that counts, a backend that can go away, and a cache of each kind."""

import pytest

from mobius_infra.cache import Cache
from mobius_infra.testing import ManualClock
from tests.cache.support import TIERS, Flaky, Origin


@pytest.fixture
def origin() -> Origin:
    return Origin()


@pytest.fixture
def backend(manual_clock: ManualClock) -> Flaky:
    return Flaky(manual_clock)


@pytest.fixture(params=TIERS)
def cache(request: pytest.FixtureRequest, backend: Flaky, manual_clock: ManualClock) -> Cache:
    return Cache("c", tiers=TIERS[request.param](backend), ttl=10, clock=manual_clock)
