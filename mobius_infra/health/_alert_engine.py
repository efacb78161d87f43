"""One look at everything, as a step: from the book, the time and the verdicts to the next book."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from mobius_infra.health._alert_book import AlertRecord, Book, Incident
from mobius_infra.health._alert_events import (
    AlertChanged,
    AlertFiring,
    AlertPending,
    AlertResolved,
)
from mobius_infra.health._alert_flush import flush, settle
from mobius_infra.health._alert_routes import Route
from mobius_infra.health._alert_step import AlertState, Phase, Verdict, end, resume, step
from mobius_infra.health._inhibit import Active, Hidden, Inhibition, hide
from mobius_infra.health._outbox import enqueue, trim
from mobius_infra.health._rules import Rule

_PAST: Final = 100  # incidents that are kept after their end
_SILENCES_KEPT: Final = 86400.0  # seconds that a silence is listed after its end
_LISTED: Final = 900.0  # seconds that an alert is listed as resolved

_EVENTS: Final[Mapping[Phase, type[AlertChanged]]] = {
    Phase.PENDING: AlertPending,
    Phase.FIRING: AlertFiring,
    Phase.RESOLVED: AlertResolved,
}


class Seen(NamedTuple):
    """What was seen of one alert.

    Attributes:
        id: of the alert.
        rule: that it is of.
        series: which of the rule's readings it is of.
        labels: of the alert.
        verdict: what its condition says.
    """

    id: str
    rule: Rule
    series: str
    labels: dict[str, str]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Plan:
    """What the application declared.

    Attributes:
        name: of the manager.
        rules: by name.
        routes: in the order in which they are asked.
        inhibitions: between alerts.
        channels: by name.
        most_waiting: notifications for one channel.
    """

    name: str
    rules: Mapping[str, Rule]
    routes: Sequence[Route]
    inhibitions: Sequence[Inhibition]
    channels: Mapping[str, object]
    most_waiting: int


@dataclass(slots=True)
class Look:
    """What came of a look.

    Attributes:
        changes: events, in order.
        dropped: channel and id of notifications for which there was no room.
    """

    changes: list[AlertChanged] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Gap:
    """A time in which nobody looked.

    Attributes:
        since: when it began.
        waiting: ids of alerts of which nothing could be known since; None: before the first look.
    """

    since: float
    waiting: set[str] | None = None

    def covers(self, seen: Seen) -> bool:
        """Say whether nothing was known since, before this look."""
        return self.waiting is None or seen.id in self.waiting

    def after(self, look: Collection[Seen]) -> set[str]:
        """Return the ids of alerts of which nothing is known after this look either."""
        return {each.id for each in look if each.verdict.active is None and self.covers(each)}


def advance(
    book: Book, now: float, seen: Collection[Seen], plan: Plan, gap: Gap | None = None
) -> Look:
    """Take in what was seen, and note what is owed to whom. Changes the book in place.

    Args:
        book: what is remembered.
        now: in seconds since the epoch.
        seen: of each alert.
        plan: what the application declared.
        gap: the last time in which nobody looked; told what is known again.
    """
    look = Look()
    for each in seen:
        _take_in(book, now, each, plan, look, gap)
    if gap is not None:
        gap.waiting = gap.after(seen)
    _forget(book, now)
    _hide(book, now, plan)
    for alert in book.alerts.values():
        firing = alert.state.phase is Phase.FIRING
        if firing and alert.hidden is None and alert.incident is None:
            _assign(book, alert, now, plan)
    routes = {route.name: route for route in plan.routes}
    for incident in list(book.incidents.values()):
        # Where its route is gone any other says how to write what is left to be told.
        route = routes.get(incident.route) or next(iter(plan.routes), None)
        made = [] if route is None else flush(book, incident, route, now, plan.name)
        look.dropped += enqueue(book, made, plan.most_waiting)
        if settle(book, incident, plan.channels):
            _close(book, incident, now)
    trim(book, plan.channels)
    return look


def take_up(book: Book, now: float, plan: Plan) -> Look:
    """Take up a book that was left by another process, or by this one before it was restarted.

    An alert that no rule can give any more is resolved: nothing could ever do it otherwise.
    """
    look = Look()
    for alert in book.alerts.values():
        rule = plan.rules.get(alert.rule)
        if rule is not None and rule.alert_id(rule.series_of(alert.labels)) == alert.id:
            alert.state = resume(alert.state)
        elif alert.state.active:
            was, word = alert.state.phase, "removed" if rule is None else "changed"
            alert.state, alert.note = end(alert.state, now, f"its rule was {word}"), ""
            _tell_change(book, alert, was, now, plan, look)
    # Alerts of a route that is gone go to another; who was told by it hears how they end.
    names = {route.name for route in plan.routes}
    for incident in [each for each in book.incidents.values() if each.route not in names]:
        for id_ in incident.members:
            book.alerts[id_].incident = None
        incident.members = []
    return look


def _take_in(book: Book, now: float, seen: Seen, plan: Plan, look: Look, gap: Gap | None) -> None:
    alert = book.alerts.get(seen.id)
    if alert is None:
        if not seen.verdict.active:
            return  # nothing to remember
        rule = seen.rule
        alert = AlertRecord(seen.id, rule.name, seen.labels, rule.severity, rule.summary)
        book.alerts[seen.id] = alert
    alert.labels, alert.severity = seen.labels, seen.rule.severity
    alert.summary = seen.rule.summary
    before = alert.state
    alert.state = step(before, now, seen.verdict, seen.rule.timing)
    if alert.state.phase is not before.phase:
        if not (before.phase is Phase.PENDING and alert.state.phase is Phase.FIRING):
            alert.note = ""
        _tell_change(book, alert, before.phase, now, plan, look)
    if gap is not None and gap.covers(seen) and seen.verdict.active is not None:
        alert.note = _found(before, alert.state, gap.since)


def _found(before: AlertState, after: AlertState, down_since: float) -> str:
    """Tell what was so before nobody looked from what became so meanwhile."""
    since = datetime.fromtimestamp(down_since, UTC).isoformat(" ", "seconds")
    if before.active:
        return (
            "still so when watching resumed"
            if after.active
            else f"ended while unwatched since {since}"
        )
    return f"began while unwatched since {since}" if after.active else ""


def _tell_change(
    book: Book, alert: AlertRecord, was: Phase, now: float, plan: Plan, look: Look
) -> None:
    phase = alert.state.phase
    if phase is Phase.FIRING and alert.acknowledged is not None:
        alert.acknowledged = None
        incident = book.incidents.get(alert.incident or "")
        if incident is not None:  # told as firing before: the escalation's patience begins anew
            incident.first_told[alert.id] = now
    kind = _EVENTS.get(phase)
    if kind is not None and phase is not was:
        look.changes.append(
            kind(
                source=plan.name,
                at=now,
                alert=alert.id,
                severity=alert.severity,
                reason=alert.state.reason,
            )
        )


def _forget(book: Book, now: float) -> None:
    for id_, silence in list(book.silences.items()):
        if silence.over(now - _SILENCES_KEPT):
            del book.silences[id_]
    for id_, alert in list(book.alerts.items()):
        over = not alert.state.active and now - alert.state.since >= _LISTED
        if alert.incident is None and (over or alert.state.phase is Phase.INACTIVE):
            del book.alerts[id_]


def _hide(book: Book, now: float, plan: Plan) -> None:
    """Work out anew what is not to be told; what is silenced still hides others."""
    active = [each for each in book.alerts.values() if each.state.active]
    hidden = hide(
        [
            Active(
                each.id,
                each.rule,
                plan.rules[each.rule].parents if each.rule in plan.rules else (),
                each.labels,
                each.severity,
                each.state.phase is Phase.FIRING,
                each.state.seen is not None,
                each.state.since,
            )
            for each in active
        ],
        plan.inhibitions,
    )
    silences = [each for each in book.silences.values() if each.lasts(now)]
    for alert in book.alerts.values():
        alert.hidden = None
    for alert in active:
        alert.hidden = hidden.get(alert.id)
        for silence in silences:
            if silence.hides(alert.labels, now):
                alert.hidden = Hidden(silence.kind, silence.id)
                break


def _assign(book: Book, alert: AlertRecord, now: float, plan: Plan) -> None:
    """Put an alert in an incident of its group; a new one, unless too many are open."""
    route = next((each for each in plan.routes if each.takes(alert.labels)), None)
    if route is None:
        return
    group: tuple[str, ...] | None = route.group(alert.labels)
    open_ = [each for each in book.incidents.values() if each.route == route.name]
    incident = next((each for each in open_ if each.group == group), None)
    if incident is None and sum(each.group is not None for each in open_) >= route.most_incidents:
        group = None
        incident = next((each for each in open_ if each.group is None), None)
    if incident is None:
        incident = Incident(book.next_id("i"), route.name, group, now, now + route.wait)
        book.incidents[incident.id] = incident
    incident.members.append(alert.id)
    alert.incident = incident.id


def _close(book: Book, incident: Incident, now: float) -> None:
    del book.incidents[incident.id]
    if incident.severity is not None:  # else nobody heard of it
        incident.closed_at = now
        book.past.append(incident)
        del book.past[:-_PAST]
