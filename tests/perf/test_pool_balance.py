"""Load over several servers: how it spreads, which are left out, and when they return."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Event
from mobius_infra.perf import (
    BalancedPool,
    Endpoint,
    EndpointEjected,
    EndpointReturned,
    Outliers,
    PoolConnectError,
    PoolFullError,
)
from mobius_infra.perf._balance import less_loaded, nearby, order_for
from mobius_infra.perf._outlier import Record
from mobius_infra.testing import ManualClock
from tests.perf.support import Line, Server


@dataclass
class Fake:
    name: str
    weight: float = 1.0
    zone: str = ""
    load: int = 0


def simulate(servers: list[Fake], draw: random.Random, *, chosen: str) -> tuple[Counter[str], int]:
    """Send 20,000 calls that last 300 arrivals each; return who got them, and the most at once."""
    got: Counter[str] = Counter()
    under_way: list[Fake] = []
    most = 0
    for _ in range(20_000):
        if len(under_way) == 300:
            under_way.pop(draw.randrange(300)).load -= 1
        server = (
            draw.choice(servers) if chosen == "at random" else less_loaded(servers, draw.random)
        )
        server.load += 1
        under_way.append(server)
        got[server.name] += 1
        most = max(most, *(each.load for each in servers))
    return got, most


def test_two_choices_keep_the_most_loaded_near_the_mean() -> None:
    """30 calls at once for each of 10 servers: chance alone lets one have half as many again."""
    at_random = simulate([Fake(str(n)) for n in range(10)], random.Random(1), chosen="at random")
    by_two = simulate([Fake(str(n)) for n in range(10)], random.Random(1), chosen="by two")
    assert at_random[1] >= 45
    assert by_two[1] <= 36


@pytest.mark.parametrize("busy", [True, False])
def test_load_follows_weight_busy_or_not(busy: bool) -> None:
    servers = [Fake("small", 1.0), Fake("middle", 2.0), Fake("large", 5.0)]
    draw = random.Random(2)
    if busy:
        got, _ = simulate(servers, draw, chosen="by two")
    else:
        got = Counter(less_loaded(servers, draw.random).name for _ in range(20_000))
    shares = [got[server.name] / 20_000 for server in servers]
    assert shares == pytest.approx([0.125, 0.25, 0.625], abs=0.02)


def test_a_slow_server_gets_less() -> None:
    """What it has not finished keeps others from being sent to it."""
    servers, draw = [Fake("slow"), Fake("fast")], random.Random(3)
    got: Counter[str] = Counter()
    ends: list[tuple[int, Fake]] = []
    for now in range(20_000):
        for each in [end for end in ends if end[0] <= now]:
            ends.remove(each)
            each[1].load -= 1
        server = less_loaded(servers, draw.random)
        server.load += 1
        ends.append((now + (40 if server.name == "slow" else 10), server))
        got[server.name] += 1
    assert got["slow"] / got["fast"] == pytest.approx(0.25, abs=0.05)


class TestZone:
    HERE, THERE = "here", "there"

    def share(self, out: int) -> float:
        """Return the share that stays in a zone of four of which so many are out."""
        servers = [Fake(str(n), zone=self.HERE) for n in range(4)]
        servers += [Fake(str(n), zone=self.THERE) for n in range(4, 8)]
        draw = random.Random(4)
        picked = (nearby(servers[out:], servers, self.HERE, draw.random) for _ in range(5_000))
        return sum(each[0].zone == self.HERE for each in picked) / 5_000

    def test_all_stays_while_enough_are_in_use_and_less_the_fewer_they_are(self) -> None:
        assert [self.share(out) for out in (0, 1)] == [1.0, 1.0]
        assert self.share(2) == pytest.approx(0.5 / 0.7, abs=0.03)
        assert self.share(3) == pytest.approx(0.25 / 0.7, abs=0.03)
        assert self.share(4) == 0.0


class TestKeys:
    @given(st.sets(st.text(max_size=8), min_size=5, max_size=20), st.integers(0, 4))
    def test_when_a_server_goes_only_its_keys_move(self, keys: set[str], gone: int) -> None:
        servers = [Fake(f"s{n}") for n in range(5)]
        left = [server for server in servers if server.name != f"s{gone}"]
        for key in keys:
            before = order_for(key, servers)
            after = order_for(key, left)
            assert [each for each in before if each in left] == after

    def test_keys_follow_weight(self) -> None:
        servers = [Fake("a", 1.0), Fake("b", 3.0)]
        got = Counter(order_for(str(n), servers)[0].name for n in range(20_000))
        assert got["b"] / 20_000 == pytest.approx(0.75, abs=0.02)


class TestRecord:
    RULES = Outliers(errors=3, least_calls=10, interval=10.0, first=5.0, most=12.0)

    def test_failures_in_a_row(self) -> None:
        record = Record(self.RULES, 0.0)
        assert [record.failed(0.0) for _ in range(2)] == ["", ""]
        record.succeeded(0.0)
        assert [bool(record.failed(0.0)) for _ in range(3)] == [False, False, True]

    def test_the_rate_of_an_interval(self) -> None:
        record = Record(self.RULES, 0.0)
        reasons = []
        for _ in range(5):
            record.succeeded(1.0)
            reasons.append(record.failed(1.0))
        assert reasons == ["", "", "", "", "5 of 10 calls failed"]
        record = Record(self.RULES, 0.0)
        for at in range(0, 100, 3):  # as bad, but rarely asked
            record.succeeded(float(at))
            assert not record.failed(float(at))

    def test_each_time_it_is_out_for_longer_and_one_failure_is_enough(self) -> None:
        record, now, times = Record(self.RULES, 0.0), 0.0, []
        for _ in range(3):
            while not record.failed(now):
                pass
            times.append(record.eject(now))
            assert not record.returns(now + times[-1] - 0.1)
            now += times[-1]
            assert record.returns(now)
            assert record.failed(now)
        assert times == [5.0, 10.0, 12.0]

    def test_what_went_well_for_an_interval_makes_an_ejection_forgotten(self) -> None:
        record = Record(self.RULES, 0.0)
        record.eject(0.0)
        record.eject(0.0)
        assert record.returns(10.0)
        record.succeeded(15.0)
        assert record.ejections == 2
        record.succeeded(20.0)
        assert record.ejections == 1

    def test_only_a_share_may_be_out(self) -> None:
        rules = Outliers(share=0.5)
        assert [rules.room(out, 5) for out in range(3)] == [True, True, False]
        assert not rules.room(0, 1)


class Fleet:
    """Servers under one pool."""

    def __init__(self, clock: ManualClock, count: int = 3, **settings: Any) -> None:
        self.clock = clock
        self.servers = [Server() for _ in range(count)]
        self.stack = AsyncExitStack()
        self.settings = settings

    async def __aenter__(self) -> Self:
        pools = [
            server.pool(self.clock, name=f"s{number}", max_size=2, queue=0, open_after=1)
            for number, server in enumerate(self.servers)
        ]
        self.pool: BalancedPool[Line] = BalancedPool(
            "fleet", [Endpoint(each) for each in pools], clock=self.clock,
            draw=random.Random(5).random, **self.settings,
        )  # fmt: skip
        self.events: list[Event] = []
        self.pool.events.subscribe(self.events.append)
        await self.stack.enter_async_context(self.pool)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stack.aclose()

    async def ask(self, key: str | None = None) -> None:
        async with self.pool.connection(key=key) as line:
            server = next(each for each in self.servers if line in each.made)
            if server.error is not None:
                raise server.error


async def test_a_server_that_fails_is_left_out_and_returns(manual_clock: ManualClock) -> None:
    async with Fleet(manual_clock, outliers=Outliers(errors=3, first=10.0)) as fleet:
        for _ in range(60):
            await fleet.ask()
        assert set(fleet.pool.stats().lent.values()) != {0}
        fleet.servers[1].error = OSError("wrong")
        failed = 0
        for _ in range(100):
            try:
                await fleet.ask()
            except OSError:
                failed += 1
        assert failed <= 3
        assert isinstance(fleet.events[0], EndpointEjected)
        assert fleet.pool.stats().ejected == {"s0": 0, "s1": 1, "s2": 0}
        assert repr(fleet.pool) == "BalancedPool('fleet', 3 servers, out of use: s1)"
        fleet.servers[1].error = None
        manual_clock.tick(10.0)
        before = fleet.pool.stats().lent["s1"]
        for _ in range(60):
            await fleet.ask()
        assert isinstance(fleet.events[-1], EndpointReturned)
        assert fleet.pool.stats().lent["s1"] - before >= 10


async def test_one_that_cannot_be_reached_costs_nobody_an_error(manual_clock: ManualClock) -> None:
    async with Fleet(manual_clock) as fleet:
        fleet.servers[0].error = ConnectionError("refused")
        for _ in range(50):
            await fleet.ask()
        assert fleet.servers[0].attempts <= 5
        assert fleet.pool.stats().failovers >= 1


async def test_if_none_can_be_reached_the_last_error_is_raised(manual_clock: ManualClock) -> None:
    async with Fleet(manual_clock) as fleet:
        for server in fleet.servers:
            server.error = ConnectionError("refused")
        with pytest.raises(PoolConnectError):
            await fleet.ask()


async def test_a_full_one_is_passed_over(manual_clock: ManualClock) -> None:
    async with Fleet(manual_clock) as fleet, AsyncExitStack() as held:
        for _ in range(6):
            await held.enter_async_context(fleet.pool.connection())
        assert set(fleet.pool.stats().load.values()) == {2}
        with pytest.raises(PoolFullError):
            await fleet.ask()
        assert set(fleet.pool.stats().failures.values()) == {0}


async def test_a_key_stays_with_its_server_until_that_is_out(manual_clock: ManualClock) -> None:
    async with Fleet(manual_clock, outliers=Outliers(errors=1)) as fleet:
        for _ in range(10):
            await fleet.ask("user:7")
        (home,) = (name for name, lent in fleet.pool.stats().lent.items() if lent)
        server = fleet.servers[int(home[1])]
        server.error = OSError("wrong")
        with pytest.raises(OSError, match="wrong"):
            await fleet.ask("user:7")
        await fleet.ask("user:7")
        assert fleet.pool.stats().lent[home] == 11


async def test_cancelled_at_any_step_nothing_stays_lent(manual_clock: ManualClock) -> None:
    for step in range(12):
        async with Fleet(manual_clock) as fleet:
            fleet.servers[0].error = ConnectionError("refused")
            for server in fleet.servers:
                server.turns = 2
            task = asyncio.ensure_future(fleet.ask())
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert set(fleet.pool.stats().load.values()) == {0}
            assert set(fleet.pool.stats().ejected.values()) == {0}


async def test_an_error_that_is_not_the_servers_says_nothing(manual_clock: ManualClock) -> None:
    async with Fleet(manual_clock, outliers=Outliers(errors=1)) as fleet:
        for error in (ValueError(), PoolConnectError("another", "me", 3, 1.0)):
            with pytest.raises(type(error)):
                async with fleet.pool.connection():
                    raise error
        assert set(fleet.pool.stats().failures.values()) == {0}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("errors", 0), ("failure_rate", 0), ("failure_rate", 1.1), ("least_calls", True),
        ("interval", float("inf")), ("first", 0), ("most", 1.0), ("share", float("nan")),
    ],
)  # fmt: skip
def test_rules_that_cannot_work(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Outliers(**{field: value})  # type: ignore[arg-type]


def test_endpoints_that_cannot_work() -> None:
    pool = Server().pool()
    with pytest.raises(ConfigurationError, match="weight"):
        Endpoint(pool, weight=0)
    with pytest.raises(ConfigurationError, match="different names"):
        BalancedPool("b", [Endpoint(pool), Endpoint(pool)])
    with pytest.raises(ConfigurationError, match="at least one"):
        BalancedPool[Line]("b", [])


async def test_when_all_fail_only_a_share_is_left_out(manual_clock: ManualClock) -> None:
    async with Fleet(manual_clock, count=4, outliers=Outliers(errors=1)) as fleet:
        for server in fleet.servers:
            server.error = OSError("wrong")
        for _ in range(40):
            with pytest.raises((OSError, PoolConnectError)):
                await fleet.ask()
        assert sum(fleet.pool.stats().ejected.values()) == 2
