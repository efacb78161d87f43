"""Circuits shared by nodes: opened by a quorum, probed by one, closed for all; alone if need be."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mobius_infra.breaker import (
    CircuitBreaker,
    CircuitOpenError,
    Fleet,
    FleetDegraded,
    FleetRestored,
    KeyedBreaker,
    RampUp,
)
from mobius_infra.core import ConfigurationError, open_backend
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.testing import ManualClock
from tests.breaker.fleets import Dependency, DependencyError, Nodes
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually


@pytest.fixture
async def nodes(manual_clock: ManualClock) -> AsyncIterator[Nodes]:
    async with Nodes(manual_clock) as made:
        yield made


async def test_a_healthy_circuit_writes_nothing_and_asks_once_when_it_is_made(
    nodes: Nodes, manual_clock: ManualClock
) -> None:
    await nodes.start(2)
    for _ in range(50):
        assert await nodes.call() == ["answer"] * 2
        nodes.dependency.down = True
        assert await nodes[0].call() == "failed"
        nodes.dependency.down = False
        await manual_clock.advance(100)
    assert [node.line.asked for node in nodes] == [{"look": 1, "subscribe": 1}] * 2
    assert len(nodes.shared._entries) == 0


async def test_a_quorum_opens_the_circuit_of_all_until_the_same_moment(nodes: Nodes) -> None:
    await nodes.start(4)
    await nodes[0].trip()
    await nodes.clock.advance(3)
    assert nodes.states == ["open", "closed", "closed", "closed"]
    await nodes[1].trip()
    await nodes.clock.advance(1)
    assert nodes.states == ["open"] * 4
    told = [node.breaker.explain() for node in nodes]
    assert [each.probe_in for each in told] == [9.0] * 4
    assert told[3].opening is not None
    assert told[3].opening.reason == (
        f"opened by the fleet: 2 failures in a row at {nodes[1].fleet.node}"
    )


async def test_one_bad_node_opens_only_its_own_and_recovers_by_its_own_probes(
    nodes: Nodes,
) -> None:
    await nodes.start(3)
    await nodes[0].trip()
    nodes.dependency.down = True
    for pause in (10, 20, 40):
        await nodes.clock.advance(pause)
        assert await nodes[0].call() == "failed"
        await nodes.clock.advance(0)
        assert nodes.states == ["open", "closed", "closed"]
    nodes.dependency.down = False
    await nodes.clock.advance(80)
    assert await nodes[0].call() == "answer"
    await nodes.clock.advance(0)
    assert nodes.states == ["closed"] * 3
    # Its vote was taken back: another's is the first again.
    await nodes[1].trip()
    await nodes.clock.advance(0)
    assert nodes.states == ["closed", "open", "closed"]
    assert (await nodes[2].fleet.look("upstream")).votes == 1


async def test_a_vote_stands_as_long_as_its_circuit_is_open(nodes: Nodes) -> None:
    await nodes.start(3, fleet={"vote_ttl": 1.0})
    await nodes[0].trip()
    await nodes.clock.advance(9)
    await nodes[1].trip()
    await nodes.clock.advance(0)
    assert nodes[2].state == "open"


async def test_processes_of_one_node_are_no_quorum(nodes: Nodes) -> None:
    await nodes.start(2, fleet={"node": "machine"})
    await nodes.start(1)
    for node in nodes[:2]:
        await node.trip()
    await nodes.clock.advance(0)
    assert nodes.states == ["open", "open", "closed"]


async def test_one_call_of_the_whole_fleet_is_the_probe_and_its_success_closes_all(
    nodes: Nodes,
) -> None:
    await nodes.start(4)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes.dependency.gate = asyncio.Event()
    before = nodes.dependency.calls
    calls = [asyncio.create_task(node.call()) for node in nodes for _ in range(25)]
    await nodes.clock.advance(0)
    assert nodes.dependency.calls == before + 1
    nodes.dependency.gate.set()
    results = await asyncio.gather(*calls)
    assert (results.count("answer"), results.count("rejected")) == (1, 99)
    await nodes.clock.advance(0)
    assert nodes.states == ["closed"] * 4
    # Those who were refused did not ask again and again.
    assert sum(node.line.asked["claim"] for node in nodes) == 4
    assert await nodes.call(5) == ["answer"] * 20


async def test_while_another_probes_nobody_asks_more_than_once_in_a_poll(nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes.dependency.gate = asyncio.Event()
    probe = asyncio.create_task(nodes[0].call())
    await nodes.clock.advance(0)
    for _ in range(100):
        assert await nodes[1].call() == "rejected"
        await nodes.clock.advance(0.1)
    assert 10 <= nodes[1].line.asked["claim"] <= 11
    nodes.dependency.gate.set()
    assert await probe == "answer"


async def test_who_is_early_by_its_own_clock_waits_for_the_backends(nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes.open()
    nodes[0].breaker.force_open(4.0, reason="a clock that is fast", number=1)
    await nodes.clock.advance(4)
    assert await nodes[0].call() == "rejected"
    assert nodes[0].breaker.explain().probe_in == 6.0


async def test_successes_are_counted_for_the_fleet_whoever_had_them(nodes: Nodes) -> None:
    await nodes.start(3, successes=3)
    await nodes.open()
    await nodes.clock.advance(10)
    for node in nodes:
        assert "closed" not in nodes.states
        assert await node.call() == "answer"
        await nodes.clock.advance(0)  # no time passes: the next one need not wait
    assert nodes.states == ["closed"] * 3


async def test_the_next_probe_need_not_wait_for_longer_than_the_last_one(nodes: Nodes) -> None:
    await nodes.start(2, successes=2)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes.dependency.gate = asyncio.Event()
    probe = asyncio.create_task(nodes[0].call())
    await nodes.clock.advance(0)
    assert await nodes[1].call() == "rejected"
    nodes.dependency.gate.set()
    assert await probe == "answer"
    await nodes.clock.advance(0)
    assert await nodes[1].call() == "answer"


async def test_all_ramp_up_when_the_fleet_closes_and_a_quorum_must_stop_it(nodes: Nodes) -> None:
    await nodes.start(3, ramp_up=RampUp(over=100.0))
    await nodes.open()
    await nodes.clock.advance(10)
    assert await nodes[2].call() == "answer"
    await nodes.clock.advance(1)
    assert nodes.states == ["recovering"] * 3
    await nodes[0].trip()
    await nodes.clock.advance(1)
    assert nodes.states == ["open", "recovering", "recovering"]
    await nodes[2].trip()
    await nodes.clock.advance(1)
    assert nodes.states == ["open"] * 3
    # It had not been closed: it opens for longer than the first time.
    assert (await nodes[0].fleet.look("upstream")).openings == 2
    assert nodes[1].breaker.explain().probe_in == 19.0


async def test_a_failed_probe_opens_it_again_for_all_and_for_longer(nodes: Nodes) -> None:
    await nodes.start(3)
    await nodes.open()
    nodes.dependency.down = True
    for pause, following in ((10, 20.0), (20, 40.0), (40, 80.0), (80, 80.0)):
        await nodes.clock.advance(pause)
        assert sorted(await nodes.call()) == ["failed", "rejected", "rejected"]
        await nodes.clock.advance(0)
        assert nodes.states == ["open"] * 3
        assert [node.breaker.explain().probe_in for node in nodes] == [following] * 3
    assert sum(node.line.asked["vote"] for node in nodes) == 2  # those that opened it


async def test_a_slow_probe_is_a_failed_one_for_the_fleet_too(nodes: Nodes) -> None:
    await nodes.start(2, slow_rate=1.0, slow_after=5.0)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes.dependency.gate = asyncio.Event()
    probe = asyncio.create_task(nodes[0].call())
    await nodes.clock.advance(6)
    nodes.dependency.gate.set()
    assert await probe == "answer"
    await nodes.clock.advance(0)
    assert nodes.states == ["open"] * 2
    assert (await nodes[0].fleet.look("upstream")).openings == 2


async def test_what_the_dependency_asks_for_holds_for_the_fleet(nodes: Nodes) -> None:
    await nodes.start(3, retry_after=lambda _: 33.0)
    await nodes.open()
    assert [node.breaker.explain().probe_in for node in nodes] == [33.0] * 3
    nodes.dependency.down = True
    await nodes.clock.advance(33)
    await nodes.call()
    await nodes.clock.advance(0)
    assert [node.breaker.explain().probe_in for node in nodes] == [33.0] * 3


@pytest.mark.parametrize("dies", ["with its process", "hanging"])
async def test_a_probe_that_never_ends_is_lost_with_its_lease(dies: str, nodes: Nodes) -> None:
    await nodes.start(3)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes.dependency.gate = asyncio.Event()
    probe = asyncio.create_task(nodes[0].call())
    await nodes.clock.advance(0)
    if dies == "with its process":
        nodes[0].line.cut = True
    nodes.dependency.gate = None
    others = nodes[1:]
    await nodes.clock.advance(29.9)
    assert [await node.call() for node in others] == ["rejected"] * 2
    await nodes.clock.advance(1.2)
    assert [await node.call() for node in others] == ["rejected"] * 2
    assert (await nodes[1].fleet.look("upstream")).wait == pytest.approx(18.9)  # the second pause
    await nodes.clock.advance(20)
    results = [await node.call() for node in others]
    await nodes.clock.advance(0)
    assert "answer" in results
    assert [node.state for node in others] == ["closed"] * 2
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)


@pytest.mark.parametrize("when", ["while it asks", "while it probes"])
async def test_a_cancelled_probe_is_given_back_at_once(when: str, nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes.dependency.gate = asyncio.Event()
    if when == "while it asks":
        nodes[0].line.late = asyncio.Event()  # the backend has granted it, and nobody knows
    probe = asyncio.create_task(nodes[0].call())
    await nodes.clock.advance(0)
    assert (await nodes[1].fleet.look("upstream")).probing == 30.0
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    nodes[0].line.mend()
    nodes.dependency.gate = None
    await nodes.clock.advance(0)
    assert await nodes[1].call() == "answer"
    await nodes.clock.advance(0)
    assert nodes.states == ["closed"] * 2
    assert (await nodes[0].fleet.look("upstream")).openings == 0


async def test_a_success_that_comes_after_the_lease_does_not_close_it(nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes.dependency.gate = asyncio.Event()
    nodes[0].line.cut = False
    probe = asyncio.create_task(nodes[0].call())
    await nodes.clock.advance(31)
    nodes.dependency.gate.set()
    assert await probe == "answer"
    await nodes.clock.advance(0)
    assert nodes.states == ["open"] * 2
    assert (await nodes[0].fleet.look("upstream")).openings == 2


async def test_an_answer_from_before_a_probe_succeeded_does_not_open_it_again(
    nodes: Nodes,
) -> None:
    await nodes.start(2)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes.dependency.gate = asyncio.Event()
    probe = asyncio.create_task(nodes[0].call())
    await nodes.clock.advance(0)
    nodes[0].line.late = asyncio.Event()
    nodes[0].member.doubt()
    await nodes.clock.advance(0)
    nodes.dependency.gate.set()
    assert await probe == "answer"
    nodes[0].line.late.set()
    await nodes.clock.advance(0)
    assert nodes.states == ["closed"] * 2
    assert nodes[0].breaker.stats().opened == 1


# Without the backend.


async def test_before_it_is_entered_a_fleet_is_every_process_for_itself(
    manual_clock: ManualClock,
) -> None:
    nodes = Nodes(manual_clock)
    await nodes.start(1)
    alone = nodes[0]
    await alone.fleet.__aexit__(None, None, None)
    assert alone.fleet.stats().state == "idle"
    asked = sum(alone.line.asked.values())
    await alone.trip()
    await manual_clock.advance(10)
    assert await alone.call() == "answer"
    assert alone.state == "closed"
    assert sum(alone.line.asked.values()) == asked


async def test_what_was_decided_before_it_is_entered_is_told_then(
    manual_clock: ManualClock,
) -> None:
    shared, dependency = MemoryBackend(clock=manual_clock), Dependency()
    fleets = [Fleet(shared, clock=manual_clock) for _ in range(2)]
    breakers = [
        CircuitBreaker("upstream", consecutive_failures=1, clock=manual_clock, fleet=fleet)
        for fleet in fleets
    ]
    dependency.down = True
    for breaker in breakers:
        with pytest.raises(DependencyError):
            await breaker.call(dependency)
    async with fleets[0], fleets[1]:
        await manual_clock.advance(0)
        assert (await fleets[0].look("upstream")).phase == "open"


@pytest.mark.parametrize("fault", ["cut", "hangs", "loses_answers"])
async def test_without_a_backend_every_node_goes_on_by_itself(fault: str, nodes: Nodes) -> None:
    await nodes.start(3)
    await nodes.open()
    for node in nodes:
        setattr(node.line, fault, True)
    await nodes.clock.advance(10)
    nodes.dependency.down = True
    probes = [asyncio.create_task(node.call()) for node in nodes]
    await nodes.clock.advance(0.5)  # no call waits for longer than the time-out
    assert [probe.result() for probe in probes] == ["failed"] * 3
    assert [node.fleet.stats().state for node in nodes] == ["degraded"] * 3
    assert [type(node.heard[0]) for node in nodes] == [FleetDegraded] * 3
    nodes.dependency.down = False
    await nodes.clock.advance(20)
    assert await nodes.call() == ["answer"] * 3  # at once: who is without a backend does not ask
    assert nodes.states == ["closed"] * 3


async def test_a_call_waits_for_a_backend_that_hangs_only_as_a_probe_and_not_for_long(
    nodes: Nodes,
) -> None:
    await nodes.start(1, fleet={"timeout": 0.3})
    (node,) = nodes
    node.line.hangs = True
    await node.trip()  # votes, and nobody waits for that
    assert await node.call() == "rejected"
    await nodes.clock.advance(10)
    assert await node.call() == "answer"
    assert node.fleet.stats().state == "degraded"


async def test_votes_that_could_not_be_cast_are_cast_on_return(nodes: Nodes) -> None:
    await nodes.start(3)
    for node in nodes:
        node.line.cut = True
    for node in nodes[:2]:
        await node.trip()
    await nodes.clock.advance(1)
    assert nodes.states == ["open", "open", "closed"]
    for node in nodes:
        node.line.mend()
    await nodes.clock.advance(5)
    assert nodes.states == ["open"] * 3
    assert [type(event) for event in nodes[0].heard] == [FleetDegraded, FleetRestored]


async def test_a_vote_taken_back_before_it_could_be_cast_never_is(nodes: Nodes) -> None:
    await nodes.start(2)
    nodes[0].line.cut = True
    await nodes[0].trip()
    await nodes.clock.advance(10)
    assert await nodes[0].call() == "answer"
    nodes[0].line.mend()
    await nodes.clock.advance(5)
    assert nodes[0].fleet.stats().votes == 0
    assert (await nodes[0].fleet.look("upstream")).votes == 0


async def test_votes_that_can_not_be_cast_do_not_pile_up(nodes: Nodes) -> None:
    await nodes.start(1)
    nodes[0].line.cut = True
    await nodes[0].trip()
    nodes.dependency.down = True
    for _ in range(5):
        await nodes.clock.advance(80)
        assert await nodes[0].call() == "failed"
    nodes[0].line.mend()
    await nodes.clock.advance(5)
    assert nodes[0].fleet.stats().votes == 1


async def test_a_vote_taken_back_while_it_is_under_way_does_not_stand(nodes: Nodes) -> None:
    await nodes.start(1)
    nodes[0].line.late = asyncio.Event()
    await nodes[0].trip()
    await nodes.clock.advance(0)
    nodes[0].breaker.reset()
    nodes[0].line.late.set()
    await nodes.clock.advance(0)
    assert (await nodes[0].fleet.look("upstream")).votes == 0


async def test_who_returns_learns_what_the_others_decided(nodes: Nodes) -> None:
    await nodes.start(3)
    nodes[2].line.cut = True
    for node in nodes[:2]:
        await node.trip()
    await nodes.clock.advance(1)
    assert nodes.states == ["open", "open", "closed"]
    nodes[2].line.mend()
    await nodes.clock.advance(1)
    assert nodes.states == ["open"] * 3
    nodes[2].line.cut = True
    await nodes.clock.advance(8)
    assert await nodes[0].call() == "answer"
    await nodes.clock.advance(0)
    assert nodes.states == ["closed", "closed", "open"]
    nodes[2].line.mend()
    await nodes.clock.advance(5)
    assert nodes.states == ["closed"] * 3


async def test_all_circuits_look_again_after_an_outage_that_messages_survived(
    nodes: Nodes,
) -> None:
    await nodes.start(3)
    other = CircuitBreaker("other", consecutive_failures=1, clock=nodes.clock, fleet=nodes[2].fleet)
    nodes[2].line.cut = True
    with pytest.raises(DependencyError):
        await other.call(_fail)  # its vote finds the backend away
    for node in nodes[:2]:
        await node.trip()
    await nodes.clock.advance(0)
    assert nodes.states == ["open", "open", "closed"]
    nodes[2].line.cut = False
    await nodes.clock.advance(5)
    assert nodes.states == ["open"] * 3
    assert (await nodes[0].fleet.look("other")).votes == 1


async def test_who_found_the_dependency_well_while_alone_says_so_on_return(
    nodes: Nodes,
) -> None:
    """Instead of being opened again by a decision that it has seen to be out of date."""
    await nodes.start(3)
    await nodes.open()
    for node in nodes:
        node.line.cut = True
    await nodes.clock.advance(10)
    assert await nodes[0].call() == "answer"
    await nodes.clock.advance(5)
    assert nodes.states == ["closed", "open", "open"]
    for node in nodes:
        node.line.mend()
    opened = [node.breaker.stats().opened for node in nodes]
    await nodes.clock.advance(5)
    assert nodes.states == ["closed"] * 3
    assert [node.breaker.stats().opened for node in nodes] == opened


async def test_a_probe_whose_grant_was_not_heard_ends_all_the_same(nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes[0].line.loses_answers = True
    assert await nodes[0].call() == "answer"
    nodes[0].line.mend()
    await nodes.clock.advance(5)  # and not when the lease ends
    assert nodes.states == ["closed"] * 2


async def test_who_failed_again_after_that_does_not(nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes.open()
    nodes[0].line.cut = True
    await nodes.clock.advance(10)
    assert await nodes[0].call() == "answer"
    await nodes.clock.advance(0)
    await nodes[0].trip()
    nodes[0].line.mend()
    await nodes.clock.advance(5)
    assert nodes.states == ["open"] * 2


async def test_a_backend_that_forgot_leaves_each_to_its_own_probe(nodes: Nodes) -> None:
    await nodes.start(3)
    await nodes.open()
    nodes.shared._entries.clear()
    await nodes.clock.advance(10)
    nodes.dependency.down = True
    assert await nodes.call() == ["failed"] * 3
    # Their failed probes are votes, so the fleet finds together again.
    await nodes.clock.advance(0)
    assert (await nodes[0].fleet.look("upstream")).phase == "open"
    nodes.dependency.down = False
    await nodes.clock.advance(20)
    assert (await nodes.call()).count("answer") == 1
    await nodes.clock.advance(0)
    assert nodes.states == ["closed"] * 3


async def test_lost_messages_are_made_up_for_where_it_matters(nodes: Nodes) -> None:
    """By the next vote, the next probe, or a look at what is isolated."""
    await nodes.start(3)
    for node in nodes:
        node.line.deaf = True
    for node in nodes:
        await node.trip()
    await nodes.clock.advance(0)
    assert nodes.states == ["open"] * 3
    assert [node.fleet.stats().late for node in nodes] == [0, 0, 1]
    await nodes.clock.advance(10)
    assert await nodes[0].call() == "answer"
    await nodes.clock.advance(0)
    assert nodes.states == ["closed", "open", "open"]
    assert [await node.call() for node in nodes] == ["answer"] * 3
    assert nodes.states == ["closed"] * 3


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
                await breaker.breaker("bad.example").call(_fail)
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


# The rest.


async def test_foreign_messages_are_counted_and_harm_nothing(nodes: Nodes) -> None:
    await nodes.start(2)
    for junk in (b"", b"\xff", b"[]", b"[1]", b'{"a":1}', b"null", b'["k",null]', b"[[],1]"):
        await nodes.shared.publish("circuits:fleet", junk)
    await nodes.shared.publish("circuits:fleet", b'["circuits:fleet:upstream", 1e400]')
    await nodes.shared.publish("circuits:fleet", b'["circuits:fleet:upstream", 99999]')
    await nodes.clock.advance(0)
    assert nodes[0].fleet.stats().foreign == 9
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
    url = f"{url}?timeout=20&connect_timeout=20"  # for a machine that is busy with something else
    dependency = Dependency()
    async with (
        open_backend(url) as one,
        open_backend(url) as two,
        Fleet(one, timeout=20.0) as here,
        Fleet(two, timeout=20.0) as there,
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

        await eventually(opened, timeout=10, what="the fleet's opening")
        dependency.down = False

        async def closed() -> bool:
            for breaker in (first, second):
                try:
                    await breaker.call(dependency)
                except CircuitOpenError:
                    return False
            return (await there.look("upstream")).phase == "closed"

        await eventually(closed, timeout=10, what="the fleet's recovery")


async def test_every_key_in_redis_ends_by_itself(redis_server: RedisServer) -> None:
    redis_server.flush()
    async with open_backend(redis_server.url) as redis, Fleet(redis, quorum=1) as fleet:
        await fleet.isolate("isolated", ttl=50.0)
        await fleet.reset("closed")
        breaker = CircuitBreaker("open", consecutive_failures=1, fleet=fleet)
        with pytest.raises(DependencyError):
            await breaker.call(_fail)

        async def all_there() -> bool:
            return redis_server.call("DBSIZE") == 3

        await eventually(all_there, timeout=10, what="three circuits")
        keys = redis_server.call("KEYS", "*")
        assert isinstance(keys, list)
        for key in keys:
            assert isinstance(key, bytes)
            left = redis_server.call("PTTL", key)
            assert isinstance(left, int)
            assert 3_500_000 < left < 3_800_000


async def _fail() -> None:
    raise DependencyError
