"""Where two subpackages meet that know nothing of each other."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from mobius_infra.breaker import CircuitBreaker, State, bulkhead, timeout
from mobius_infra.core import Rejected
from mobius_infra.ratelimit import (
    AdaptiveLimiter,
    ConcurrencyLimitError,
    FairQueue,
    fair,
)
from mobius_infra.testing import ManualClock


async def test_tenants_take_turns_at_a_bulkhead() -> None:
    order: list[str] = []
    limited = bulkhead(1, queue=FairQueue(), tenant="user")

    @limited
    async def call(user: str, number: int) -> None:
        order.append(f"{user}{number}")
        await asyncio.sleep(0)

    flood = [call("a", number) for number in range(50)]
    await asyncio.gather(*flood, call("b", 0))
    assert order.index("b0") <= 2
    assert len(order) == 51
    assert limited.in_use == limited.waiting == 0


@pytest.mark.parametrize("kind", ["adaptive", "fair"])
async def test_a_time_out_while_a_call_waits_for_a_slot_says_nothing_of_the_dependency(
    kind: str, manual_clock: ManualClock
) -> None:
    breaker = CircuitBreaker("b", consecutive_failures=1, clock=manual_clock)
    slot: AbstractAsyncContextManager[None]
    limited: Any  # either of two decorators
    if kind == "adaptive":
        adaptive = AdaptiveLimiter(
            "l", initial=1, minimum=1, maximum=1, max_wait=60, clock=manual_clock
        )
        slot, limited = adaptive, adaptive
    else:
        shared = fair(1, name="l", tenant=lambda: "b", max_wait=60, clock=manual_clock)
        slot, limited = shared.slot("a"), shared

    @breaker
    @timeout(1.0, clock=manual_clock)
    @limited  # type: ignore[untyped-decorator]  # either of two
    async def call() -> None: ...

    async with slot:
        waiting = asyncio.create_task(call())
        await manual_clock.advance(2.0)
        with pytest.raises(Rejected) as caught:
            await waiting
    assert isinstance(caught.value, ConcurrencyLimitError)
    assert caught.value.reason == "cancelled"
    assert breaker.state is State.CLOSED
    await call()
