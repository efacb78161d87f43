"""What holds after every test of async work, and what several files share."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mobius_infra.testing import ManualClock
from tests.perf.lifespan_world import World


@pytest.fixture
async def nothing_is_left() -> AsyncIterator[None]:
    """No task outlives a test, and nothing is told to the loop's exception handler."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    yield
    for _ in range(10):
        await asyncio.sleep(0)
    gc.collect(1)  # what the test left is young
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not told


@pytest.fixture
def world(manual_clock: ManualClock) -> World:
    """Give a service whose parts say what happens to them."""
    return World(manual_clock)
