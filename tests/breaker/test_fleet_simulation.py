"""Many nodes, whatever happens to them in whatever order: what must hold of the fleet, holds."""

import asyncio
from typing import Any, ParamSpec, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.breaker._votes import Ask, FleetView
from mobius_infra.core import Scalar, Script
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.testing import ManualClock
from tests.breaker.fleets import DependencyError, Node, Nodes

P = ParamSpec("P")
Result = TypeVar("Result", bound=tuple[Scalar, ...])

SIZE, QUORUM, SUCCESSES = 5, 3, 2
LEASE, LONGEST = 30.0, 80.0  # seconds


class Witness(MemoryBackend):
    """Sees every step, and keeps its own book of votes and probes."""

    __slots__ = ("granted", "openings", "phase", "time", "votes")

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.time = clock
        self.phase = "closed"
        self.votes: dict[str, float] = {}
        self.granted: dict[str, tuple[int, float]] = {}  # token: generation, end of the lease
        self.openings = 0

    async def run(
        self, script: Script[P, Result], key: str, *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        result = await super().run(script, key, *args, **kwargs)
        self.see(Ask(*args), FleetView(*result))  # type: ignore[arg-type]  # the only script here
        return result

    def see(self, ask: Ask, view: FleetView) -> None:
        now = self.time.monotonic()
        if ask.op == "vote" and view.done:
            self.votes[ask.who] = now + ask.seconds
        elif ask.op == "withdraw":
            self.votes.pop(ask.who, None)
        elif ask.op == "claim" and view.done:
            live = [end for generation, end in self.granted.values()
                    if generation == view.generation and end > now]  # fmt: skip
            assert live == []
            self.granted[ask.who] = (view.generation, now + ask.seconds)
        elif ask.op in {"succeed", "fail", "release"} and view.done:
            del self.granted[ask.who]
        if view.phase != self.phase:
            if view.phase == "open":
                self.openings += 1
                assert sum(end > now for end in self.votes.values()) >= QUORUM
            self.phase = view.phase
            self.votes.clear()


class World:
    """The nodes, their calls that are under way, and those that are dead."""

    def __init__(self, nodes: Nodes, witness: Witness) -> None:
        self.nodes = nodes
        self.witness = witness
        self.calls: list[tuple[Node, asyncio.Future[str], asyncio.Task[str]]] = []
        self.dead: list[Node] = []

    async def do(self, what: str, which: int, seconds: float) -> None:
        living = [node for node in self.nodes if node not in self.dead]
        node = living[which % len(living)]
        match what:
            case "call":
                await self.begin(node)
            case "trip":
                await self.trip(node)
            case "storm":
                for each in living:
                    await self.trip(each)
            case "probe":
                await self.nodes.clock.advance(seconds)
                await self.begin(node)
                await self.end(len(self.calls) - 1, "succeed")
            case "succeed" | "fail" | "cancel":
                await self.end(which, what)
            case "cut" | "hangs" | "deaf" | "loses_answers":
                setattr(node.line, what, True)
            case "mend":
                node.line.mend()
            case "die" if len(living) > QUORUM:
                await self.die(node)
            case _:
                await self.nodes.clock.advance(seconds)
        await self.nodes.clock.advance(0)

    async def trip(self, node: Node) -> None:
        for _ in range(2):
            await self.begin(node)
            await self.end(len(self.calls) - 1, "fail")

    async def begin(self, node: Node) -> None:
        ends: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def dependency() -> str:
            self.check(node)
            return await ends

        async def call() -> str:
            node.dependency = dependency  # type: ignore[assignment]  # called as one
            return await node.call()

        self.calls.append((node, ends, asyncio.create_task(call())))
        await self.nodes.clock.advance(0)

    def check(self, node: Node) -> None:
        """Nobody who can ask calls through the fleet's open circuit without its leave."""
        member, now = node.member, self.nodes.clock.monotonic()
        faultless = not (node.line.cut or node.line.hangs or node.line.loses_answers)
        if faultless and node.fleet.connected and member._open and node.state == "half_open":
            granted = self.witness.granted
            leases = [granted[each.who][1] for each in member._claims.values()
                      if each.who in granted]  # fmt: skip
            assert max(leases) > now

    async def end(self, which: int, how: str) -> None:
        if not self.calls:
            return
        _, ends, task = self.calls.pop(which % len(self.calls))
        if how == "cancel":
            task.cancel()
        elif how == "fail":
            ends.set_exception(DependencyError())
        else:
            ends.set_result("answer")
        await self.nodes.clock.advance(0)
        if not task.done():
            task.cancel()  # it had not got so far: it waits for a backend that hangs
        await asyncio.gather(task, return_exceptions=True)
        if ends.done() and not ends.cancelled():
            ends.exception()

    async def die(self, node: Node) -> None:
        self.dead.append(node)
        node.line.cut = True
        for job in node.fleet._tasks:
            job.cancel()
        for called, _, task in self.calls:
            if called is node:
                task.cancel()
        self.calls = [call for call in self.calls if call[0] is not node]

    async def recovers(self) -> None:
        """The dependency is well, and all lines are mended: soon all circuits are closed."""
        for _ in range(len(self.calls)):
            await self.end(0, "succeed")
        for node in self.nodes:
            if node not in self.dead:
                node.line.mend()
        living = [node for node in self.nodes if node not in self.dead]
        for _ in range(SUCCESSES * SIZE + 2):
            await self.nodes.clock.advance(LONGEST + LEASE)
            if self.witness.phase == "closed" and {node.state for node in living} == {"closed"}:
                break
            for node in living:
                await self.begin(node)
                await self.end(len(self.calls) - 1, "succeed")
        assert {node.state for node in living} == {"closed"}
        assert self.witness.phase == "closed"
        assert {node.fleet.stats().state for node in living} == {"connected"}


KINDS = (
    "call", "call", "trip", "storm", "storm", "succeed", "fail", "cancel", "cut", "hangs", "deaf",
    "loses_answers", "mend", "mend", "die", "time", "time", "probe", "probe", "probe",
)  # fmt: skip
SPANS = (0.3, 5.0, 10.0, 20.0, 31.0, 80.0)
HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 20), st.sampled_from(SPANS)),
    min_size=30,
    max_size=60,
)


async def live(happenings: list[tuple[str, int, float]]) -> Witness:
    clock = ManualClock(settle=12)
    witness = Witness(clock)
    async with Nodes(clock) as nodes:
        nodes.shared = witness
        options: dict[str, Any] = {"successes": SUCCESSES, "probe_timeout": LEASE}
        await nodes.start(SIZE, fleet={"quorum": QUORUM}, **options)
        world = World(nodes, witness)
        for happening in happenings:
            await world.do(*happening)
        await world.recovers()
        for node in world.dead:
            node.line.mend()
    return witness


@settings(deadline=None, max_examples=30)
@given(happenings=HAPPENINGS)
def test_one_probe_a_generation_no_opening_without_a_quorum_and_always_a_recovery(
    happenings: list[tuple[str, int, float]],
) -> None:
    asyncio.run(live(happenings))


def test_the_simulation_opens_and_probes() -> None:
    """What it looks for does happen in it."""
    trips: list[tuple[str, int, float]] = [("trip", node, 0.0) for node in range(QUORUM)]
    probes: list[tuple[str, int, float]] = [("time", 0, 10.0), ("call", 0, 0.0), ("fail", 0, 0.0)]
    witness = asyncio.run(live([*trips, *probes, ("time", 0, 20.0), ("call", 1, 0.0)]))
    assert witness.openings == 1
