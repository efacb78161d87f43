"""A fleet by hand, with many circuits, on every backend, and what it says of itself."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from mobius_infra.breaker import (
    CircuitBreaker,
    CircuitOpenError,
    Fleet,
    KeyedBreaker,
)
from mobius_infra.core import ConfigurationError, open_backend
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.testing import ManualClock
from tests.breaker.fleets import Dependency, DependencyError, Nodes, fail
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually, patient

# By hand.


async def test_isolated_for_all_until_it_is_reset(nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes[0].fleet.isolate("upstream", reason="maintenance")
    await nodes.clock.advance(0)
    assert nodes.states == ["isolated"] * 2
    assert "maintenance" in str(nodes[1].breaker.explain())
    await nodes.start(1)  # who comes later finds it so
    assert await nodes.call() == ["rejected"] * 3
    await nodes[1].fleet.reset("upstream")
    await nodes.clock.advance(0)
    assert nodes.states == ["closed"] * 3
    assert await nodes.call() == ["answer"] * 3


async def test_an_isolation_ends_with_its_ttl_though_nobody_calls(nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes[0].fleet.isolate("upstream", ttl=60.0)
    await nodes.clock.advance(59)
    assert nodes.states == ["isolated"] * 2
    await nodes.clock.advance(2)
    assert nodes.states == ["closed"] * 2
    looks = nodes[0].line.asked["look"]
    await nodes.clock.advance(100)
    assert nodes[0].line.asked["look"] == looks


async def test_a_reset_that_was_not_heard_is_seen_within_the_poll(nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes[0].fleet.isolate("upstream")
    await nodes.clock.advance(0)
    nodes[1].line.deaf = True
    await nodes[0].fleet.reset("upstream")
    await nodes.clock.advance(1)
    assert nodes.states == ["closed"] * 2


async def test_what_was_isolated_here_stays_so_and_what_was_reset_here_too(nodes: Nodes) -> None:
    await nodes.start(2)
    nodes[0].breaker.isolate()
    await nodes[1].fleet.isolate("upstream")
    await nodes.clock.advance(0)
    await nodes[1].fleet.reset("upstream")
    await nodes.clock.advance(0)
    assert nodes.states == ["isolated", "closed"]
    await nodes[1].fleet.isolate("upstream")
    await nodes.clock.advance(0)
    nodes[1].breaker.reset()
    nodes[1].line.mend()  # it looks again
    await nodes.clock.advance(10)
    assert nodes.states == ["isolated", "closed"]
    nodes[1].breaker.isolate()
    await nodes[1].fleet.reset("upstream")
    await nodes.clock.advance(0)
    assert nodes.states == ["isolated", "isolated"]


async def test_a_reset_by_hand_opens_nothing_for_the_others(nodes: Nodes) -> None:
    await nodes.start(3)
    await nodes[0].trip()
    await nodes.clock.advance(0)
    nodes[0].breaker.reset()
    await nodes.clock.advance(0)
    await nodes[1].trip()
    await nodes.clock.advance(0)
    assert nodes.states == ["closed", "open", "closed"]


async def test_a_node_in_shadow_mode_decides_for_nobody_and_rejects_nobody(
    nodes: Nodes,
) -> None:
    await nodes.start(1, mode="shadow")
    await nodes.start(2)
    await nodes[0].trip()
    await nodes[1].trip()
    await nodes.clock.advance(0)
    assert nodes.states == ["closed", "open", "closed"]
    await nodes[2].trip()
    await nodes.clock.advance(10)
    assert await nodes[0].call() == "answer"
    assert "claim" not in nodes[0].line.asked
    assert (await nodes[0].fleet.look("upstream")).phase == "open"


async def test_who_leaves_takes_its_vote_and_its_probe_along(nodes: Nodes) -> None:
    await nodes.start(3)
    await nodes[0].trip()
    await nodes.clock.advance(0)
    await nodes[0].fleet.__aexit__(None, None, None)
    assert (await nodes[1].fleet.look("upstream")).votes == 0
    for node in nodes[1:]:
        await node.trip()
    await nodes.clock.advance(10)
    nodes.dependency.gate = asyncio.Event()
    probe = asyncio.create_task(nodes[1].call())
    await nodes.clock.advance(0)
    assert (await nodes[2].fleet.look("upstream")).probing == 30.0
    await nodes[1].fleet.__aexit__(None, None, None)
    assert (await nodes[2].fleet.look("upstream")).probing == 0.0
    nodes.dependency.gate.set()
    assert await probe == "answer"


# Many circuits.


async def test_each_key_has_a_circuit_in_the_fleet(manual_clock: ManualClock) -> None:
    shared = MemoryBackend(clock=manual_clock)
    async with Fleet(shared, clock=manual_clock) as one, Fleet(shared, clock=manual_clock) as two:
        breakers = [
            KeyedBreaker(
                "fetch", key="host", consecutive_failures=1, clock=manual_clock, fleet=fleet
            )
            for fleet in (one, two)
        ]
        for breaker in breakers:
            with pytest.raises(DependencyError):
                await breaker.breaker("bad.example").call(fail)
            await breaker.breaker("good.example").call(asyncio.sleep, 0)
        await manual_clock.advance(0)
        assert (await one.look("fetch", key="bad.example")).phase == "open"
        assert (await one.look("fetch", key="good.example")).phase == "closed"
        await one.isolate("fetch", key="good.example")
        await manual_clock.advance(0)
        with pytest.raises(CircuitOpenError):
            await breakers[1].breaker("good.example").call(asyncio.sleep, 0)


async def test_a_forgotten_circuit_is_not_kept_by_its_fleet(manual_clock: ManualClock) -> None:
    async with Fleet(MemoryBackend(clock=manual_clock), clock=manual_clock) as fleet:
        keyed = KeyedBreaker("fetch", key="host", most=10, clock=manual_clock, fleet=fleet)
        gone = weakref.ref(keyed.breaker("first"))
        gc.disable()
        try:
            for number in range(100):
                await keyed.breaker(f"host {number}").call(asyncio.sleep, 0)
            assert gone() is None
            await manual_clock.advance(0)
            assert fleet.stats().circuits == 10
            assert len(fleet._members) == 10
        finally:
            gc.enable()


async def test_any_name_and_key_makes_a_key_that_a_backend_takes(
    manual_clock: ManualClock,
) -> None:
    async with Fleet(MemoryBackend(clock=manual_clock), clock=manual_clock) as fleet:
        for key in ("", "a:b", "\ud800", "ключ", "x" * 5000, "y" * 5000):
            await fleet.isolate("fetch", key=key, reason="\ud800")
        await fleet.isolate("fetch:a", key="b")
        assert (await fleet.look("fetch", key="z" * 5000)).phase == "closed"
        assert (await fleet.look("fetch", key="a%3Ab")).phase == "closed"
        assert fleet.stats().state == "connected"


async def test_foreign_messages_are_counted_and_harm_nothing(nodes: Nodes) -> None:
    await nodes.start(2)
    for junk in (b"", b"\xff", b"[]", b"[1]", b'{"a":1}', b"null", b'["k",null]', b"[[],1]"):
        await nodes.shared.publish("circuits:fleet", junk)
    await nodes.shared.publish("circuits:fleet", b'["circuits:fleet:upstream", 1e400]')
    await nodes.shared.publish("circuits:fleet", b'["circuits:fleet:upstream", 99999]')
    await nodes.shared.publish("circuits:fleet", b"[" * 100_000)
    await nodes.clock.advance(0)
    assert nodes[0].fleet.stats().foreign == 10
    await nodes.open()


async def test_a_broken_backend_breaks_no_call(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    await nodes.start(1)

    async def broken(*args: Any) -> None:
        raise ValueError("not of its contract")

    nodes[0].line.run = broken  # type: ignore[method-assign, assignment]
    await nodes[0].trip()
    await nodes.clock.advance(10)
    assert await nodes[0].call() == "answer"
    assert nodes[0].fleet.stats().lost >= 1
    assert "not of its contract" in caplog.text


@pytest.mark.parametrize("what", ["publish", "ping", "subscribe"])
async def test_a_broken_backend_ends_nothing_in_the_background(what: str, nodes: Nodes) -> None:
    await nodes.start(3)
    line = nodes[1].line
    works = getattr(line, what)

    def broken(*args: Any) -> None:
        raise ValueError("not of its contract")

    setattr(line, what, broken)
    line.cut = True  # so that it must ping
    line.mend()
    await nodes[0].trip()
    await nodes[1].trip()
    await nodes.clock.advance(5)
    setattr(line, what, works)
    await nodes.clock.advance(5)
    assert nodes[1].fleet.connected
    await nodes[0].fleet.isolate("upstream")
    await nodes.clock.advance(0)
    assert nodes.states == ["isolated"] * 3


@pytest.mark.parametrize("what", ["run", "publish", "ping"])
async def test_a_backend_that_cancels_its_own_work_cancels_nothing_else(
    what: str, nodes: Nodes
) -> None:
    await nodes.start(2)
    await nodes.open()
    await nodes.clock.advance(10)
    line = nodes[0].line
    works = getattr(line, what)

    async def cancelled(*args: Any) -> None:
        raise asyncio.CancelledError

    setattr(line, what, cancelled)
    line.cut = what == "ping"  # so that it must ping
    line.mute = what == "publish"
    assert await nodes[0].call() == "answer"
    await nodes.clock.advance(5)
    setattr(line, what, works)
    line.mend()
    await nodes.clock.advance(5)
    assert nodes[0].fleet.connected
    await nodes[1].fleet.isolate("upstream")
    await nodes.clock.advance(0)
    assert nodes.states == ["isolated"] * 2


async def test_it_says_what_it_is(nodes: Nodes) -> None:
    await nodes.start(2, fleet={"name": "api"})
    nodes[0].fleet.node = "pod-7"
    assert repr(nodes[0].fleet) == "Fleet('api', node='pod-7', connected)"
    assert repr(nodes[0].member) == "CircuitMember('circuits:api:upstream', generation=0)"
    await nodes.open()
    stats = nodes[0].fleet.stats()
    assert (stats.circuits, stats.votes, stats.heard, stats.state) == (1, 1, 1, "connected")
    assert repr(nodes[0].member).endswith(", open)")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quorum", 0), ("quorum", True), ("quorum", 1.5), ("name", ""), ("name", "x" * 101),
        ("node", "a\n"), ("node", 7), ("vote_ttl", 0), ("vote_ttl", float("nan")),
        ("timeout", float("inf")), ("timeout", -1), ("poll", 0), ("poll", True),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Fleet(MemoryBackend(), **{field: value})  # type: ignore[arg-type]


async def test_an_isolation_needs_an_end(manual_clock: ManualClock) -> None:
    async with Fleet(MemoryBackend(clock=manual_clock), clock=manual_clock) as fleet:
        with pytest.raises(ConfigurationError, match="ttl"):
            await fleet.isolate("upstream", ttl=float("inf"))


@pytest.mark.parametrize("home", ["redis_url", "valkey_url", "sqlite", "postgres_url"])
async def test_on_every_backend_a_quorum_opens_one_probes_and_all_close(
    home: str, request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db" if home == "sqlite" else request.getfixturevalue(home)
    url = patient(url)
    dependency = Dependency()
    async with (
        open_backend(url) as one,
        open_backend(url) as two,
        Fleet(one, timeout=60.0) as here,
        Fleet(two, timeout=60.0) as there,
    ):
        first, second = (
            CircuitBreaker("upstream", consecutive_failures=1, fleet=fleet)
            for fleet in (here, there)
        )
        dependency.down = True
        for breaker in (first, second):
            with pytest.raises(DependencyError):
                await breaker.call(dependency)

        async def opened() -> bool:
            return (await here.look("upstream")).phase == "open"

        await eventually(opened, timeout=60, what="the fleet's opening")
        dependency.down = False

        async def closed() -> bool:
            for breaker in (first, second):
                try:
                    await breaker.call(dependency)
                except CircuitOpenError:
                    return False
            return (await there.look("upstream")).phase == "closed"

        await eventually(closed, timeout=60, what="the fleet's recovery")


async def test_every_key_in_redis_ends_by_itself(redis_server: RedisServer) -> None:
    redis_server.flush()
    async with open_backend(patient(redis_server.url)) as redis, Fleet(redis, quorum=1) as fleet:
        await fleet.isolate("isolated", ttl=50.0)
        await fleet.reset("closed")
        breaker = CircuitBreaker("open", consecutive_failures=1, fleet=fleet)
        with pytest.raises(DependencyError):
            await breaker.call(fail)

        async def all_there() -> bool:
            return redis_server.call("DBSIZE") == 3

        await eventually(all_there, timeout=60, what="three circuits")
        keys = redis_server.call("KEYS", "*")
        assert isinstance(keys, list)
        for key in keys:
            assert isinstance(key, bytes)
            left = redis_server.call("PTTL", key)
            assert isinstance(left, int)
            assert 3_500_000 < left < 3_800_000
