"""All that alerting remembers, in one document that is stored as a whole.

As a whole, because an alert that fires and the notification that is owed for it must survive
together or not at all.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import TypeAdapter

from mobius_infra.health._alert_step import AlertState, Severity
from mobius_infra.health._notification import Notification
from mobius_infra.health._silence import Silence

VERSION: Final = 1

Progress = Literal["waiting", "sent", "refused", "dropped", "withdrawn"]


@dataclass(slots=True)
class Acknowledgement:
    """Somebody has seen an alert and deals with it."""

    by: str
    note: str
    at: float


@dataclass(slots=True)
class AlertRecord:
    """One alert.

    Attributes:
        id: the rule's name, and the reading's where there are several.
        rule: the rule's name.
        labels: to route, group and silence by.
        severity: how bad it is.
        summary: the rule's.
        state: where it is in its life.
        acknowledged: by whom, while it fires.
        hidden: kind and id of what keeps it from being told.
        incident: the one that it is told with.
        note: how it was found after a restart; empty otherwise.
    """

    id: str
    rule: str
    labels: dict[str, str]
    severity: Severity
    summary: str
    state: AlertState = field(default_factory=AlertState)
    acknowledged: Acknowledgement | None = None
    hidden: tuple[str, str] | None = None
    incident: str | None = None
    note: str = ""


@dataclass(slots=True)
class Told:
    """What one channel, in one step, knows of an incident.

    Attributes:
        at: when the last notification was made.
        alerts: what it was told to be firing; False: it refused to be told.
    """

    at: float
    alerts: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class Incident:
    """Alerts that are told together.

    Attributes:
        id: unique.
        route: the route's name.
        group: what its alerts share; None for the one that takes what is beyond the bound.
        opened_at: when the first alert came.
        flush_at: when it is next looked at whether there is something to tell.
        severity: the worst that was told.
        members: ids of its alerts.
        first_told: when each was first told, for the escalation.
        reached: the step of the escalation.
        told: by target.
        folded: ids of what fires and is not named in notifications, and of what these explain.
        closed_at: when its last alert was told to be resolved.
    """

    id: str
    route: str
    group: tuple[str, ...] | None
    opened_at: float
    flush_at: float
    severity: Severity | None = None
    members: list[str] = field(default_factory=list)
    first_told: dict[str, float] = field(default_factory=dict)
    reached: int = 0
    told: dict[str, Told] = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)
    closed_at: float | None = None


@dataclass(slots=True)
class Delivery:
    """One notification on its way to one channel.

    Attributes:
        channel: the channel's name.
        notification: what is to be sent; its id is the idempotency key.
        progress: waiting, or how it ended.
        attempts: how often it was tried.
        next_try: when it is tried next.
        reason: what the channel said last.
        ended_at: when it ended.
        news: ids of alerts that the channel hears of by this one for the first time.
    """

    channel: str
    notification: Notification
    progress: Progress = "waiting"
    attempts: int = 0
    next_try: float = 0.0
    reason: str = ""
    ended_at: float | None = None
    news: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Book:
    """The document.

    Attributes:
        version: of its shape.
        epoch: when it was begun; makes its ids different from those of one that was lost.
        serial: grows with each incident and delivery.
        alerts, incidents, silences, deliveries: by id.
        past: incidents that ended, oldest first.
    """

    version: int = VERSION
    epoch: float = 0.0
    serial: int = 0
    alerts: dict[str, AlertRecord] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    past: list[Incident] = field(default_factory=list)
    silences: dict[str, Silence] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)

    def next_id(self, kind: str) -> str:
        """Return an id that was never used."""
        self.serial += 1
        return f"{kind}-{int(self.epoch * 1000):x}-{self.serial}"


BOOK: Final = TypeAdapter(Book)
