"""The showcase: people chat with the bot, its upstream fails in between, and nobody sees an error.

    python -m examples.bot.demo --for 20

With `TELEGRAM_BOT_TOKEN` set it runs against Telegram instead, until it is interrupted.
"""

import argparse
import asyncio
import logging
import os
import random
import signal
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.live import Live
from rich.table import Table

from examples.bot.app import PriceBot, run
from examples.bot.botapi import BotApiServer, SimulatedUser
from examples.bot.handlers import NOT_NOW
from examples.bot.settings import Environment, Settings
from examples.bot.upstream import COINS, Upstream
from mobius_infra.core import Event

NAMES = ["Ada", "Alan", "Barbara", "Edsger", "Grace", "Ken", "Leslie", "Margaret"]
PATIENCE = 5.0  # seconds after which a user counts a message as unanswered


@dataclass
class Seen:
    """What the users saw, and what the breaker did."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    transitions: list[str] = field(default_factory=list)

    def answer(self, text: str) -> None:
        """Count an answer by its kind."""
        if text == NOT_NOW:
            kind = "not now"
        elif text.startswith("Slowly"):
            kind = "slowly, please"
        elif " min ago" in text:
            kind = "an older price"
        elif text.startswith(("Traceback", "Internal")) or not text:
            kind = "error"
            self.errors += 1
        else:
            kind = "answered"
        self.answers[kind] += 1

    def hear(self, event: Event) -> None:
        """Remember a change of the breaker."""
        self.transitions.append(type(event).__name__.removeprefix("Circuit"))


async def chat(user: SimulatedUser, seen: Seen, chance: random.Random, pause: float) -> None:
    """Ask this and that, waiting for each answer."""
    while True:
        coin = chance.choice(list(COINS))
        amount = chance.randint(1, 9)
        text = chance.choice(
            [f"/price {coin}", f"/price {coin}", f"/convert {amount} {coin} usd", "/status"]
        )
        user.send(text)
        seen.sent += 1
        try:
            seen.answer((await user.reply(PATIENCE))["text"])
        except TimeoutError:
            seen.errors += 1
        await asyncio.sleep(pause * chance.uniform(0.5, 1.5))


def table_of(parts: PriceBot, seen: Seen, upstream: Upstream, elapsed: float) -> Table:
    """Draw what is happening."""
    cache, limiter = parts.cache.stats(), parts.limiter.stats()
    hits = sum(cache.hits.values())
    asked = hits + cache.misses
    table = Table(title=f"Price bot, {elapsed:.0f} s: {parts.status_url}", min_width=64)
    table.add_column("what")
    table.add_column("figure", justify="right")
    rows: list[tuple[str, object]] = [
        ("messages from users", seen.sent),
        *((f"  {kind}", count) for kind, count in sorted(seen.answers.items())),
        ("upstream", upstream.mood),
        ("requests to the upstream", upstream.requests),
        ("cache hit rate", f"{hits / asked:.0%}" if asked else "-"),
        ("older prices served in need", cache.stale),
        ("breaker", parts.breaker.state.value),
        ("breaker transitions", " ".join(seen.transitions) or "none"),
        ("calls refused by the breaker", parts.breaker.stats().rejected),
        ("calls refused by the limiter", limiter.limited),
        ("errors seen by users", seen.errors),
    ]
    for name, value in rows:
        table.add_row(name, str(value))
    return table


async def simulate(seconds: float, console: Console) -> int:
    """Run everything for `seconds`; return the number of errors that users saw."""
    chance, seen, stop = random.Random(7), Seen(), asyncio.Event()
    with tempfile.TemporaryDirectory() as folder:
        async with BotApiServer() as server, Upstream() as upstream:
            environment = Environment(
                telegram_bot_token=SecretStr(server.token),
                telegram_api_url=server.url,
                upstream_url=upstream.url,
                database_url=f"sqlite:///{Path(folder, 'mobius.db')}",
                redis_url=os.environ.get("REDIS_URL"),
                status_port=0,
            )
            ready: asyncio.Future[PriceBot] = asyncio.get_running_loop().create_future()
            bot = asyncio.create_task(run(Settings.read(environment), stop, ready.set_result))
            bot.add_done_callback(lambda _: ready.done() or ready.cancel())
            try:
                parts = await ready
            except asyncio.CancelledError:
                await bot  # says why it did not start
                raise
            parts.breaker.events.subscribe(seen.hear)
            # All take their time but the first, who is in a hurry and meets the limiter.
            users = [
                asyncio.create_task(
                    chat(server.user(name), seen, chance, 0.15 if number == 0 else 1.5)
                )
                for number, name in enumerate(NAMES)
            ]
            await watch(parts, seen, upstream, seconds, console)
            for user in users:
                user.cancel()
            await asyncio.gather(*users, return_exceptions=True)
            stop.set()
            await bot
            console.print(table_of(parts, seen, upstream, seconds))
    return seen.errors


async def watch(
    parts: PriceBot, seen: Seen, upstream: Upstream, seconds: float, console: Console
) -> None:
    """Show what is happening, and let the upstream fail for a while in the middle."""
    clock = asyncio.get_running_loop().time
    start = clock()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while (elapsed := clock() - start) < seconds:
            upstream.mood = "failing" if 0.3 <= elapsed / seconds < 0.6 else "well"
            live.update(table_of(parts, seen, upstream, elapsed))
            await asyncio.sleep(0.25)


async def against_telegram(console: Console) -> None:
    """Run the real bot, with an upstream of its own, until interrupted."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Upstream() as upstream:
        environment = Environment(upstream_url=upstream.url)
        await run(Settings.read(environment), stop, lambda parts: console.print(parts.status_url))


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description="People chat with a bot whose upstream fails.")
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, metavar="SECONDS")
    seconds = parser.parse_args().seconds
    logging.basicConfig(level=logging.ERROR)
    console = Console()
    with suppress(KeyboardInterrupt):
        if os.environ.get("TELEGRAM_BOT_TOKEN"):
            asyncio.run(against_telegram(console))
        elif asyncio.run(simulate(seconds, console)):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
