"""What depends on what, and what that makes of the states."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from mobius_infra.core import ConfigurationError
from mobius_infra.health._states import SEVERITY, Health

_RANK = {**SEVERITY, Health.UNKNOWN: 1.5}
"""Not to be known is worse than degraded, and better than down."""


@dataclass(frozen=True, slots=True)
class Edges:
    """What one node depends on.

    Attributes:
        depends_on: nodes without which it is down.
        uses: nodes without which it is degraded.
    """

    depends_on: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Both."""
        return self.depends_on + self.uses


@dataclass(frozen=True, slots=True)
class Own:
    """What a node says of itself.

    Attributes:
        state: what is believed.
        said: what its last run said, believed or not.
    """

    state: Health
    said: Health


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node is, all considered.

    Attributes:
        state: how it is.
        suspect: how it is if its last run is to be believed already.
        roots: what explains its state, if it is not its own.
        blame: what those that depend on it blame for as much as it is suspect of.
    """

    state: Health
    suspect: Health
    roots: tuple[str, ...]
    blame: tuple[str, ...]


class Graph:
    """Nodes and their edges; has no cycles at any time."""

    __slots__ = ("_dependants", "_edges", "_order")

    def __init__(self) -> None:
        self._edges: dict[str, Edges] = {}
        self._order: dict[str, int] = {}
        self._dependants: dict[str, list[str]] = {}

    def add(self, name: str, edges: Edges) -> None:
        """Add a node; what it depends on may be added later.

        Raises:
            ConfigurationError: if that closes a cycle, or an edge is there twice.
        """
        for field in ("depends_on", "uses"):
            given = getattr(edges, field)
            rest = [*given, *(edges.depends_on if field == "uses" else ())]
            if len(set(rest)) < len(rest):
                raise ConfigurationError(field, given, "names that are given once")
        self._edges[name] = edges
        if not edges.all:  # closes no cycle, whoever depends on it
            return
        try:
            self._order = {each: place for place, each in enumerate(self._sorted())}
        except CycleError as error:
            del self._edges[name]
            circle = " -> ".join(reversed(error.args[1]))
            allowed = f"free of cycles; this one is there: {circle}"
            raise ConfigurationError("depends_on", edges.all, allowed) from None
        for each in edges.all:
            self._dependants.setdefault(each, []).append(name)

    def _sorted(self) -> Iterable[str]:
        return TopologicalSorter({each: of.all for each, of in self._edges.items()}).static_order()

    def __getitem__(self, name: str) -> Edges:
        return self._edges[name]

    def unknown(self) -> list[tuple[str, str]]:
        """Return pairs of a node and what it depends on that nobody has added."""
        return [
            (name, each)
            for name, edges in self._edges.items()
            for each in edges.all
            if each not in self._edges
        ]

    def affected(self, name: str) -> list[str]:
        """Return a node and all that depend on it, directly or not; none before its parents."""
        if name not in self._dependants:
            return [name]
        found, waiting = {name}, [name]
        while waiting:
            for each in self._dependants.get(waiting.pop(), ()):
                if each not in found:
                    found.add(each)
                    waiting.append(each)
        return sorted(found, key=self._order.__getitem__)


def stand(name: str, own: Own | None, edges: Edges, parents: Mapping[str, Standing]) -> Standing:
    """Return how a node is, by what it says of itself and by what it depends on.

    An edge passes a parent's state on: `depends_on` as it is, `uses` as degraded at most. If what
    the edges pass is as bad as the node, its trouble is explained by the roots of theirs. A parent
    that has failed but is not yet believed to be down explains trouble, but makes none.

    Args:
        name: of the node.
        own: what it says of itself; None for one that says nothing.
        edges: what it depends on.
        parents: how those are; missing ones are left out.
    """
    passed = [
        (each, parents[each], each in edges.depends_on) for each in edges.all if each in parents
    ]
    states = [_passed(parent.state, critical) for _, parent, critical in passed]
    if own is None:
        state = _worst(Health.UP, *states)
        suspect = _worst(
            state, *(_passed(parent.suspect, critical) for _, parent, critical in passed)
        )
    else:
        # Its own word is worth more than not knowing how its parents are.
        state = _worst(own.state, *(each for each in states if each is not Health.UNKNOWN))
        suspect = _worst(state, own.said if own.said in SEVERITY else state)
    return Standing(state, suspect, _explain(state, passed), _explain(suspect, passed) or (name,))


def _passed(state: Health, critical: bool) -> Health:
    """Return what an edge makes of a parent's state."""
    if critical or state is Health.UP:
        return state
    return Health.UP if state is Health.UNKNOWN else Health.DEGRADED


def _worst(*states: Health) -> Health:
    return max(states, key=_RANK.__getitem__)


def _explain(level: Health, passed: Iterable[tuple[str, Standing, bool]]) -> tuple[str, ...]:
    """Return the roots of what the edges pass that is as bad as `level`."""
    if level not in (Health.DEGRADED, Health.DOWN):
        return ()
    found = dict.fromkeys(
        root
        for _, parent, critical in passed
        if _RANK[_passed(parent.suspect, critical)] >= _RANK[level]
        and parent.suspect is not Health.UNKNOWN
        for root in parent.blame
    )
    return tuple(found)
