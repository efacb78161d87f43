"""A fleet without its backend: each node for itself, and together again."""

import asyncio

import pytest

from mobius_infra.breaker import (
    CircuitBreaker,
    Fleet,
    FleetDegraded,
    FleetRestored,
)
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.testing import ManualClock
from tests.breaker.fleets import Dependency, DependencyError, Nodes, fail


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
        await other.call(fail)  # its vote finds the backend away
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


async def test_of_two_probes_whose_grants_were_not_heard_each_ends(nodes: Nodes) -> None:
    await nodes.start(2, permits=2)
    await nodes.open()
    await nodes.clock.advance(10)
    nodes[0].line.loses_answers = True
    nodes[0].line.late = late = asyncio.Event()
    nodes.dependency.gate = asyncio.Event()
    calls = [asyncio.create_task(nodes[0].call()) for _ in range(2)]
    await nodes.clock.advance(0)
    late.set()
    await nodes.clock.advance(0)
    nodes.dependency.gate.set()
    assert [await call for call in calls] == ["answer"] * 2
    nodes[0].line.mend()
    await nodes.clock.advance(5)
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


async def test_what_could_not_be_said_is_said_after_the_outage(nodes: Nodes) -> None:
    await nodes.start(3)
    nodes[1].line.mute = True
    for node in nodes[:2]:
        await node.trip()
    await nodes.clock.advance(0)
    assert nodes.states == ["open", "open", "closed"]
    nodes[1].line.mute = False
    await nodes.clock.advance(2)
    assert nodes.states == ["open"] * 3


async def test_what_was_under_way_when_it_left_is_told_all_the_same(nodes: Nodes) -> None:
    await nodes.start(2)
    await nodes.open()
    await nodes.clock.advance(10)
    assert await nodes[0].call() == "answer"
    nodes[0].line.hangs = True
    await nodes.clock.advance(0)
    assert nodes[0].line.asked["succeed"] == 1
    nodes[0].line.hangs = False
    await nodes[0].fleet.__aexit__(None, None, None)
    await nodes.clock.advance(0)
    assert nodes.states == ["closed"] * 2


def test_a_fleet_whose_event_loop_ended_works_in_the_next(manual_clock: ManualClock) -> None:
    fleet = Fleet(MemoryBackend(clock=manual_clock), clock=manual_clock)

    async def not_left() -> None:
        await fleet.__aenter__()

    async def next_one() -> None:
        async with fleet:
            await manual_clock.advance(0)
            await fleet.isolate("upstream")
            await manual_clock.advance(0)
            assert fleet.stats().heard > 1  # by hand, and by its own message

    asyncio.run(not_left())
    asyncio.run(next_one())
