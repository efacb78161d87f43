"""Who is let in: what people write is screened, and who keeps probing is left without an answer."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import CallbackQuery, Message, TelegramObject

from examples.bot.usage import feature_of
from mobius_infra.core import Backend, Component
from mobius_infra.security import (
    Activity,
    Detector,
    ThreatDetector,
    ThreatRefusedError,
    probing,
    repeated_findings,
)

log = logging.getLogger(__name__)

COMMANDS = frozenset({"start", "help", "price", "convert", "status", "again", "text"})


class Guard(BaseMiddleware):
    """Stands before the handlers.

    A text that looks like an attack is only noted: here it harms nothing. Four different ones, or
    many commands that there are not, are somebody who tries.
    """

    def __init__(self, backend: Backend) -> None:
        self.screen = Detector("chat")
        self.threats = ThreatDetector("bot", [probing(), repeated_findings()], backend=backend)

    @property
    def components(self) -> list[Component]:
        """What to watch."""
        return [self.screen, self.threats]

    # Any: aiogram's own types of what it passes to handlers, and of what they return.
    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        if isinstance(event, Message | CallbackQuery) and event.from_user is not None:
            user = event.from_user.id
            self._look(event, user)
            try:
                self.threats.demand(user=user)
            except ThreatRefusedError as refused:
                log.info("%s gets no answer", refused.subject)
                return None
        return await handler(event, data)

    def _look(self, event: Message | CallbackQuery, user: int) -> None:
        if isinstance(event, Message) and event.text is not None:
            verdict = self.screen.check(event.text, field="message", sink="chat_text")
            if verdict.suspicious:
                self.threats.report(Activity("suspected", user=user, about=event.text))
        feature = feature_of(event)
        if feature not in COMMANDS:
            self.threats.report(Activity("command_unknown", user=user, about=feature))
