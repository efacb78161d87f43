"""An alert manager's numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from mobius_infra.core import Stats, counter, gauge, state
from mobius_infra.health._alert_book import Book
from mobius_infra.health._alert_step import Phase, Severity


@dataclass(frozen=True, slots=True)
class AlertStats(Stats):
    """An alert manager's numbers."""

    state: str = state("notifying, or standing by while another process does")
    firing: Mapping[str, int] = gauge("Alerts that fire", label="severity")
    pending: int = gauge("Alerts that may fire soon")
    hidden: int = gauge("Alerts that are silenced or explained by another")
    incidents: int = gauge("Incidents that are open")
    looks: int = counter("Looks at all rules")
    rule_errors: int = counter("Times that a source or condition raised")
    waiting: Mapping[str, int] = gauge("Notifications that are still to be sent", label="channel")
    sent: Mapping[str, int] = counter("Notifications that arrived", label="channel")
    failures: Mapping[str, int] = counter("Tries that failed", label="channel")
    refused: Mapping[str, int] = counter("Notifications that were refused", label="channel")
    dropped: int = counter("Notifications for which there was no room")
    heartbeats: int = counter("Heartbeats that arrived")


class Counts(TypedDict):
    """What is counted in the book."""

    firing: Mapping[str, int]
    pending: int
    hidden: int
    incidents: int
    waiting: Mapping[str, int]


def count(book: Book, channels: Iterable[str]) -> Counts:
    """Count what is in the book."""
    alerts = list(book.alerts.values())
    firing = [each.severity for each in alerts if each.state.phase is Phase.FIRING]
    waiting = dict.fromkeys(channels, 0)
    for each in book.deliveries.values():
        if each.progress == "waiting" and each.channel in waiting:
            waiting[each.channel] += 1
    return Counts(
        firing={severity.value: firing.count(severity) for severity in Severity},
        pending=sum(each.state.phase is Phase.PENDING for each in alerts),
        hidden=sum(each.hidden is not None for each in alerts),
        incidents=len(book.incidents),
        waiting=waiting,
    )
