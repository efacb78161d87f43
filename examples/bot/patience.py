"""Answers reach their users although the Bot API is busy for a moment."""

from aiogram import Bot
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import TelegramRetryAfter, TelegramServerError
from aiogram.methods import GetUpdates, Response, TelegramMethod
from aiogram.methods.base import TelegramType

from mobius_infra.core import Clock

_ATTEMPTS = 5
_PAUSE = 0.5  # seconds after a server's error, doubled each time


class Patience(BaseRequestMiddleware):
    """Sends a call again that the Bot API refused for now: 429 after its own pause, and 5xx.

    A lost connection is not tried again: the message may have been sent.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Response[TelegramType]:
        """Make the call, a few times if need be."""
        # The polling has a patience of its own.
        attempts = 1 if isinstance(method, GetUpdates) else _ATTEMPTS
        for attempt in range(1, attempts):
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                await self._clock.sleep(error.retry_after)
            except TelegramServerError:
                await self._clock.sleep(_PAUSE * 2**attempt)
        return await make_request(bot, method)
