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
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer

from examples.bot.alerts import make_alerts
from examples.bot.charts import chart
from examples.bot.delivery import Once, Paced, listen, patiently, poll
from examples.bot.guard import Guard
from examples.bot.handlers import make_router, slowly, user_of
from examples.bot.prices import UnknownCoinError, make_price
from examples.bot.settings import Settings
from examples.bot.usage import Usage
from mobius_infra.breaker import CircuitBreaker, State, bulkhead, resilient, retry, timeout
from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.core import Component, open_backend
from mobius_infra.health import WHOLE, HealthMonitor, Uptime, backend_check, serve, status_app
from mobius_infra.metrics import (
    EventLoop,
    GarbageCollector,
    History,
    Machine,
    MetricsCollector,
    Process,
)
from mobius_infra.ratelimit import RateLimiter, telegram


@dataclass(frozen=True, slots=True)
class PriceBot:
    """The bot's parts, wired and started."""

    bot: Bot
    dispatcher: Dispatcher
    cache: Cache
    breaker: CircuitBreaker
    limiter: RateLimiter
    once: Once
    usage: Usage
    status_url: str


@asynccontextmanager
async def price_bot(settings: Settings) -> AsyncIterator[PriceBot]:
    """Make all parts of the bot, and let go of them in the reverse order."""
    env, production, limits = settings.environment, settings.production, settings.security
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        urls = [url for url in (env.redis_url, env.database_url) if url is not None]
        backends = [await start(open_backend(url)) for url in urls]

        keep = settings.cache
        cache = Cache(
            "prices",
            tiers=[MemoryTier(keep.entries), *(BackendTier(each) for each in backends)],
            ttl=keep.ttl,
            stale_for=keep.stale_for,
            codec_options=env.encryption(),
        )
        await start(cache)
        breaker = CircuitBreaker.from_config(production.upstream, ignored=(UnknownCoinError,))
        per_user = RateLimiter.from_config(
            limits.per_user, key=user_of, on_limit=slowly, backend=backends[0]
        )

        monitor = HealthMonitor()
        for backend in backends:
            monitor.check(backend.name, every=5, critical=False)(backend_check(backend))

        @monitor.check("upstream", every=1, critical=False)
        async def upstream() -> bool:
            return breaker.state is State.CLOSED

        again = retry((aiohttp.ClientError, TimeoutError), **production.retry.options())
        in_time = timeout(production.timeout, name="upstream")
        slots = bulkhead(**production.bulkhead.options())
        guard = resilient(retry=again, breaker=breaker, timeout=in_time, bulkhead=slots)

        await start(monitor)
        usage, doorman = Usage(), Guard(backends[0])
        await start(doorman.threats)
        components: list[Component] = [cache, again, breaker, in_time, slots, per_user]
        components += [*usage.components, *doorman.components]
        metrics = MetricsCollector(name=settings.metrics.name)
        loop, collector = await start(EventLoop()), stack.enter_context(GarbageCollector())
        process, machine = Process(), Machine()
        metrics.watch(*components, process, machine, loop, collector)
        uptime = Uptime("bot", read=lambda: states_of(monitor), backend=backends[-1])
        history = chart(
            History("bot", backend=backends[-1]),
            features=usage.features, cache=cache, upstream=again, limiter=per_user, loop=loop,
            process=process,
        )  # fmt: skip
        alerts = make_alerts(monitor, env, backends[-1])
        for each in (uptime, history, alerts):
            await start(each)
        page = status_app(
            monitor,
            components=components,
            metrics=metrics.render_async,
            uptime=uptime,
            alerts=alerts,
            charts=history,
            token=env.status_token.get_secret_value() if env.status_token else None,
            title=settings.metrics.title,
        )
        port = await start(serve(page, "127.0.0.1", env.status_port))

        http = await start(aiohttp.ClientSession())
        price = make_price(http, env.upstream_url, cache, guard)
        once, dispatcher = Once(backends[0]), Dispatcher()
        dispatcher.update.outer_middleware(once)
        for middleware in (usage, doorman):
            dispatcher.message.outer_middleware(middleware)
            dispatcher.callback_query.outer_middleware(middleware)
        dispatcher.include_router(make_router(price, monitor, per_user, limits.message_length))
        api = TelegramAPIServer.from_base(env.telegram_api_url) if env.telegram_api_url else None
        bot = Bot(env.telegram_bot_token.get_secret_value(), AiohttpSession(api=api or PRODUCTION))
        bot.session.middleware(patiently())
        bot.session.middleware(Paced(telegram()))  # within: each attempt takes its turn
        stack.push_async_callback(bot.session.close)
        url = f"http://127.0.0.1:{port}/status"
        yield PriceBot(bot, dispatcher, cache, breaker, per_user, once, usage, url)


def states_of(monitor: HealthMonitor) -> dict[str, str]:
    """Return how the whole is, and each of its checks."""
    report = monitor.report()
    return {WHOLE: report.state, **{check.name: check.state for check in report.checks}}


async def run(settings: Settings, stop: asyncio.Event, ready: Callable[[PriceBot], object]) -> None:
    """Answer updates until `stop` is set; `ready` is called with the parts once they started."""
    async with price_bot(settings) as parts:
        ready(parts)
        if settings.environment.webhook_url is not None:
            await listen(parts.bot, parts.dispatcher, settings.environment, stop)
        else:
            await parts.bot.delete_webhook()
            await poll(parts.bot, parts.dispatcher, parts.once, stop)


async def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(Settings.read(), stop, lambda parts: print(f"status page: {parts.status_url}"))


if __name__ == "__main__":
    asyncio.run(main())
