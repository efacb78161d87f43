"""What the bot answers. Users see answers, never errors: in need a price as of some time ago."""

import re
import time
from decimal import Decimal, InvalidOperation

from aiogram import F, Router
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from examples.bot.prices import Price, Prices, UnavailableError, UnknownCoinError
from mobius_infra.health import HealthMonitor
from mobius_infra.ratelimit import RateLimitedError, RateLimiter

HELP = "/price btc: a price\n/convert 5 eth usd: an amount in another coin\n/status: how I am"
NOT_NOW = "I can't reach the price service right now. I keep trying: please ask again soon."
SYMBOL = re.compile(r"[a-z0-9]{2,10}")
FRESH = 60.0  # seconds; the age of an older price is told with it


def make_router(
    prices: Prices, monitor: HealthMonitor, per_user: RateLimiter, longest: int
) -> Router:
    """Make the bot's handlers.

    Args:
        prices: where prices come from.
        monitor: what `/status` tells of.
        per_user: limits what one user may ask; tells those who ask more when to ask again.
        longest: characters that a message may have.
    """
    router = Router()

    @router.message(F.text.len() > longest)
    @per_user
    async def too_long(message: Message) -> None:
        await message.answer("That is too long for me.")

    @router.message(Command("price"))
    @per_user
    async def price(message: Message, command: CommandObject) -> None:
        coin = (command.args or "btc").strip().lower()
        await message.answer(await describe(prices, coin), reply_markup=again(coin))

    @router.callback_query(F.data.startswith("price:"))
    @per_user
    async def refresh(query: CallbackQuery) -> None:
        coin = (query.data or "").removeprefix("price:")
        if isinstance(query.message, Message):
            await query.message.answer(await describe(prices, coin), reply_markup=again(coin))
        await query.answer()

    @router.message(Command("convert"))
    @per_user
    async def convert(message: Message, command: CommandObject) -> None:
        await message.answer(await converted(prices, command.args or ""))

    @router.message(Command("status"))
    @per_user
    async def status(message: Message) -> None:
        report = monitor.report()
        lines = [f"{check.name}: {check.state}" for check in report.checks]
        await message.answer("\n".join([f"I am {report.state}.", *lines]))

    @router.message(CommandStart())
    @router.message()
    @per_user
    async def anything(message: Message) -> None:
        await message.answer(HELP)

    return router


def user_of(event: Message | CallbackQuery, *args: object, **kwargs: object) -> str:
    """Return whose limit a message or a pressed button counts against."""
    return f"user:{event.from_user.id}" if event.from_user else "nobody"


async def slowly(
    error: RateLimitedError, event: Message | CallbackQuery, *args: object, **kwargs: object
) -> None:
    """Answer who asks too much."""
    await event.answer(f"Slowly, please: ask again in {error.retry_after or 1:.0f} s.")


async def describe(prices: Prices, coin: str) -> str:
    """Say what a coin costs, and since when if that is a while ago."""
    try:
        price = await usd(prices, coin)
    except UnknownCoinError:
        return f"I know no coin called {coin[:10]!r}. Try btc, eth, sol, ton or doge."
    except UnavailableError:
        return NOT_NOW
    return f"1 {coin.upper()} = {price.usd:,.2f} USD{age(price)}"


async def converted(prices: Prices, asked: str) -> str:
    """Answer `5 eth usd`."""
    try:
        amount_text, source, target = asked.lower().split()
        amount = Decimal(amount_text)
        if not amount.is_finite() or not 0 < amount < 10**12:
            raise InvalidOperation
    except (ValueError, InvalidOperation):
        return "Write it like this: /convert 5 eth usd"
    try:
        one, other = await usd(prices, source), await usd(prices, target)
    except UnknownCoinError as error:
        return f"I know no coin called {str(error)[:10]!r}."
    except UnavailableError:
        return NOT_NOW
    result = amount * one.usd / other.usd
    older = min(one, other, key=lambda price: price.at)
    return f"{amount_text} {source.upper()} = {result:,.4f} {target.upper()}{age(older)}"


async def usd(prices: Prices, coin: str) -> Price:
    """Return a price; a dollar is a dollar."""
    if coin == "usd":
        return Price(coin="usd", usd=Decimal(1), at=time.time())
    if not SYMBOL.fullmatch(coin):
        raise UnknownCoinError(coin)
    return await prices.of(coin)


def age(price: Price) -> str:
    """Say how old a price is, if it is worth saying."""
    seconds = time.time() - price.at
    return f" (as of {seconds / 60:.0f} min ago)" if seconds > FRESH else ""


def again(coin: str) -> InlineKeyboardMarkup | None:
    """Offer to ask again by a button."""
    if not SYMBOL.fullmatch(coin):
        return None
    button = InlineKeyboardButton(text="Again", callback_data=f"price:{coin}")
    return InlineKeyboardMarkup(inline_keyboard=[[button]])
