"""What the bot knows of prices: one function, protected by stacking decorators."""

import re
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Never

import aiohttp
from pydantic import BaseModel

from mobius_infra.breaker import Resilient
from mobius_infra.cache import Cache
from mobius_infra.core import Rejected

UNAVAILABLE = (aiohttp.ClientError, TimeoutError, Rejected)


class Price(BaseModel):
    """What a coin cost in US dollars at a time, in seconds since the epoch."""

    coin: str
    usd: Decimal
    at: float


PriceOf = Callable[[str], Awaitable[Price]]


class UnknownCoinError(Exception):
    """The upstream does not know the coin: an answer, not a failure."""


def make_price(
    session: aiohttp.ClientSession, url: str, cache: Cache, guard: Resilient[Never]
) -> PriceOf:
    """Make the function that asks the upstream at `url` for a coin's price.

    It raises `UnknownCoinError`, or one of `UNAVAILABLE` if there is not even an old price.
    """

    @cache.cached(key="{coin}", tags=["coin:{coin}"], type_=Price)
    @guard
    async def price(coin: str) -> Price:
        async with session.get(f"{url}/price/{coin}") as response:
            if response.status == 404:
                raise UnknownCoinError(coin)
            response.raise_for_status()
            return Price.model_validate_json(await response.read())

    async def price_of(coin: str) -> Price:
        if coin == "usd":
            return Price(coin="usd", usd=Decimal(1), at=time.time())
        if not re.fullmatch("[a-z0-9]{2,10}", coin):
            raise UnknownCoinError(coin)
        return await price(coin)

    return price_of
