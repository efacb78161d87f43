"""Takes what is owed to one channel there, one after the other."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from mobius_infra.core import Clock, Event
from mobius_infra.health._alert_book import Delivery
from mobius_infra.health._alert_desk import Desk
from mobius_infra.health._alert_events import NotificationLost, NotificationSent
from mobius_infra.health._notification import Channel, Postponed, Refused
from mobius_infra.health._outbox import finish, pause, refuse, waiting_for
from mobius_infra.health._within import rest, within

log = logging.getLogger("mobius_infra")

_MOST_REASON: Final = 200  # characters of what a channel said


class Postman:
    """Sends to one channel, in order: what can't be sent holds up what comes after it.

    Args:
        source: the manager's name, for events.
        channel: where to send.
        desk: whose book says what is owed.
        clock: measures time-outs and pauses.
        timeout: seconds for one try.
        draw: gives random numbers in [0, 1).
        emit: is told what was sent and what was lost.

    Attributes:
        woken: to be set when there may be something to send.
        sent, failed, refused: counters; failed counts tries.
    """

    def __init__(
        self,
        source: str,
        channel: Channel,
        desk: Desk,
        clock: Clock,
        timeout: float,
        draw: Callable[[], float],
        emit: Callable[[Event], None],
    ) -> None:
        self._source, self._channel, self._desk = source, channel, desk
        self._clock, self._timeout, self._draw, self._emit = clock, timeout, draw, emit
        self.woken = asyncio.Event()
        self.sent = self.failed = self.refused = 0

    async def work(self) -> None:
        """Send whatever comes, for ever."""
        while True:
            delivery, wait = await self._next()
            if delivery is None:
                await rest(self._clock, self.woken, wait)
            else:
                await self._try(delivery)

    async def _next(self) -> tuple[Delivery | None, float | None]:
        """Return what is to be sent now; or nothing, and seconds until there is (None: unknown).

        Under the lock: what is in the book and not stored yet must not be sent, or a crash between
        the two would send it again under another id.
        """
        async with self._desk.lock:
            if not self._desk.may_send:
                return None, None
            waiting = waiting_for(self._desk.book, self._channel.name)
        if not waiting:
            return None, None
        wait = waiting[0].next_try - self._desk.now()
        return (waiting[0], None) if wait <= 0 else (None, wait)

    async def _try(self, delivery: Delivery) -> None:
        error: Exception | None = None
        try:
            await within(self._clock, self._timeout, self._channel.send(delivery.notification))
        except Exception as caught:  # noqa: BLE001 - a channel is the application's: it may raise anything
            error = caught
        async with self._desk.lock:
            if self._desk.book.deliveries.get(delivery.notification.id) is not delivery:
                return  # another process has the book now, and will send it once more
            self._note(delivery, error)
            await self._desk.save()
        self._tell(delivery)

    def _note(self, delivery: Delivery, error: Exception | None) -> None:
        now = self._desk.now()
        delivery.attempts += 1
        if delivery.progress != "waiting":
            return  # it was dropped for others while it was on its way
        if error is None:
            self.sent += 1
            finish(delivery, "sent", now)
            return
        # What a foreign error says may be secret; ours are made to be shown.
        self.failed += 1
        if isinstance(error, Refused):
            self.refused += 1
            refuse(self._desk.book, delivery, now, error.reason[:_MOST_REASON])
            return
        after = None
        if isinstance(error, Postponed):
            delivery.reason, after = error.reason[:_MOST_REASON], error.retry_after
        else:
            delivery.reason = type(error).__name__
            if delivery.attempts == 1:
                log.warning("channel %r failed", self._channel.name, exc_info=error)
        delivery.next_try = now + pause(delivery.attempts, self._draw(), after)

    def _tell(self, delivery: Delivery) -> None:
        at, id_, name = self._clock.time(), delivery.notification.id, self._channel.name
        if delivery.progress == "sent":
            attempts = delivery.attempts
            event: Event = NotificationSent(
                source=self._source, at=at, channel=name, notification=id_, attempts=attempts
            )
        elif delivery.progress == "refused":
            reason = delivery.reason
            event = NotificationLost(
                source=self._source, at=at, channel=name, notification=id_, reason=reason
            )
        else:
            return
        self._emit(event)
