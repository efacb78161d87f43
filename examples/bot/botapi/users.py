"""People who chat with the bot."""

import asyncio
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examples.bot.botapi.server import BotApiServer

_COMMAND = re.compile(r"/[A-Za-z0-9_]+(@\w+)?")


class SimulatedUser:
    """Someone in a private chat with the bot. Made by `BotApiServer.user`."""

    def __init__(self, server: "BotApiServer", user_id: int, name: str, language: str) -> None:
        self.id = user_id
        self._server = server
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()  # Any: JSON
        self.profile = {
            "id": user_id,
            "is_bot": False,
            "first_name": name,
            "username": name.lower(),
            "language_code": language,
        }
        self.chat = {
            "id": user_id, "type": "private", "first_name": name, "username": name.lower(),
        }  # fmt: skip

    def send(self, text: str) -> int:
        """Write to the bot; return the update's id."""
        message = self._server.new_message(self.chat, self.profile, text)
        found = _COMMAND.match(text)
        if found is not None:
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": found.end()}]
        return self._server.updates.add({"message": message})

    def press(self, message: dict[str, Any], data: str) -> int:
        """Press a button under one of the bot's messages; return the update's id."""
        query = {
            "id": self._server.new_query(),
            "from": self.profile,
            "message": message,
            "chat_instance": str(self.id),
            "data": data,
        }
        return self._server.updates.add({"callback_query": query})

    async def reply(self, timeout: float = 10.0) -> dict[str, Any]:
        """Return the bot's next message, which was sent or edited.

        Raises:
            TimeoutError: if none comes in time.
        """
        async with asyncio.timeout(timeout):
            return await self._inbox.get()

    def receive(self, message: dict[str, Any]) -> None:
        """Get a message from the bot."""
        self._inbox.put_nowait(message)
