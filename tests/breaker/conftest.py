"""Nodes of a fleet."""

from collections.abc import AsyncIterator

import pytest

from mobius_infra.testing import ManualClock
from tests.breaker.fleets import Nodes


@pytest.fixture
async def nodes(manual_clock: ManualClock) -> AsyncIterator[Nodes]:
    async with Nodes(manual_clock) as made:
        yield made
