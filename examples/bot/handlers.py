"""What the bot answers. Users see answers, never errors: in need a price as of some time ago."""

import time
from decimal import Decimal, InvalidOperation

from aiogram import F, Router
from aiogram.filters import Command, CommandObject, ExceptionTypeFilter
from aiogram.types import (
    CallbackQuery,
    ErrorEvent,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
)

from examples.bot.prices import UNAVAILABLE, Price, PriceOf, UnknownCoinError
from mobius_infra.health import HealthMonitor
from mobius_infra.ratelimit import RateLimitedError, RateLimiter

HELP = "/price btc: a price\n/convert 5 eth usd: an amount in another coin\n/status: how I am"
NOT_NOW = "I can't reach the price service right now. I keep trying: please ask again soon."
UNKNOWN = "I know no such coin. Try btc, eth, sol, ton or doge."
FRESH = 60.0  # seconds; the age of an older price is told with it


def make_router(
    price_of: PriceOf,
    monitor: HealthMonitor,
    per_user: RateLimiter,
    longest: int,
) -> Router:
    """Make the handlers; a message may have `longest` characters."""
    router = Router()

    @router.message(F.text.len() > longest)
    @per_user
    async def too_long(message: Message) -> None:
        await message.answer("That is too long for me.")

    @router.message(Command("price"))
    @per_user
    async def price(message: Message, command: CommandObject) -> None:
        await tell(message, price_of, (command.args or "btc").strip().lower())

    @router.callback_query(F.data.startswith("price:"), F.message.as_("message"))
    @per_user
    async def again(query: CallbackQuery, message: Message) -> None:
        await tell(message, price_of, (query.data or "").removeprefix("price:"))
        await query.answer()

    @router.message(Command("convert"))
    @per_user
    async def convert(message: Message, command: CommandObject) -> None:
        asked = read_conversion(command.args or "")
        if asked is None:
            await message.answer("Write it like this: /convert 5 eth usd")
            return
        amount, source, target = asked
        one, other = await price_of(source), await price_of(target)
        result = f"{amount.normalize():f} {source.upper()} = {amount * one.usd / other.usd:,.4f}"
        older = min(one, other, key=lambda price: price.at)
        await message.answer(f"{result} {target.upper()}{age(older)}")

    @router.message(Command("status"))
    @per_user
    async def status(message: Message) -> None:
        report = monitor.report()
        lines = [f"{check.name}: {check.state}" for check in report.checks]
        await message.answer("\n".join([f"I am {report.state}.", *lines]))

    @router.message()
    @per_user
    async def anything(message: Message) -> None:
        await message.answer(HELP)

    @router.error(ExceptionTypeFilter(UnknownCoinError, *UNAVAILABLE))
    async def in_need(error: ErrorEvent) -> None:
        event = error.update.message or error.update.callback_query
        if event is not None:
            unknown = isinstance(error.exception, UnknownCoinError)
            await event.answer(UNKNOWN if unknown else NOT_NOW)

    return router


def read_conversion(text: str) -> tuple[Decimal, str, str] | None:
    """Read `5 eth usd`; None if it isn't like that."""
    try:
        amount, source, target = text.lower().split()
        return (Decimal(amount), source, target) if 0 < Decimal(amount) < 10**12 else None
    except (ValueError, InvalidOperation):
        return None


async def tell(message: Message, price_of: PriceOf, coin: str) -> None:
    """Answer with a price, and a button to ask again."""
    price = await price_of(coin)
    button = InlineKeyboardButton(text="Again", callback_data=f"price:{coin}")
    await message.answer(
        f"1 {coin.upper()} = {price.usd:,.2f} USD{age(price)}",
        reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]),
    )


def user_of(event: Message | CallbackQuery, *args: object, **kwargs: object) -> str:
    """Return whose limit a message or a pressed button counts against."""
    return f"user:{event.from_user.id}" if event.from_user else "nobody"


async def slowly(
    error: RateLimitedError, event: Message | CallbackQuery, *args: object, **kwargs: object
) -> None:
    """Answer who asks too much."""
    await event.answer(f"Slowly, please: ask again in {error.retry_after or 1:.0f} s.")


def age(price: Price) -> str:
    """Say how old a price is, if it is worth saying."""
    seconds = time.time() - price.at
    return f" (as of {seconds / 60:.0f} min ago)" if seconds > FRESH else ""
