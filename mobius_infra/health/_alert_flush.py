"""What is told of an incident, to whom, and when: decided from what each channel already knows.

Nothing here reacts to a change. Each time an incident is due, what is so is compared with what a
channel was told: so a silence that ends, a parent that recovers, a restart and a channel that was
added need no case of their own. The order of the questions is Alertmanager's.
"""

from collections.abc import Mapping, Sequence

from mobius_infra.health._alert_book import AlertRecord, Book, Delivery, Incident, Told
from mobius_infra.health._alert_routes import Route, parse_target
from mobius_infra.health._alert_step import Phase, Severity
from mobius_infra.health._notification import Kind, Line, Notification
from mobius_infra.health._outbox import waiting_for

_MOST_FOLDED = 1000  # ids in a notification


def flush(book: Book, incident: Incident, route: Route, now: float, manager: str) -> list[Delivery]:
    """Return what is to be sent of an incident that may be due, and note it as told."""
    _escalate(book, incident, route, now)
    firing = firing_of(book, incident)
    incident.folded = [each.id for each in firing[route.listed :]] + _explained(book, incident)
    worse = _worse(firing, incident)
    due = now >= incident.flush_at
    made: list[Delivery] = []
    targets = route.targets(incident.reached) if route.name == incident.route else []
    for target in targets:
        new_step = target not in incident.told and parse_target(target)[1] > 0
        if due or worse or new_step:
            made += _tell(book, incident, route, target, firing, now, manager)
    for target in [each for each in incident.told if each not in targets]:
        # In no step any more, since a restart: it hears how what it was told ends, and no more.
        made += _tell(book, incident, route, target, [], now, manager)
    if made:
        # Where there was nothing to tell it stays due: what comes next is told at once.
        incident.flush_at = now + route.interval
        worst = firing[0].severity if firing else Severity.INFO
        incident.severity = max(incident.severity or worst, worst, key=lambda each: each.rank)
    return made


def firing_of(book: Book, incident: Incident) -> list[AlertRecord]:
    """Return the alerts of an incident that fire and are not hidden, worst and oldest first."""
    found = [book.alerts[each] for each in incident.members if each in book.alerts]
    told = [each for each in found if each.state.phase is Phase.FIRING and each.hidden is None]
    return sorted(told, key=lambda each: (-each.severity.rank, each.state.since, each.id))


def _escalate(book: Book, incident: Incident, route: Route, now: float) -> None:
    waiting = [
        now - incident.first_told[each.id]
        for each in firing_of(book, incident)
        if each.acknowledged is None and each.id in incident.first_told
    ]
    longest = max(waiting, default=-1.0)
    for number, step in enumerate(route.steps):
        if number > incident.reached and longest >= step.after:
            incident.reached = number


def _worse(firing: Sequence[AlertRecord], incident: Incident) -> bool:
    """Say whether something more severe has come than was ever told: it doesn't wait."""
    if not firing or incident.severity is None or firing[0].acknowledged is not None:
        return False
    return firing[0].severity.rank > incident.severity.rank


def _tell(
    book: Book,
    incident: Incident,
    route: Route,
    target: str,
    firing: Sequence[AlertRecord],
    now: float,
    manager: str,
) -> list[Delivery]:
    """Compare what is so with what one channel knows; return the notification it should get."""
    told = incident.told.get(target) or Told(at=now)
    gone = [
        id_
        for id_ in told.alerts
        if id_ not in book.alerts or book.alerts[id_].state.phase is not Phase.FIRING
    ]
    resolved = [id_ for id_ in gone if told.alerts[id_]]
    open_ = [each for each in firing if each.acknowledged is None]
    if any(each.id not in told.alerts for each in open_):
        kind: Kind = "firing"
    elif resolved:
        kind = "firing" if any(told.alerts.get(each.id) for each in firing) else "resolved"
    elif (
        any(told.alerts.get(each.id) for each in open_)
        and now - told.at >= route.repeat
        and not _waits(book, incident, target)
    ):
        kind = "repeated"
    else:
        for id_ in gone:  # it refused to hear of them, so it need not hear that they ended
            del told.alerts[id_]
        return []
    shown = [] if kind == "resolved" else firing
    made = _compose(book, incident, route, target, kind, shown, resolved, now, manager)
    for id_ in gone:
        del told.alerts[id_]
    for each in shown:
        if each.id not in told.alerts:
            told.alerts[each.id] = True
            made.news.append(each.id)
        incident.first_told.setdefault(each.id, now)
    told.at = now
    incident.told[target] = told
    return [made]


def _waits(book: Book, incident: Incident, target: str) -> bool:
    """Say whether a channel is still owed something of an incident: then nothing is repeated."""
    channel, step = parse_target(target)
    return any(
        each.notification.incident == incident.id and each.notification.step == step
        for each in waiting_for(book, channel)
    )


def _compose(
    book: Book,
    incident: Incident,
    route: Route,
    target: str,
    kind: Kind,
    firing: Sequence[AlertRecord],
    resolved: Sequence[str],
    now: float,
    manager: str,
) -> Delivery:
    channel, step = parse_target(target)
    ended = [_line(book.alerts[each]) for each in resolved if each in book.alerts]
    over = [each.alert for each in ended[route.listed :]]
    folded = (incident.folded if firing else []) + over
    worst = firing[0].severity if firing else incident.severity or Severity.INFO
    notification = Notification(
        id=book.next_id("n"),
        kind=kind,
        at=now,
        manager=manager,
        incident=incident.id,
        title=_title(kind, manager, firing, ended, folded),
        severity=worst,
        firing=tuple(_line(each) for each in firing[: route.listed]),
        resolved=tuple(ended[: route.listed]),
        folded=tuple(folded[:_MOST_FOLDED]),
        folded_count=len(folded),
        step=step,
    )
    return Delivery(channel, notification, next_try=now)


def _explained(book: Book, incident: Incident) -> list[str]:
    """Return the alerts that fire and are not told because of those of an incident."""
    return [
        each.id
        for each in book.alerts.values()
        if each.hidden is not None
        and each.state.phase is Phase.FIRING
        and _root(book, each) in incident.members
    ]


def _root(book: Book, alert: AlertRecord) -> str:
    """Return what stands at the end of the chain of what hides an alert."""
    seen: set[str] = set()
    while alert.hidden is not None and alert.hidden[1] in book.alerts and alert.id not in seen:
        seen.add(alert.id)
        alert = book.alerts[alert.hidden[1]]
    return alert.id


def _title(
    kind: Kind,
    manager: str,
    firing: Sequence[AlertRecord],
    ended: Sequence[Line],
    folded: Sequence[str],
) -> str:
    if firing:
        first, count = firing[0].id, len(firing)
        word = firing[0].severity.value.upper()
    else:
        first, count = ended[0].alert if ended else "an alert", len(ended)
        word = "RESOLVED"
    more = f" and {count - 1} more" if count > 1 else ""
    again = ", still firing" if kind == "repeated" else ""
    return f"[{word}] {manager}: {first}{more}{again}"


def _line(alert: AlertRecord) -> Line:
    state = alert.state
    reason = f"{alert.note}: {state.reason}" if alert.note else state.reason
    return Line(alert.id, alert.severity, reason, state.since, alert.summary, dict(alert.labels))


def settle(book: Book, incident: Incident, targets: Mapping[str, object]) -> bool:
    """Forget alerts that nobody needs to hear of any more; say whether none is left.

    Args:
        book: what is remembered.
        incident: one that is open.
        targets: the channels that there are; what others were told is of no consequence.
    """
    for target in [each for each in incident.told if parse_target(each)[0] not in targets]:
        del incident.told[target]
    owed = {id_ for told in incident.told.values() for id_ in told.alerts}
    for id_ in list(incident.members):
        alert = book.alerts.get(id_)
        if id_ not in owed and (alert is None or alert.state.phase is not Phase.FIRING):
            incident.members.remove(id_)
            incident.first_told.pop(id_, None)
            if alert is not None:
                alert.incident = None
    return not incident.members and not owed
