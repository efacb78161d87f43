"""What the bot knows of prices: one function, protected by stacking decorators."""

from decimal import Decimal

import aiohttp
from pydantic import BaseModel

from mobius_infra.breaker import CircuitBreaker
from mobius_infra.cache import Cache
from mobius_infra.core import Rejected


class Price(BaseModel):
    """A coin's price.

    Attributes:
        coin: its symbol, in small letters.
        usd: what one costs in US dollars.
        at: when it was so, in seconds since the epoch.
    """

    coin: str
    usd: Decimal
    at: float


class UnknownCoinError(Exception):
    """The upstream does not know the coin: an answer, not a failure."""


class UnavailableError(Exception):
    """There is no price: the upstream does not answer, and the cache has nothing old either."""


class Prices:
    """Prices from the upstream: cached, and asked for only while the circuit is closed."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, cache: Cache, breaker: CircuitBreaker
    ) -> None:

        @cache.cached(key="{coin}", tags=["coin:{coin}"], type_=Price)
        @breaker
        async def fetch(coin: str) -> Price:
            async with session.get(f"{url}/price/{coin}") as response:
                if response.status == 404:
                    raise UnknownCoinError(coin)
                response.raise_for_status()
                return Price.model_validate_json(await response.read())

        self._fetch = fetch

    async def of(self, coin: str) -> Price:
        """Return the price of a coin, which may be an old one while the upstream is down.

        Raises:
            UnknownCoinError: if the upstream knows no such coin.
            UnavailableError: if there is no price at all.
        """
        try:
            return await self._fetch(coin)
        except (aiohttp.ClientError, TimeoutError, Rejected) as error:
            raise UnavailableError(coin) from error
