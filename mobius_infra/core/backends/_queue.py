"""What one subscriber has not read yet; bounded, and honest about what was dropped."""

import asyncio
from collections import deque
from typing import Self

from mobius_infra.core._backend import Gap, Message

_UNREAD = 10_000  # messages that a slow reader may be behind before it is told of a gap


class MessageQueue:
    """An iterator of messages that are put into it."""

    __slots__ = ("_ended", "_items", "_wake")

    def __init__(self) -> None:
        self._items: deque[Message | Gap] = deque()
        self._wake = asyncio.Event()
        self._ended = False

    def put(self, item: Message | Gap) -> None:
        """Add what the reader shall get next."""
        if len(self._items) >= _UNREAD:
            self._items.clear()
            self._items.append(Gap(f"the reader was {_UNREAD} messages behind"))
        self._items.append(item)
        self._wake.set()

    def end(self) -> None:
        """Let the iteration end after what is there."""
        self._ended = True
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message | Gap:
        while not self._items:
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._items.popleft()
