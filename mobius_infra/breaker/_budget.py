"""A budget of retries, shared by many functions: an outage must not multiply the traffic."""

from dataclasses import dataclass

from mobius_infra.breaker._checks import is_number, require_seconds
from mobius_infra.breaker._ring import Ring
from mobius_infra.core import (
    Clock,
    Event,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)

BATCH = 32
"""Requests that are counted before the clock is read for them."""


@dataclass(frozen=True, slots=True)
class BudgetStats(Stats):
    """A retry budget's numbers."""

    requests: int = counter("First attempts")
    withdrawn: int = counter("Retries and hedges that were allowed")
    refused: int = counter("Retries and hedges that were refused, the budget being spent")
    balance: float = gauge("Retries and hedges that would be allowed now")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudgetSpent(Event):
    """Retries are refused from now on. Said once, until one is allowed again.

    Attributes:
        requests: first attempts in the window.
        retries: retries in the window.
    """

    requests: int
    retries: int


class RetryBudget:
    """Bounds retries to a share of requests, for all who draw on it.

        budget = RetryBudget()

        @retry(on=httpx.HTTPError, budget=budget)
        async def price(coin: str) -> Decimal: ...

        @hedge(after=0.05, budget=budget)
        async def volume(coin: str) -> Decimal: ...

    Three attempts at each of three layers make 27 calls of one, just when the last layer is
    overloaded. With a budget, an outage adds a fifth to the traffic, and single failures are still
    retried. The defaults of ratio and window are those of Finagle's `RetryBudget`, whose floor is
    ten a second. gRPC (proposal A6) takes failures from a bucket that successes fill, and
    knows no time: a bucket that was emptied yesterday is still empty today. A window forgets.

    Args:
        ratio: retries allowed for each request in the window; 0 leaves only the floor.
        floor: retries allowed each second whatever the traffic, so that a quiet client can retry.
        window: seconds that are looked back upon.
        name: labels its numbers and events.
        clock: measures the window.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = (
        "_allowance", "_clock", "_refused", "_requests", "_ring", "_spent", "_unread", "_withdrawn",
        "events", "floor", "name", "ratio", "window",
    )  # fmt: skip

    def __init__(
        self,
        ratio: float = 0.2,
        *,
        floor: float = 1.0,
        window: float = 10.0,
        name: str = "retries",
        clock: Clock | None = None,
    ) -> None:
        require(is_number(ratio) and ratio >= 0, "ratio", ratio, "a number from 0 up")
        require(is_number(floor) and floor >= 0, "floor", floor, "retries a second, from 0 up")
        require_seconds("window", window)
        require(bool(name), "name", name, "a name for numbers and events")
        self.name = name
        self.ratio = ratio
        self.floor = floor
        self.window = window
        self.events = Events()
        self._allowance = floor * window
        self._clock = clock or SystemClock()
        self._ring = Ring(window)
        self._unread = 0  # requests that the ring has not been told of
        self._requests = self._withdrawn = self._refused = 0
        self._spent = False

    def request(self) -> None:
        """Count a first attempt.

        The clock is read for each 32nd, and for each retry: as many requests as that, less one,
        may be taken for newer than they are.
        """
        self._unread += 1
        if self._unread == BATCH:
            self._read()

    def withdraw(self) -> bool:
        """Take one retry from the budget; False if it is spent. Nothing is given back."""
        self._read()
        if self._left() < 1.0:
            self._refused += 1
            if not self._spent:
                self._spent = True
                self._say_spent()
            return False
        self._spent = False
        self._withdrawn += 1
        self._ring.add(0, 1)
        return True

    def stats(self) -> BudgetStats:
        """Return the numbers as they are now."""
        self._read()
        return BudgetStats(
            requests=self._requests,
            withdrawn=self._withdrawn,
            refused=self._refused,
            balance=max(self._left(), 0.0),
        )

    def _left(self) -> float:
        ring = self._ring
        # Rounded: 0.29 of 100 requests is 28.999999999999996 otherwise.
        return round(self.ratio * ring.asked + self._allowance - ring.granted, 9)

    def _read(self) -> None:
        """Bring the window up to the present."""
        self._ring.roll(self._clock.monotonic())
        self._ring.add(self._unread, 0)
        self._requests += self._unread
        self._unread = 0

    def _say_spent(self) -> None:
        self.events.emit(
            RetryBudgetSpent(
                source=self.name,
                at=self._clock.time(),
                requests=self._ring.asked,
                retries=self._ring.granted,
            )
        )

    def __repr__(self) -> str:
        return (
            f"RetryBudget({self.name!r}, ratio={self.ratio:g}, floor={self.floor:g}/s, "
            f"window={self.window:g} s)"
        )
