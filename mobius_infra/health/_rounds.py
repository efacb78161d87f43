"""Who looks when: each node on its own schedule, never twice at once, parents after children."""

import asyncio
from collections.abc import Callable, Iterable

from mobius_infra.core import Clock, Event
from mobius_infra.health._board import Board
from mobius_infra.health._check_events import CheckStuck
from mobius_infra.health._node import Node
from mobius_infra.health._outcome import Outcome
from mobius_infra.health._probe import Probe
from mobius_infra.health._schedule import Schedule
from mobius_infra.health._states import SEVERITY, Health

GRACE = 0.5
"""Seconds that a cancelled check may take to clean up before it is told of as stuck."""


class Rounds:
    """Runs the checks of a board.

    Args:
        board: told what each run said.
        clock: measures the schedules.
        draw: gives random numbers in [0, 1).
        emit: told what changed.
    """

    __slots__ = ("_board", "_clock", "_draw", "_emit", "_flights", "_loops", "_tasks", "running")

    def __init__(
        self,
        board: Board,
        clock: Clock,
        draw: Callable[[], float],
        emit: Callable[[Iterable[Event]], None],
    ) -> None:
        self._board = board
        self._clock = clock
        self._draw = draw
        self._emit = emit
        self._flights: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self.running = False

    def start_all(self) -> None:
        """Begin to look at every node."""
        self.running = True
        for node in self._board.nodes.values():
            self.start(node)

    def start(self, node: Node) -> None:
        """Begin to look at a node; a component is looked at by what it depends on."""
        if node.probe is not None:
            loop = asyncio.create_task(self._keep_looking(node), name=f"health loop {node.name}")
            self._loops.append(loop)

    async def stop(self) -> None:
        """End all, and wait until it has ended."""
        self.running = False
        tasks = [*self._loops, *self._tasks]
        self._loops = []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for flight in self._flights.values():  # of tasks that were cancelled before they began
            flight.set_result(None)
        self._flights.clear()

    async def ask(self, nodes: Iterable[Node], since: float = float("inf")) -> None:
        """Have nodes looked at, unless they were after then; join looks that are under way."""
        flights = [
            self._flight(each)
            for each in nodes
            if not each.retired and (each.began <= since or each.name in self._flights)
        ]
        if flights:  # waited for, not awaited: the end of another's look is not this task's end
            await asyncio.wait(flights)

    def _begin(self, node: Node) -> None:
        """Begin a look in a task of its own, unless one is under way."""
        if node.name not in self._flights:
            flight = self._flights[node.name] = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._fly(node, flight), name=f"health check {node.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _flight(self, node: Node) -> "asyncio.Future[None]":
        self._begin(node)
        return self._flights[node.name]

    async def _fly(self, node: Node, flight: "asyncio.Future[None]") -> None:
        try:
            await self._look(node)
        finally:
            del self._flights[node.name]
            flight.set_result(None)

    async def _look(self, node: Node) -> None:
        if node.probe is None:
            node.began = self._clock.monotonic()
            await self.ask(self._parents(node), node.began)
            return
        again = True
        while again:
            await self._look_once(node, node.probe)
            doubtful = self._board.take_doubtful()
            again = node in doubtful
            for each in doubtful:
                if each is not node:
                    self._begin(each)

    async def _look_once(self, node: Node, probe: Probe) -> None:
        node.began = self._clock.monotonic()
        node.looks += 1
        outcome = node.listener.look() if node.listener is not None else None
        if outcome is None:
            outcome = await probe.ask()
        if _is_worse(outcome, node):
            # A child's failure is its own only if its parents, asked after it, are well.
            await self.ask(self._parents(node), node.began)
        now, at = self._clock.monotonic(), self._clock.time()
        self._emit(self._board.record(node, outcome, now, at))

    def _parents(self, node: Node) -> list[Node]:
        """Return what a node depends on and is not known to be down already."""
        nodes = (self._board.nodes.get(each) for each in node.settings.edges.all)
        return [
            each for each in nodes if each is not None and each.standing.state is not Health.DOWN
        ]

    async def _keep_looking(self, node: Node) -> None:
        clock, settings = self._clock, node.settings
        schedule = Schedule(settings.every, settings.jitter, clock.monotonic())
        while not node.retired:
            wait = schedule.due - clock.monotonic()
            if wait > 0:
                await clock.sleep(wait)
            if not schedule.woke(clock.monotonic(), self._draw()):
                continue
            await self._join(node)
            self._emit(self._board.expire([node], clock.monotonic(), clock.time()))
            await self._tell_if_stuck(node)
            schedule.advance(clock.monotonic(), self._draw())

    async def _join(self, node: Node) -> None:
        """Look in this task, or wait for a look that is under way."""
        under_way = self._flights.get(node.name)
        if under_way is not None:
            await asyncio.wait([under_way])
            return
        flight = self._flights[node.name] = asyncio.get_running_loop().create_future()
        await self._fly(node, flight)

    async def _tell_if_stuck(self, node: Node) -> None:
        probe = node.probe
        if probe is None:
            return
        if probe.stuck and not node.stuck:
            await self._clock.sleep(GRACE)
            if probe.stuck:
                at, took = self._clock.time(), probe.running_for
                source = self._board.source
                self._emit([CheckStuck(source=source, at=at, check=node.name, running_for=took)])
        node.stuck = probe.stuck


def _is_worse(outcome: Outcome, node: Node) -> bool:
    """Say whether a run says worse of a node than is believed."""
    believed = SEVERITY.get(node.hysteresis.state, 0)
    return SEVERITY.get(outcome.said, 0) > believed
