"""What is owed to each channel, in order, until it is known to have arrived.

Sent is marked after success, and tried again after anything that may not have been: a channel
hears everything at least once, and whoever reads the ids hears it once.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from mobius_infra.health._alert_book import Book, Delivery, Progress, Told
from mobius_infra.health._alert_routes import target

_ENDED: Final = 200  # deliveries that are kept after their end, for people to see
_BASE: Final = 1.0  # seconds
_CEILING: Final = 300.0


def pause(attempts: int, draw: float, retry_after: float | None) -> float:
    """Return the seconds until the next try: doubling, half of it by chance.

    Args:
        attempts: that failed.
        draw: a random number in [0, 1), so that many senders do not come back at once.
        retry_after: what the other side asked for; never less than that.
    """
    longest = min(_BASE * 2.0 ** min(attempts - 1, 30), _CEILING)
    return max(longest * (0.5 + draw / 2), retry_after or 0.0)


def enqueue(book: Book, made: Iterable[Delivery], most: int) -> list[tuple[str, str]]:
    """Owe deliveries; return channel and id of those that had to be dropped for them.

    Where too many wait for one channel the oldest goes, and is told anew when it is due again.
    """
    dropped = []
    for delivery in made:
        id_ = delivery.notification.id
        book.deliveries[id_] = delivery
        waiting = waiting_for(book, delivery.channel)
        if len(waiting) > most:
            # The first may be on its way at this moment.
            victim = waiting[1] if len(waiting) > 2 else waiting[0]
            _drop(book, victim, delivery.notification.at, f"more than {most} were waiting")
            dropped.append((victim.channel, victim.notification.id))
    return dropped


def _drop(book: Book, victim: Delivery, now: float, reason: str) -> None:
    """Give up a delivery, so that what it said is told anew when the incident is next due."""
    finish(victim, "dropped", now, reason)
    told = _told_by(book, victim)
    if told is not None:
        for id_ in victim.news:
            told.alerts.pop(id_, None)
        for line in victim.notification.resolved:
            told.alerts.setdefault(line.alert, True)


def _told_by(book: Book, delivery: Delivery) -> Told | None:
    incident = book.incidents.get(delivery.notification.incident)
    name = target(delivery.channel, delivery.notification.step)
    return None if incident is None else incident.told.get(name)


def waiting_for(book: Book, channel: str) -> list[Delivery]:
    """Return what a channel is still owed, oldest first."""
    return [
        each
        for each in book.deliveries.values()
        if each.channel == channel and each.progress == "waiting"
    ]


def finish(delivery: Delivery, progress: Progress, now: float, reason: str = "") -> None:
    """Note how a delivery ended."""
    delivery.progress, delivery.reason, delivery.ended_at = progress, reason, now


def refuse(book: Book, delivery: Delivery, now: float, reason: str) -> None:
    """Note that a channel will never take a delivery: it need not hear of the end either."""
    finish(delivery, "refused", now, reason)
    notification, lost = delivery.notification, set(delivery.news)
    told = _told_by(book, delivery)
    if told is not None:
        told.alerts.update(dict.fromkeys(lost & told.alerts.keys(), False))
    for each in waiting_for(book, delivery.channel):
        theirs = each.notification
        ends = {line.alert for line in theirs.resolved}
        same = theirs.incident == notification.incident and theirs.step == notification.step
        if same and theirs.kind == "resolved" and ends <= lost:
            finish(each, "withdrawn", now, "what it ends was never taken")


def trim(book: Book, channels: Mapping[str, object]) -> None:
    """Forget the oldest of what has ended, and what is owed to channels that are no more."""
    for id_, each in list(book.deliveries.items()):
        if each.progress == "waiting" and each.channel not in channels:
            del book.deliveries[id_]
    ended = [id_ for id_, each in book.deliveries.items() if each.progress != "waiting"]
    for id_ in ended[: max(len(ended) - _ENDED, 0)]:
        del book.deliveries[id_]
