"""All nodes and their states. No time, no tasks: what a run says goes in, events come out."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mobius_infra.core import Event
from mobius_infra.health._check_events import (
    CheckChanged,
    CheckDegraded,
    CheckFailed,
    CheckFlapping,
    CheckRecovered,
    CheckReleased,
    CheckSettled,
    CheckUnknown,
)
from mobius_infra.health._graph import Graph, Standing, stand
from mobius_infra.health._node import Node
from mobius_infra.health._outcome import Outcome
from mobius_infra.health._reports import Report
from mobius_infra.health._states import Health

_KINDS: dict[Health, type[CheckChanged]] = {
    Health.DOWN: CheckFailed,
    Health.DEGRADED: CheckDegraded,
    Health.UNKNOWN: CheckUnknown,
    Health.UP: CheckRecovered,
}


class Board:
    """The nodes by name, their graph, and the newest snapshot of it all.

    Args:
        source: names the monitor in events.
    """

    __slots__ = ("_doubtful", "_draining", "_fresh_until", "_snapshot", "graph", "nodes", "source")

    def __init__(self, source: str) -> None:
        self.nodes: dict[str, Node] = {}
        self.graph = Graph()
        self.source = source
        self._snapshot: Report | None = None
        self._fresh_until = 0.0
        self._draining = False
        self._doubtful: list[Node] = []

    def add(self, node: Node) -> None:
        """Add a node.

        Raises:
            ConfigurationError: if its edges close a cycle.
        """
        self.graph.add(node.name, node.settings.edges)
        self.nodes[node.name] = node
        self._snapshot = None

    def drain(self) -> None:
        """Be ready no more, whatever the checks say."""
        self._draining = True
        self._snapshot = None

    def record(self, node: Node, outcome: Outcome, now: float, at: float) -> list[Event]:
        """Count a run that ended; return what changed."""
        turned = node.record(outcome, now, at)
        events = self._settle(node, now, at)
        if turned and node.flaps is not None:
            kind = CheckFlapping if node.flaps.flapping else CheckSettled
            share = node.flaps.share
            events.append(kind(source=self.source, at=at, check=node.name, share=share))
        return events

    def expire(self, nodes: Iterable[Node], now: float, at: float) -> list[Event]:
        """Forget what is too old of `nodes`; return what changed."""
        events: list[Event] = []
        for node in nodes:
            if node.stale_at <= now:
                node.expire()
                events += self._settle(node, now, at)
        return events

    def stale(self, now: float) -> bool:
        """Say whether the newest snapshot shows something that is too old by now."""
        return self._snapshot is not None and now >= self._fresh_until

    def report(self) -> Report:
        """Return the newest snapshot; made anew only when something has changed."""
        if self._snapshot is None:
            nodes = self.nodes.values()
            self._snapshot = Report.of([node.report() for node in nodes], draining=self._draining)
            self._fresh_until = min((node.stale_at for node in nodes), default=float("inf"))
        return self._snapshot

    def take_doubtful(self) -> list[Node]:
        """Return, once, those to be looked at again before their trouble counts as their own."""
        taken, self._doubtful = self._doubtful, []
        return taken

    def _settle(self, node: Node, now: float, at: float) -> list[Event]:
        """Derive the states of a node and of all that depend on it; return what changed."""
        self._snapshot = None
        events: list[Event] = []
        for name in self.graph.affected(node.name):
            each = self.nodes.get(name)
            if each is not None:
                events.extend(self._derive(each, now, at))
        return events

    def _derive(self, node: Node, now: float, at: float) -> Iterator[Event]:
        edges = node.settings.edges
        parents = {each: self.nodes[each].standing for each in edges.all if each in self.nodes}
        before, changed, first = node.standing, node.changed, node.since is None
        after = stand(node.name, node.own, edges, parents)
        if before.roots and not after.roots and after.state is not Health.UP:
            after = self._hold(node, after)
        if after == before:
            return
        node.stand(after, now, at)
        if after.state is not before.state:
            if after.state is not Health.UP or not first:
                yield self._changed(node, before.state, now - changed, now, at)
        elif before.roots and not after.roots and after.state is not Health.UP:
            yield self._released(node, before, at)

    def _hold(self, node: Node, after: Standing) -> Standing:
        """Keep blaming the roots until a run that began after they recovered has failed too."""
        if node.probe is None:
            return after
        if node.pardoned is None:
            node.pardoned = node.looks
        if node.looks > node.pardoned:
            return after
        self._doubtful.append(node)
        return replace(after, roots=node.standing.roots, blame=node.standing.blame)

    def _changed(
        self, node: Node, before: Health, lasted: float, now: float, at: float
    ) -> CheckChanged:
        report = node.report()
        return _KINDS[report.state](
            source=self.source, at=at, check=node.name, check_kind=report.kind, before=before,
            reason=report.reason, evidence=report.evidence, flapping=report.flapping,
            consequence_of=report.consequence_of, lasted=lasted, down_for=now - node.left_up,
        )  # fmt: skip

    def _released(self, node: Node, before: Standing, at: float) -> CheckReleased:
        return CheckReleased(
            source=self.source, at=at, check=node.name,
            reason=node.report().reason, was_consequence_of=before.roots,
        )  # fmt: skip
