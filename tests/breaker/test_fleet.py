"""Circuits shared by nodes: opened by a quorum, probed by one, closed for all."""

import asyncio

import pytest

from mobius_infra.breaker import (
    RampUp,
)
from mobius_infra.testing import ManualClock
from tests.breaker.fleets import Nodes


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


async def test_a_backend_that_is_slow_makes_no_probe_slow(nodes: Nodes) -> None:
    await nodes.start(2, slow_after=0.3, slow_rate=1.0)
    await nodes.open()
    await nodes.clock.advance(10)
    late = nodes[0].line.late = asyncio.Event()
    probe = asyncio.create_task(nodes[0].call())
    await nodes.clock.advance(0.4)
    nodes[0].line.late = None
    late.set()
    assert await probe == "answer"
    await nodes.clock.advance(0)
    assert nodes.states == ["closed"] * 2


async def test_a_probe_is_measured_by_the_clock_of_its_breaker(nodes: Nodes) -> None:
    await nodes.clock.advance(1000)
    own = ManualClock()  # not the fleet's
    await nodes.start(2, clock=own, slow_after=1.0, slow_rate=1.0)
    await nodes.open()
    own.tick(10)
    await nodes.clock.advance(10)
    assert await nodes[0].call() == "answer"
    await nodes.clock.advance(0)
    assert nodes.states == ["closed"] * 2
