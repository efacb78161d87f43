"""How updates come in, each answered once, and how answers get out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware, Bot, Dispatcher
from aiogram.client.session.middlewares.base import (
    NextRequestMiddlewareType,
    RequestMiddlewareType,
)
from aiogram.exceptions import TelegramRetryAfter, TelegramServerError
from aiogram.methods import Response, TelegramMethod
from aiogram.types import TelegramObject, Update
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from examples.bot.settings import Environment
from mobius_infra.breaker import Backoff, retry
from mobius_infra.core import Backend, BackendError, Clock
from mobius_infra.ratelimit import Outbound

DRAIN = 10.0  # seconds that running handlers are given at the end
REMEMBERED = 24 * 3600.0  # seconds; Telegram keeps updates for a day


class Once(BaseMiddleware):
    """Lets each update through once, and waits for those that are being answered.

    One is marked before it is handled: of a process that is killed in between, it is lost rather
    than answered twice. While the backend is down, updates are answered rather than lost.
    """

    def __init__(self, backend: Backend) -> None:
        self.duplicates = 0
        self.latest: int | None = None
        self._backend = backend
        self._running: set[asyncio.Task[Any]] = set()

    # Any: aiogram's own types of what it passes to handlers, and of what they return.
    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        if not isinstance(event, Update):
            return await handler(event, data)
        self.latest = max(self.latest or 0, event.update_id)
        if (task := asyncio.current_task()) is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            key = f"update:{event.update_id}"
            first = await self._backend.compare_and_set(key, None, b"1", REMEMBERED)
        except BackendError:
            first = True
        self.duplicates += not first
        return await handler(event, data) if first else None

    async def drain(self, timeout: float) -> None:
        """Wait for the handlers that are running, `timeout` seconds at most."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout)


def patiently(clock: Clock | None = None) -> RequestMiddlewareType:
    """Return what sends a call again that the Bot API refused for now.

    Not after a lost connection: the message may have been sent.
    """

    @retry(
        on=(TelegramRetryAfter, TelegramServerError),
        attempts=5,
        wait=Backoff(first=1.0, most=10.0, jitter="equal"),
        clock=clock,
    )
    async def send(
        make_request: NextRequestMiddlewareType[Any], bot: Bot, method: TelegramMethod[Any]
    ) -> Response[Any]:
        return await make_request(bot, method)

    return send


class Paced:
    """Sends within Telegram's limits: a message waits for its turn, and a 429 pauses its chat."""

    def __init__(self, limits: Outbound) -> None:
        self._limits = limits

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[Any],
        bot: Bot,
        method: TelegramMethod[Any],
    ) -> Response[Any]:
        chat = getattr(method, "chat_id", None)
        if chat is None:  # no message: asking for updates, answering a pressed button
            return await make_request(bot, method)
        async with self._limits.sending(chat):
            return await make_request(bot, method)


async def poll(bot: Bot, dispatcher: Dispatcher, once: Once, stop: asyncio.Event) -> None:
    """Ask for updates until `stop` is set; then let handlers finish, and confirm."""
    started = asyncio.Event()
    dispatcher.startup.register(started.set)
    async with asyncio.TaskGroup() as group:
        group.create_task(
            dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False)
        )
        await started.wait()
        await stop.wait()
        await dispatcher.stop_polling()
    await once.drain(DRAIN)
    if once.latest is not None:  # asking for what comes after is how updates are confirmed
        await bot.get_updates(offset=once.latest + 1, timeout=0, limit=1)


async def listen(bot: Bot, dispatcher: Dispatcher, env: Environment, stop: asyncio.Event) -> None:
    """Receive updates by HTTP until `stop` is set. Telegram sends again what was not answered."""
    secret = None if env.webhook_secret is None else env.webhook_secret.get_secret_value()
    # Not in the background: only an update that was answered is acknowledged.
    handler = SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token=secret)
    app = web.Application()
    handler.register(app, "/webhook")
    # On the way out, aiohttp lets running handlers answer before it closes.
    runner = web.AppRunner(app, shutdown_timeout=DRAIN)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", env.webhook_port).start()
        await bot.set_webhook(f"{env.webhook_url}/webhook", secret_token=secret)
        await stop.wait()
    finally:
        await runner.cleanup()
