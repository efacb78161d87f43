"""What alerting tells its listeners."""

from dataclasses import dataclass

from mobius_infra.core import Event
from mobius_infra.health._alert_step import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChanged(Event):
    """An alert came into another phase.

    Attributes:
        alert: its id.
        severity: how bad it is.
        reason: what decided it, in words.
    """

    alert: str
    severity: Severity
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPending(AlertChanged):
    """It is so, but not for long enough to fire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFiring(AlertChanged):
    """It fires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertResolved(AlertChanged):
    """It fires no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAcknowledged(Event):
    """Somebody deals with an alert or an incident.

    Attributes:
        alert: the id.
        by: who.
    """

    alert: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFailed(Event):
    """A rule's source or condition raised. Said once, until it works again.

    Attributes:
        rule: its name.
        reason: the error's type.
    """

    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationSent(Event):
    """A channel has taken a notification.

    Attributes:
        channel: the channel's name.
        notification: the id.
        attempts: how often it was tried.
    """

    channel: str
    notification: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationLost(Event):
    """A notification will not be sent.

    Attributes:
        channel: the channel's name.
        notification: the id.
        reason: it was refused, or too many were waiting.
    """

    channel: str
    notification: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierChanged(Event):
    """This process began or ceased to be the one that notifies.

    Attributes:
        notifies: whether it does now.
        reason: why.
    """

    notifies: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStoreFailed(Event):
    """What alerting remembers can't be kept. It goes on without. Said once, until it can.

    Attributes:
        reason: what is wrong.
    """

    reason: str
