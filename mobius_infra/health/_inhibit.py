"""What one alert makes needless to tell of another: inhibition, and parents of alerts."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mobius_infra.core import require
from mobius_infra.health._alert_conditions import require_names
from mobius_infra.health._alert_step import Severity
from mobius_infra.health._rules import require_labels
from mobius_infra.health._silence import matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhibition:
    """While an alert that matches `source` fires, those that match `target` are not told.

    It never hides an alert that is more severe than what hides it, nor the alert itself; of alerts
    that would hide each other in a circle, the most severe and then the oldest is told.

    Attributes:
        source: patterns by label of what hides.
        target: patterns by label of what is hidden.
        equal: labels that both must have with the same value.
    """

    source: Mapping[str, str]
    target: Mapping[str, str]
    equal: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            require_labels(name, getattr(self, name))
            require(bool(getattr(self, name)), name, {}, "at least one label")
        require_names("equal", self.equal)


class Active(NamedTuple):
    """An alert that may hide others, or be hidden.

    Attributes:
        id: of the alert.
        rule: its name.
        parents: names of the rules that explain it.
        labels: of the alert.
        severity: how bad it is.
        firing: whether it fires; else it is pending.
        seen: whether the last look at it had an answer.
        since: when that began.
    """

    id: str
    rule: str
    parents: tuple[str, ...]
    labels: Mapping[str, str]
    severity: Severity
    firing: bool
    seen: bool
    since: float


class Hidden(NamedTuple):
    """Why an alert is not told.

    Attributes:
        kind: `silence`, `maintenance`, `parent` or `inhibition`.
        by: the id of what hides it.
    """

    kind: str
    by: str


def hide(alerts: Iterable[Active], inhibitions: Sequence[Inhibition]) -> dict[str, Hidden]:
    """Return which of the alerts are not to be told, and because of which other.

    What is hidden hides in its turn, so that of a chain of causes only the first is told; but
    something that is told stands behind everything that is hidden.
    """
    order = sorted(alerts, key=lambda each: (-each.severity.rank, each.since, each.id))
    by_rule = _by_rule(order)
    reasons = {each.id: list(_parents(each, by_rule)) for each in order}
    for inhibition in inhibitions:
        _inhibited(inhibition, order, reasons)
    hides = defaultdict[str, list[tuple[str, str]]](list)
    for id_, found in reasons.items():
        for reason in found:
            hides[reason.by].append((id_, reason.kind))
    told: set[str] = set()
    hidden: dict[str, Hidden] = {}
    free = [each.id for each in order if not reasons[each.id]]
    # After the free ones only circles are left: the first of each is told.
    for id_ in [*free, *(each.id for each in order)]:
        if id_ not in hidden:
            told.add(id_)
            _spread(id_, hides, told, hidden)
    return hidden


def _spread(
    id_: str,
    hides: defaultdict[str, list[tuple[str, str]]],
    told: Container[str],
    hidden: dict[str, Hidden],
) -> None:
    """Note everything that an alert hides, and what that hides in its turn."""
    reached = [id_]
    while reached:
        source = reached.pop()
        for target, kind in hides[source]:
            if target not in told and target not in hidden:
                hidden[target] = Hidden(kind, source)
                reached.append(target)


def _by_rule(alerts: Iterable[Active]) -> Mapping[str, list[Active]]:
    found = defaultdict[str, list[Active]](list)
    for each in alerts:
        found[each.rule].append(each)
    return found


def _parents(alert: Active, by_rule: Mapping[str, list[Active]]) -> Iterable[Hidden]:
    for name in alert.parents:
        for parent in by_rule.get(name, ()):
            # One that is pending and can't be looked at may never fire: nobody would be told.
            stands = parent.firing or parent.seen
            if stands and parent.severity.rank >= alert.severity.rank:
                yield Hidden("parent", parent.id)
                break


def _inhibited(
    inhibition: Inhibition, order: Sequence[Active], reasons: Mapping[str, list[Hidden]]
) -> None:
    def key(alert: Active) -> tuple[str, ...]:
        return tuple(alert.labels.get(name, "") for name in inhibition.equal)

    # The most severe two of each key are enough: one may be the target itself.
    sources = defaultdict[tuple[str, ...], list[Active]](list)
    for each in order:
        found = sources[key(each)]
        if each.firing and len(found) < 2 and matches(inhibition.source, each.labels):
            found.append(each)
    for each in order:
        for source in sources[key(each)]:
            if (
                source.id != each.id
                and source.severity.rank >= each.severity.rank
                and matches(inhibition.target, each.labels)
            ):
                reasons[each.id].append(Hidden("inhibition", source.id))
                break
