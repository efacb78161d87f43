"""Each update once, however often and to whichever process it is delivered."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import TelegramObject, Update

from mobius_infra.core import Backend, BackendError

REMEMBERED = 24 * 3600.0  # seconds; Telegram keeps updates for a day


class Once(BaseMiddleware):
    """Let each update through once.

    It is marked before it is handled: of a process that is killed in between, an update is lost
    rather than answered twice. While the backend is down, updates are answered rather than lost.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.duplicates = 0

    # Any: aiogram's own type of what it passes to handlers, and of what they return.
    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Handle the update unless it has been handled."""
        if isinstance(event, Update) and not await self._first(event.update_id):
            self.duplicates += 1
            return None
        return await handler(event, data)

    async def _first(self, update_id: int) -> bool:
        key = f"update:{update_id}"
        try:
            return await self._backend.compare_and_set(key, None, b"1", REMEMBERED)
        except BackendError:
            return True
