"""What a page shows of alerting: a picture that nothing changes any more."""

from collections import defaultdict
from dataclasses import dataclass

from mobius_infra.health._alert_book import Acknowledgement, AlertRecord, Book, Delivery, Incident
from mobius_infra.health._alert_step import Phase, Severity
from mobius_infra.health._silence import Silence


@dataclass(frozen=True, slots=True)
class AlertView:
    """One alert.

    Attributes:
        id: for `AlertManager.acknowledge`.
        rule: the rule's name.
        phase: pending, firing or resolved.
        severity: how bad it is.
        since: when the phase began, in seconds since the epoch.
        reason: what decided it, in words.
        value: the last reading: the evidence.
        summary: what the rule says that it means.
        labels: of the alert.
        note: what was found after nobody watched; empty otherwise.
        acknowledged: by whom, when and why.
        silenced_by: the silence that keeps it from being told.
        inhibited_by: the alert that does: a parent, or by an inhibition.
        incident: the one that it is told with.
        hides: ids of alerts that are not told because of this one.
    """

    id: str
    rule: str
    phase: Phase
    severity: Severity
    since: float
    reason: str
    value: float | str | None
    summary: str
    labels: dict[str, str]
    note: str
    acknowledged: Acknowledgement | None
    silenced_by: str | None
    inhibited_by: str | None
    incident: str | None
    hides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IncidentView:
    """Alerts that are told together.

    Attributes:
        id: for `AlertManager.acknowledge`.
        route: the route's name.
        title: what its alerts have in common.
        severity: the worst that was told; None: nothing was told yet.
        opened_at: when the first alert came.
        closed_at: when the last was told to be resolved; None: it is open.
        step: of the escalation.
        alerts: ids of its alerts.
        folded: ids of what fires and is not named in notifications, and of what these explain.
        told: channels that know of it.
    """

    id: str
    route: str
    title: str
    severity: Severity | None
    opened_at: float
    closed_at: float | None
    step: int
    alerts: tuple[str, ...]
    folded: tuple[str, ...]
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One notification on its way to one channel.

    Attributes:
        id: of the notification, the idempotency key.
        channel: the channel's name.
        incident: the incident's id.
        title: the notification's.
        kind: firing, repeated or resolved.
        progress: waiting, sent, refused, dropped or withdrawn.
        attempts: how often it was tried.
        made_at: when it was made, in seconds since the epoch.
        ended_at: when it ended; None: it waits.
        reason: what the channel said last.
    """

    id: str
    channel: str
    incident: str
    title: str
    kind: str
    progress: str
    attempts: int
    made_at: float
    ended_at: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class AlertSnapshot:
    """All of it.

    Attributes:
        at: when it was so, in seconds since the epoch.
        notifies: whether this process is the one that notifies.
        alerts: that are pending, firing, or resolved not long ago; worst first.
        incidents: open ones first, then those that ended, latest first.
        silences: and maintenance windows.
        deliveries: latest first.
        failing: rules whose source or condition raises, and the error's type.
    """

    at: float
    notifies: bool
    alerts: tuple[AlertView, ...]
    incidents: tuple[IncidentView, ...]
    silences: tuple[Silence, ...]
    deliveries: tuple[DeliveryView, ...]
    failing: dict[str, str]


def take_picture(
    book: Book, now: float, *, notifies: bool, failing: dict[str, str]
) -> AlertSnapshot:
    """Return what a page shows of a book."""
    hides = defaultdict[str, list[str]](list)
    for each in book.alerts.values():
        if each.hidden is not None:
            hides[each.hidden[1]].append(each.id)
    order = [Phase.FIRING, Phase.PENDING, Phase.RESOLVED, Phase.INACTIVE]
    alerts = sorted(
        book.alerts.values(),
        key=lambda each: (order.index(each.state.phase), -each.severity.rank, each.state.since),
    )
    incidents = [*book.incidents.values(), *reversed(book.past)]
    return AlertSnapshot(
        now,
        notifies,
        tuple(_alert(each, tuple(hides[each.id])) for each in alerts),
        tuple(_incident(each) for each in incidents),
        tuple(book.silences.values()),
        tuple(_delivery(each) for each in reversed(book.deliveries.values())),
        failing,
    )


def _alert(alert: AlertRecord, hides: tuple[str, ...]) -> AlertView:
    kind, by = alert.hidden or ("", None)
    silenced = kind in ("silence", "maintenance")
    return AlertView(
        alert.id,
        alert.rule,
        alert.state.phase,
        alert.severity,
        alert.state.since,
        alert.state.reason,
        alert.state.value,
        alert.summary,
        dict(alert.labels),
        alert.note,
        alert.acknowledged,
        by if silenced else None,
        None if silenced else by,
        alert.incident,
        hides,
    )


def _incident(incident: Incident) -> IncidentView:
    named = ", ".join(each for each in incident.group or () if each)
    return IncidentView(
        incident.id,
        incident.route,
        named or ("everything else" if incident.group is None else "all alerts"),
        incident.severity,
        incident.opened_at,
        incident.closed_at,
        incident.reached,
        tuple(incident.members),
        tuple(incident.folded),
        tuple(incident.told),
    )


def _delivery(delivery: Delivery) -> DeliveryView:
    notification = delivery.notification
    return DeliveryView(
        notification.id,
        delivery.channel,
        notification.incident,
        notification.title,
        notification.kind,
        delivery.progress,
        delivery.attempts,
        notification.at,
        delivery.ended_at,
        delivery.reason,
    )
