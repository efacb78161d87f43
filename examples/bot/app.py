"""The bot: its parts made and wired, then run until it is told to stop.

python -m examples.bot.app
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web
from cryptography.fernet import Fernet

from examples.bot.handlers import make_router, slowly, user_of
from examples.bot.once import Once
from examples.bot.patience import Patience
from examples.bot.polling import poll
from examples.bot.prices import Prices, UnknownCoinError
from examples.bot.settings import Environment, Settings
from mobius_infra.breaker import CircuitBreaker, State
from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.core import Backend, Component, SystemClock, open_backend
from mobius_infra.health import HealthMonitor, backend_check, serve, status_app
from mobius_infra.metrics import MetricsCollector
from mobius_infra.ratelimit import RateLimiter


@dataclass(frozen=True, slots=True)
class PriceBot:
    """The bot's parts, wired and started.

    Attributes:
        bot: the Bot API client.
        dispatcher: hands updates to the handlers.
        cache: of prices.
        breaker: around the upstream.
        limiter: of each user.
        once: lets each update through once.
        status_url: the page that shows all of it.
    """

    bot: Bot
    dispatcher: Dispatcher
    cache: Cache
    breaker: CircuitBreaker
    limiter: RateLimiter
    once: Once
    status_url: str


@asynccontextmanager
async def price_bot(settings: Settings) -> AsyncIterator[PriceBot]:
    """Make all parts of the bot, and let go of them in the reverse order."""
    env = settings.environment
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=settings.production.upstream_timeout)
            )
        )
        urls = [url for url in (env.redis_url, env.database_url) if url is not None]
        backends = [await stack.enter_async_context(open_backend(url)) for url in urls]
        cache = await stack.enter_async_context(make_cache(settings, backends))
        breaker = CircuitBreaker.from_config(
            settings.production.upstream, ignored=(UnknownCoinError,)
        )
        limiter = RateLimiter.from_config(
            settings.security.per_user, key=user_of, on_limit=slowly, backend=backends[0]
        )

        monitor = HealthMonitor()
        for backend in backends:
            monitor.check(backend.name, every=5, critical=False)(backend_check(backend))

        @monitor.check("upstream", every=1, critical=False)
        async def upstream() -> bool:
            return breaker.state is State.CLOSED

        await stack.enter_async_context(monitor)
        collector = MetricsCollector(name=settings.metrics.name)
        components: list[Component] = [cache, breaker, limiter]
        collector.watch(*components)
        page = status_app(
            monitor, components=components, metrics=collector.render, title=settings.metrics.title
        )
        port = await stack.enter_async_context(serve(page, "127.0.0.1", env.status_port))

        once = Once(backends[0])
        dispatcher = Dispatcher()
        dispatcher.update.outer_middleware(once)
        prices = Prices(session, env.upstream_url, cache, breaker)
        limits = settings.security.message_length
        dispatcher.include_router(make_router(prices, monitor, limiter, limits))
        bot = make_bot(env)
        bot.session.middleware(Patience(SystemClock()))
        stack.push_async_callback(bot.session.close)
        yield PriceBot(
            bot, dispatcher, cache, breaker, limiter, once, f"http://127.0.0.1:{port}/status"
        )


def make_cache(settings: Settings, backends: list[Backend]) -> Cache:
    """Make the cache of prices: memory before what is shared, encrypted if there is a key."""
    key = settings.environment.encryption_key
    fernet = None if key is None else Fernet(key.get_secret_value())
    return Cache(
        "prices",
        tiers=[MemoryTier(settings.cache.entries), *(BackendTier(each) for each in backends)],
        ttl=settings.cache.ttl,
        stale_for=settings.cache.stale_for,
        codec_options=None
        if fernet is None
        else {"encrypt": fernet.encrypt, "decrypt": fernet.decrypt},
    )


def make_bot(env: Environment) -> Bot:
    """Make the Bot API client, for Telegram or for another server."""
    if env.telegram_api_url is None:
        return Bot(env.telegram_bot_token.get_secret_value())
    server = TelegramAPIServer.from_base(env.telegram_api_url)
    return Bot(env.telegram_bot_token.get_secret_value(), session=AiohttpSession(api=server))


async def run(settings: Settings, stop: asyncio.Event, ready: Callable[[PriceBot], object]) -> None:
    """Answer updates until `stop` is set; then finish what is being answered.

    Args:
        settings: of all parts.
        stop: ends it.
        ready: called with the parts once they are started.
    """
    async with price_bot(settings) as parts:
        ready(parts)
        if settings.environment.webhook_url is not None:
            await serve_webhook(settings, parts, stop)
            return
        await parts.bot.delete_webhook()
        await poll(
            parts.bot,
            lambda update: parts.dispatcher.feed_update(parts.bot, update),
            stop=stop,
            clock=SystemClock(),
            drain_timeout=settings.production.drain_timeout,
        )


async def serve_webhook(settings: Settings, parts: PriceBot, stop: asyncio.Event) -> None:
    """Receive updates by HTTP. What is not answered with success, Telegram sends again."""
    env = settings.environment
    secret = None if env.webhook_secret is None else env.webhook_secret.get_secret_value()
    app = web.Application()
    # Not in the background: only an update that was answered is acknowledged.
    handler = SimpleRequestHandler(
        parts.dispatcher, parts.bot, handle_in_background=False, secret_token=secret
    )
    handler.register(app, "/webhook")
    # On the way out, aiohttp lets running handlers answer before it closes.
    runner = web.AppRunner(app, shutdown_timeout=settings.production.drain_timeout)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", env.webhook_port).start()
        await parts.bot.set_webhook(f"{env.webhook_url}/webhook", secret_token=secret)
        await stop.wait()
    finally:
        await runner.cleanup()


async def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(Settings.read(), stop, lambda parts: print(f"status page: {parts.status_url}"))


if __name__ == "__main__":
    asyncio.run(main())
