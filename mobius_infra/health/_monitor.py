"""The monitor: runs checks in the background and remembers what they said."""

import asyncio
import random
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar

from mobius_infra.core import (
    Backend,
    Clock,
    ConfigurationError,
    Event,
    Events,
    SystemClock,
    require,
)
from mobius_infra.health._board import Board
from mobius_infra.health._budget import Budget, Restarts
from mobius_infra.health._flapping import Flapping
from mobius_infra.health._graph import Edges
from mobius_infra.health._hysteresis import Belief
from mobius_infra.health._monitor_stats import MonitorStats, stats_of
from mobius_infra.health._node import Node, Settings
from mobius_infra.health._passive import Listener, Traffic
from mobius_infra.health._pauses import Pauses
from mobius_infra.health._probe import Check, Probe, require_check
from mobius_infra.health._recovery import Action, Recovery
from mobius_infra.health._refuse import require_count, require_seconds
from mobius_infra.health._reports import CheckReport, Report
from mobius_infra.health._rounds import Rounds
from mobius_infra.health._states import Kind
from mobius_infra.health._threads import Threads

C = TypeVar("C", bound=Check)

_FLAPPING = Flapping()
_RESTARTS = Restarts(intensity=3, period=600.0)
_PAUSES = Pauses()


class HealthMonitor:
    """Runs checks at their intervals, each on its own, and answers from what they said last.

    For example::

        monitor = HealthMonitor()

        @monitor.check("database", every=30, timeout=0.5)
        async def database() -> None:
            await pool.execute("select 1")

        async with monitor:
            ...

    A check passes by returning nothing, True or `Health.UP`; is degraded by returning
    `Degraded("why")` or `Health.DEGRADED`; and fails by raising, by returning False or
    `Health.DOWN`, or by taking longer than its time-out: it is then cancelled. Anything else that
    it returns is no answer, and it is unknown. A function that is not async runs in a thread.

    Asking for a report runs nothing.

    Args:
        name: labels its numbers and events.
        clock: measures all of it.
        draw: gives random numbers in [0, 1), so that checks of many processes spread.
        hanging_threads: so many threads of sync checks may hang; then no more are begun, since
            nothing can stop them.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    def __init__(
        self,
        name: str = "health",
        *,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        hanging_threads: int = 8,
    ) -> None:
        require(bool(name), "name", name, "a name for numbers and events")
        require_count("hanging_threads", hanging_threads)
        self.name = name
        self.events = Events()
        self._clock = clock or SystemClock()
        self._draw = draw
        self._threads = Threads(hanging_threads)
        self._board = Board(name)
        self._recoveries: dict[str, Recovery] = {}
        self._rounds = Rounds(self._board, self._clock, draw, self._emit)

    def check(
        self,
        name: str,
        *,
        every: float = 30.0,
        timeout: float = 1.0,
        kind: Kind | str = Kind.READINESS,
        critical: bool = True,
        failures: int = 1,
        successes: int = 1,
        failures_of: tuple[int, int] | None = None,
        slow: float | None = None,
        jitter: float = 0.1,
        flapping: Flapping | None = _FLAPPING,
        depends_on: Iterable[str] = (),
        uses: Iterable[str] = (),
        traffic: Traffic | None = None,
        owned: bool = False,
    ) -> Callable[[C], C]:
        """Register the decorated function as a check; it is returned as it was.

        Args:
            name: of the check, for reports.
            every: seconds from the beginning of one run to that of the next, at most.
            timeout: seconds after which a run is cancelled and has failed.
            kind: what it is for. A liveness check asks nothing outside the process.
            critical: whether the whole is down when this is; else it is degraded.
            failures: runs in a row that say worse, until its state is worse.
            successes: runs in a row that say better, until its state is better.
            failures_of: `(m, n)`: m of the last n runs make it worse too, in a row or not.
            slow: seconds after which a run that passes counts as degraded; None: never.
            jitter: share of `every` that is left out at random, so that checks spread.
            flapping: what counts as flapping; None: nothing does.
            depends_on: checks without which this is down.
            uses: checks without which this is degraded.
            traffic: real calls that spare it the run while there are enough of them.
            owned: whether the process owns what this looks at, and so may mend it: its own pool,
                task or cache. Only such a check can have a recovery.

        Raises:
            ConfigurationError: for a value out of range, a name that is taken, edges that close a
                cycle, or a function that can't be a check.
        """
        settings = Settings(
            name=self._free(name), kind=_kind(kind), critical=critical, every=every,
            timeout=timeout, slow=slow, jitter=jitter, flapping=flapping, owned=owned,
            belief=Belief(failures, successes, failures_of),
            edges=Edges(_names("depends_on", depends_on), _names("uses", uses)),
        )  # fmt: skip

        def register(check: C) -> C:
            require_check(check, name)
            self._free(name)
            self._require_inside(settings, check)
            probe = Probe(
                name, check, timeout=timeout, slow=slow, clock=self._clock, threads=self._threads
            )
            listener = None if traffic is None else Listener(traffic)
            self._add(Node(settings, self._clock.monotonic(), probe, listener))
            return check

        return register

    def component(
        self,
        name: str,
        *,
        depends_on: Iterable[str] = (),
        uses: Iterable[str] = (),
        critical: bool = True,
    ) -> None:
        """Add something that is as well as what it needs: it has no check of its own.

        Many components may need the same check; it runs once for all of them.

        Args:
            name: for reports.
            depends_on: checks and components without which this is down.
            uses: those without which this is degraded.
            critical: whether the whole is down when this is; else it is degraded.

        Raises:
            ConfigurationError: for a name that is taken, no edges, or edges that close a cycle.
        """
        edges = Edges(_names("depends_on", depends_on), _names("uses", uses))
        require(bool(edges.all), "depends_on", edges.all, "at least one name, here or in uses")
        settings = Settings(name=self._free(name), critical=critical, edges=edges)
        self._add(Node(settings, self._clock.monotonic()))

    def recover(
        self,
        check: str,
        *,
        timeout: float = 30.0,
        restarts: Restarts = _RESTARTS,
        pauses: Pauses = _PAUSES,
        backend: Backend | None = None,
        dry_run: bool = False,
    ) -> Callable[[C], C]:
        """Register the decorated function as what is done when a check is down by itself.

        While the monitor runs: pause, ask the check again, run the action, ask the check again; and
        so on until it passes. When an action has used up its restarts, the next one declared for
        the check is tried; after the last it is given up until the check comes up by other means.
        Nothing is done about trouble that is a consequence of another's.

        Args:
            check: name of a check declared with `owned=True`.
            timeout: seconds after which the action is cancelled and has failed.
            restarts: how often the action may be run within a period.
            pauses: before each run.
            backend: where the processes of a fleet agree on who does it, and count together; None:
                each for itself. While it is away nothing is done.
            dry_run: tell each step, but never run the action.

        Raises:
            ConfigurationError: for a value out of range, a check that does not exist or is not the
                process's own, or a function that can't be run.
        """
        require_seconds("timeout", timeout)
        node = self._node("check", check)
        wanted = "of a check declared with owned=True: what is not one's own is not one's to mend"
        require(node.settings.owned and node.probe is not None, "check", check, wanted)

        def register(action: C) -> C:
            name = getattr(action, "__name__", type(action).__name__)
            require_check(action, name)
            probe = Probe(
                name, action, timeout=timeout, slow=None, clock=self._clock, threads=self._threads
            )
            budget = Budget(restarts)
            does = Action(
                name=name, probe=probe, timeout=timeout, budget=budget, pauses=pauses,
                dry_run=dry_run, backend=backend,
            )  # fmt: skip
            self._recovery(node).add(does)
            return action

        return register

    def _recovery(self, node: Node) -> Recovery:
        async def look() -> CheckReport:
            asked_at = self._clock.monotonic()
            await self._rounds.ask([node])
            if node.began < asked_at:  # it was under way: what it saw was before
                await self._rounds.ask([node])
            return node.report()

        if node.name not in self._recoveries:
            self._recoveries[node.name] = Recovery(
                source=self.name, check=node.name, look=look, clock=self._clock,
                draw=self._draw, emit=self._emit,
            )  # fmt: skip
        return self._recoveries[node.name]

    def report(self) -> Report:
        """Return what the checks said when they last ran. Runs nothing, waits for nothing."""
        if self._board.stale(self._clock.monotonic()):
            self._expire(self._board.nodes.values())
        return self._board.report()

    def stats(self) -> MonitorStats:
        """Return the numbers as they are now."""
        return stats_of(self.report(), self._board.nodes.values(), self._threads.hanging)

    def drain(self) -> None:
        """Be ready no more, from now on: call it before connections are closed."""
        self._board.drain()

    async def run(self, name: str) -> CheckReport:
        """Run one check now, and return what is then known of it.

        Whoever asks while it runs waits for that run. A startup check that has passed is not run.

        Raises:
            ConfigurationError: if there is no such check.
        """
        node = self._node("name", name)
        await self._rounds.ask([node])
        self._expire([node])
        return node.report()

    def _expire(self, nodes: Iterable[Node]) -> None:
        now, at = self._clock.monotonic(), self._clock.time()
        self._emit(self._board.expire(nodes, now, at))

    def _emit(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events.emit(event)
            recovery = self._recoveries.get(getattr(event, "check", ""))
            if recovery is not None:
                recovery.hear(event)
                if self._rounds.running:
                    recovery.consider(self._board.nodes[recovery.check].report())

    def _node(self, field: str, name: str) -> Node:
        node = self._board.nodes.get(name)
        if node is None:
            known = ", ".join(sorted(self._board.nodes)) or "declared first"
            raise ConfigurationError(field, name, known)
        return node

    def _free(self, name: str) -> str:
        require(bool(name) and name not in self._board.nodes, "name", name, "a name not yet taken")
        return name

    def _require_inside(self, settings: Settings, check: Check) -> None:
        """Refuse a liveness check that asks outside: a restart of the process mends nothing there.

        It would turn one dead database into a fleet that restarts for ever.
        """
        if settings.kind is not Kind.LIVENESS:
            return
        wanted = "free of what is outside the process; make it a readiness check"
        outside = getattr(check, "asks_outside", False)
        require(not outside, f"liveness check {settings.name!r}", check, wanted)
        others = settings.edges.all
        require(not others, f"liveness check {settings.name!r}", others, wanted)

    def _add(self, node: Node) -> None:
        self._board.add(node)
        if self._rounds.running:
            self._rounds.start(node)

    async def __aenter__(self) -> Self:
        running = self._rounds.running
        require(not running, f"monitor {self.name!r}", "running", "entered once at a time")
        for name, missing in self._board.graph.unknown():
            wanted = "the name of a check or component"
            raise ConfigurationError(f"what {name!r} depends on", missing, wanted)
        self._rounds.start_all()
        for name, recovery in self._recoveries.items():
            recovery.consider(self._board.nodes[name].report())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        mending = [task for each in self._recoveries.values() for task in each.cancel()]
        await self._rounds.stop()
        if mending:
            await asyncio.wait(mending)

    def __repr__(self) -> str:
        return f"HealthMonitor({self.name!r}, {self.report().state.value})"


def _kind(kind: Kind | str) -> Kind:
    known = [each.value for each in Kind]
    require(kind in known, "kind", kind, "one of " + ", ".join(known))
    return Kind(kind)


def _names(field: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):  # else its letters would be the names
        raise ConfigurationError(field, names, "a list of names")
    return tuple(names)
