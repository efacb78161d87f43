"""The line of updates, with the semantics of `getUpdates`: kept until confirmed by an offset."""

import asyncio
from collections.abc import Iterable
from typing import Any

from examples.bot.botapi.faults import ApiError

Update = dict[str, Any]  # Any: JSON, as the Bot API defines it

_TERMINATED = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"  # noqa: E501
_WEBHOOK = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"  # noqa: E501


class UpdateLine:
    """Updates that wait to be fetched or delivered.

    Attributes:
        confirmed: ids of those that a bot has confirmed, in that order.
    """

    def __init__(self) -> None:
        self._next_id = 1
        self._waiting: list[Update] = []
        self._delivered: dict[int, Update] = {}
        self._arrived = asyncio.Event()
        self._poller: object | None = None
        self.confirmed: list[int] = []
        self.allowed: list[str] | None = None
        self.webhook = False

    def add(self, content: Update) -> int:
        """Give `content` an id and put it at the end."""
        update_id = self._next_id
        self._next_id += 1
        kinds = self.allowed
        if not kinds or any(kind in content for kind in kinds):
            self._put([{"update_id": update_id, **content}])
        return update_id

    def redeliver(self, update_id: int) -> None:
        """Deliver an update once more that was confirmed: a duplicate."""
        self._put([self._delivered[update_id]])

    def reorder(self, order: Iterable[int]) -> None:
        """Deliver what is waiting in another order: positions in the line, the next one first."""
        self._waiting = [self._waiting[position] for position in order]

    def __len__(self) -> int:
        return len(self._waiting)

    async def fetch(self, offset: int | None, limit: int, timeout: float) -> list[Update]:
        """Answer `getUpdates`: confirm what is before `offset`, then wait for what is next.

        Raises:
            ApiError: 409, if a webhook is set, or when another poller takes over.
        """
        if self.webhook:
            raise ApiError(409, _WEBHOOK)
        me = self._poller = object()
        self._arrived.set()  # wakes the poller before, who is told of the conflict
        if offset is not None:
            self.confirm(offset)
        try:
            async with asyncio.timeout(timeout):
                while not self._waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
                    if self._poller is not me:
                        raise ApiError(409, _TERMINATED)
        except TimeoutError:
            return []
        return self._waiting[: max(1, min(limit, 100))]

    def confirm(self, offset: int) -> None:
        """Forget what is before `offset`; a negative one keeps so many of the newest."""
        if offset < 0:
            offset = self._waiting[offset:][0]["update_id"] if self._waiting else 0
        for update in self._waiting:
            if update["update_id"] < offset:
                self._done(update)
        self._waiting = [each for each in self._waiting if each["update_id"] >= offset]

    async def next(self) -> Update:
        """Return the first, when there is one; it stays until `pop`."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting[0]

    def pop(self) -> None:
        """Confirm the first."""
        self._done(self._waiting.pop(0))

    def drop(self) -> None:
        """Forget all that waits."""
        self._waiting.clear()

    def _put(self, updates: list[Update]) -> None:
        self._waiting.extend(updates)
        self._arrived.set()

    def _done(self, update: Update) -> None:
        self._delivered[update["update_id"]] = update
        self.confirmed.append(update["update_id"])
