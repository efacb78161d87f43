"""The fair limiter, as its users see it."""

import asyncio
from collections import Counter
from math import inf
from typing import Any, assert_type

import pytest

from mobius_infra.core import ConfigurationError, Rejected
from mobius_infra.ratelimit import (
    ConcurrencyLimitError,
    FairLimiter,
    FairLimiterConfig,
    FairQueue,
    fair,
)
from mobius_infra.testing import ManualClock


def jain(shares: list[float]) -> float:
    """Return Jain's index: 1 if all are equal, 1/n if one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("target", [None, 0.005])
async def test_equal_tenants_get_equal_shares_under_a_hundredfold_imbalance(
    target: float | None, manual_clock: ManualClock
) -> None:
    """Also when CoDel drops most of what floods: that must not cost the flood its turns too."""
    limiter = FairLimiter("x", 1, tenant="who", clock=manual_clock, target=target, max_wait=100)
    served: Counter[str] = Counter()

    @limiter
    async def call(who: str) -> None:
        await manual_clock.sleep(0.01)
        served[who] += 1

    tasks = []
    # 100 a second can be served: each of five may have 20. Four ask for 25, one for 2,500.
    for step in range(800):
        tasks += [asyncio.create_task(call("flood")) for _ in range(25)]
        tasks.append(asyncio.create_task(call(f"t{step % 4}")))
        await manual_clock.advance(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    shares = [float(count) for count in served.values()]
    assert len(shares) == 5
    assert sum(shares) > 780
    assert jain(shares) >= 0.99
    stats = limiter.stats()
    assert (stats.rejected["dropped"] > 300) == (target is not None)
    assert (stats.inflight, stats.waiting, stats.tenants) == (0, 0, 0)


async def test_a_single_call_beside_ten_thousand_is_delayed_by_one_round(
    manual_clock: ManualClock,
) -> None:
    queue = FairQueue[Any](per_tenant=10_000, capacity=20_000)
    limiter = FairLimiter("x", 1, tenant="who", queue=queue, target=None, clock=manual_clock)

    @limiter
    async def call(who: str) -> float:
        await manual_clock.sleep(0.01)
        return manual_clock.monotonic()

    flood = [asyncio.create_task(call("flood")) for _ in range(10_001)]
    await turns()
    assert limiter.stats().waiting == 10_000
    alone = asyncio.create_task(call("alone"))
    await turns()
    for _ in range(4):
        await manual_clock.advance(0.01)
    assert alone.done()
    assert alone.result() <= 0.03 + 1e-9  # the one under way, at most one of the flood, its own
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert limiter.stats().inflight == 0


async def test_codel_thins_the_queue_of_the_tenant_that_floods_and_no_other(
    manual_clock: ManualClock,
) -> None:
    limiter = fair(1, tenant="who", clock=manual_clock)

    @limiter
    async def call(who: str) -> None:
        await manual_clock.sleep(0.01)

    tasks: dict[str, list[asyncio.Task[None]]] = {"flood": [], "calm": []}
    for step in range(300):
        tasks["flood"] += [asyncio.create_task(call("flood")) for _ in range(2)]
        if step % 5 == 0:
            tasks["calm"].append(asyncio.create_task(call("calm")))
        await manual_clock.advance(0.01)
    dropped = limiter.stats().rejected["dropped"]
    assert dropped > 20
    refused: dict[str, list[BaseException]] = {}
    for who, each in tasks.items():
        for task in each:
            task.cancel()
        outcomes = await asyncio.gather(*each, return_exceptions=True)
        refused[who] = [one for one in outcomes if isinstance(one, ConcurrencyLimitError)]
    assert refused["calm"] == []
    reasons = Counter(each.reason for each in refused["flood"])  # type: ignore[attr-defined]
    assert reasons["dropped"] == dropped
    assert limiter._slots._codels == {}


async def test_a_refusal_says_whose_call_and_why(manual_clock: ManualClock) -> None:
    queue = FairQueue[Any](per_tenant=1)
    limiter = FairLimiter("x", 1, tenant="who", queue=queue, max_wait=2, clock=manual_clock)
    async with limiter.slot("a"):
        waiting = asyncio.create_task(limiter.acquire("b"))
        await turns()
        with pytest.raises(
            ConcurrencyLimitError, match="a call of 'b' was refused by 'x'"
        ) as caught:
            await limiter.acquire("b")
        assert isinstance(caught.value, Rejected)
        assert caught.value.fields() == {
            "name": "x", "tenant": "b", "reason": "queue full", "limit": 1, "waiting": 1,
            "retry_after": None,
        }  # fmt: skip
        await manual_clock.advance(2)
        with pytest.raises(ConcurrencyLimitError) as caught:
            await waiting
        assert caught.value.reason == "waited too long"
    stats = limiter.stats()
    assert stats.rejected == {
        "queue full": 1, "waited too long": 1, "dropped": 0, "cancelled": 0,
    }  # fmt: skip
    assert (stats.passed, stats.waited, stats.inflight, stats.waiting) == (1, 0, 0, 0)


async def test_cancelled_waiters_leave_at_once_and_lose_no_slot(manual_clock: ManualClock) -> None:
    limiter = fair(1, tenant="who", clock=manual_clock)
    for granted in (False, True):
        await limiter.acquire("a")
        second = asyncio.create_task(limiter.acquire("a"))
        third = asyncio.create_task(limiter.acquire("b"))
        await turns()
        assert limiter.stats().waiting == 2
        if granted:
            limiter.release()
        second.cancel()
        await turns()
        assert second.cancelled()
        if not granted:
            assert limiter.stats().waiting == 1
            limiter.release()
        await third
        assert limiter.stats().inflight == 1
        limiter.release()
    assert (limiter.stats().inflight, limiter.stats().waiting) == (0, 0)
    assert manual_clock.sleepers == 0


async def test_a_limit_that_rises_lets_in_and_one_that_falls_waits(
    manual_clock: ManualClock,
) -> None:
    limiter = fair(1, tenant="who", clock=manual_clock)
    tasks = [asyncio.create_task(limiter.acquire(f"t{n}")) for n in range(4)]
    await turns()
    limiter.resize(3)
    await turns()
    assert [task.done() for task in tasks] == [True, True, True, False]
    limiter.resize(1)
    limiter.release()
    limiter.release()
    await turns()
    assert not tasks[3].done()
    limiter.release()
    await tasks[3]
    assert limiter.stats().inflight == 1
    with pytest.raises(ConfigurationError, match="limit"):
        limiter.resize(0)


async def test_it_decorates_methods_and_keeps_types(manual_clock: ManualClock) -> None:
    limiter = fair(2, tenant="{user}", name="reports", clock=manual_clock)

    class Service:
        @limiter
        async def report(self, user: int) -> str:
            return f"r{user}"

    assert_type(await Service().report(1), str)
    assert await Service().report(user=2) == "r2"
    assert repr(limiter) == "FairLimiter('reports', 0 of 2, FairQueue(waiting=0, tenants=0))"
    with pytest.raises(ConfigurationError, match="tenant is 'nobody'"):

        @fair(1, tenant="nobody")
        async def call(user: int) -> None: ...


async def test_a_slot_can_not_be_given_back_twice(manual_clock: ManualClock) -> None:
    limiter = fair(1, tenant="who", clock=manual_clock)
    await limiter.acquire("a")
    limiter.release()
    with pytest.raises(RuntimeError, match="nobody had taken"):
        limiter.release()
    assert limiter.stats().inflight == 0


async def test_an_error_gives_the_slot_back(manual_clock: ManualClock) -> None:
    limiter = fair(1, tenant="who", clock=manual_clock)

    @limiter
    async def fail(who: str) -> None:
        raise OSError(who)

    for _ in range(3):
        with pytest.raises(OSError, match="a"):
            await fail("a")
    assert limiter.stats().inflight == 0


def test_it_is_built_from_settings() -> None:
    config = FairLimiterConfig.load(
        {"name": "x", "limit": 3, "tenant": "who", "weights": {"a": 2}, "shards": 16}
    )
    limiter = FairLimiter.from_config(config)
    assert repr(limiter) == "FairLimiter('x', 0 of 3, FairQueue(waiting=0, tenants=0))"


NAN = float("nan")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"max_wait": 0}, "max_wait"),
        ({"max_wait": NAN}, "max_wait"),
        ({"target": 0}, "target"),
        ({"target": 0.2}, "interval"),
        ({"interval": inf}, "interval"),
    ],
)
def test_bad_limiters_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FairLimiter(**{"name": "x", "limit": 1, "tenant": "who", **options})
    assert caught.value.field == field
