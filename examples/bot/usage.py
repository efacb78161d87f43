"""Who uses the bot, for what, and how far they come."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import CallbackQuery, Message, TelegramObject

from mobius_infra.core import Component
from mobius_infra.metrics import ActiveUsers, FeatureUse, Funnel


class Usage(BaseMiddleware):
    """Counts messages and pressed buttons on their way to the handlers."""

    def __init__(self) -> None:
        self.users = ActiveUsers()
        self.features = FeatureUse(max_features=20)  # anyone can write /anything
        self.funnel = Funnel("visits", ["start", "price", "again"])

    @property
    def components(self) -> list[Component]:
        """What to watch."""
        return [self.users, self.features, self.funnel]

    # Any: aiogram's own types of what it passes to handlers, and of what they return.
    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        if isinstance(event, Message | CallbackQuery) and event.from_user is not None:
            feature, user = feature_of(event), event.from_user.id
            self.users.seen(user)
            self.features.use(feature)
            if feature in self.funnel.steps:
                self.funnel.reach(feature, user)
        return await handler(event, data)


def feature_of(event: Message | CallbackQuery) -> str:
    """Return the command of a message without its slash, `text` without one; or `again`."""
    if isinstance(event, CallbackQuery):
        return "again"
    first = (event.text or "").partition(" ")[0]
    return first[1:].partition("@")[0] if first.startswith("/") else "text"
