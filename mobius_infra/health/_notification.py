"""What a channel is given to send, and what it raises when it can't."""

from dataclasses import dataclass
from typing import Literal, Protocol

from mobius_infra.core import MobiusError
from mobius_infra.health._alert_step import Severity

Kind = Literal["firing", "repeated", "resolved", "heartbeat"]


@dataclass(frozen=True, slots=True)
class Line:
    """One alert in a notification.

    Attributes:
        alert: its id.
        severity: how bad it is.
        reason: why it fires, or why it no longer does.
        since: when that began, in seconds since the epoch.
        summary: what the rule says that it means.
        labels: of the alert.
    """

    alert: str
    severity: Severity
    reason: str
    since: float
    summary: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Notification:
    """What is told at once: an incident, as it is.

    Attributes:
        id: the same each time that it is sent again: whoever receives it twice knows.
        kind: `firing` when there is something new, `repeated`, `resolved` when nothing in it fires
            any more, or `heartbeat`.
        at: when it was made, in seconds since the epoch.
        manager: the alert manager's name.
        incident: the incident's id.
        title: one line that says it all.
        severity: the worst in it.
        firing: what fires, worst first.
        resolved: what was told to this channel as firing, and no longer is.
        folded: ids of more alerts that belong to it, and of those that these explain.
        folded_count: how many those are: of very many, not all ids are given.
        step: of the escalation; 0 is the first.
    """

    id: str
    kind: Kind
    at: float
    manager: str
    incident: str = ""
    title: str = ""
    severity: Severity = Severity.INFO
    firing: tuple[Line, ...] = ()
    resolved: tuple[Line, ...] = ()
    folded: tuple[str, ...] = ()
    folded_count: int = 0
    step: int = 0


class Channel(Protocol):
    """Where notifications go.

    A channel is asked again, later, for whatever it raises other than `Refused`. What it is asked
    to send twice has the same id.
    """

    @property
    def name(self) -> str:
        """Unique among the channels; what is still to be sent is kept under it over restarts."""
        ...

    async def send(self, notification: Notification) -> None:
        """Return when the other side has taken it."""
        ...


class Refused(MobiusError):  # noqa: N818 - an answer, as `Rejected` is
    """The other side will never take this notification: it is not sent again.

    Attributes:
        channel: the channel's name.
        reason: what the other side said.
    """

    def __init__(self, channel: str, reason: str) -> None:
        super().__init__(f"channel {channel} refused a notification: {reason}")
        self.channel = channel
        self.reason = reason


class Postponed(MobiusError):  # noqa: N818 - an answer, as `Rejected` is
    """The other side did not take it now, and may later.

    Attributes:
        channel: the channel's name.
        reason: what the other side said.
        retry_after: seconds before which it asks not to be tried again; None: it didn't say.
    """

    def __init__(self, channel: str, reason: str, retry_after: float | None = None) -> None:
        super().__init__(f"channel {channel} did not take a notification: {reason}")
        self.channel = channel
        self.reason = reason
        self.retry_after = retry_after


def as_text(notification: Notification, most: int = 3500) -> str:
    """Return a notification as lines for people, of at most `most` characters."""
    lines = [notification.title]
    for word, alerts in (("", notification.firing), ("resolved: ", notification.resolved)):
        for line in alerts:
            lines.append(f"{word}{line.severity.value}: {line.alert}: {line.reason}")
            if line.summary and not word:
                lines.append(f"  {line.summary}")
    if notification.folded_count:
        lines.append(f"and {notification.folded_count} more that belong to it")
    text = "\n".join(lines)
    return text if len(text) <= most else text[: most - 1] + "…"
