"""Ask an overloaded service less, before it has to say no: adaptive throttling by the client."""

import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from mobius_infra.breaker._checks import is_number, require_seconds
from mobius_infra.breaker._matching import ErrorMatch, ResultMatch, error_test, leaves, says_yes
from mobius_infra.breaker._ring import Ring
from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Event,
    Events,
    Rejected,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)

P = ParamSpec("P")
R = TypeVar("R")


class ThrottledError(Rejected):
    """A call was not made, since the service refuses too many. A fresh one for each rejection.

    Attributes:
        name: the throttle's name.
        retry_after: None: the next call may pass.
        probability: the share of calls that is rejected now.
    """

    def __init__(self, name: str, probability: float) -> None:
        super().__init__(
            f"throttle {name!r} rejects {probability:.0%} of calls: "
            "the service behind refuses too many",
            name=name,
            retry_after=None,
        )
        self.probability = probability


@dataclass(frozen=True, slots=True)
class ThrottleStats(Stats):
    """A throttle's numbers."""

    accepted: int = counter("Calls that the service accepted")
    refused: int = counter("Calls that the service refused")
    rejected: int = counter("Calls that were not made")
    probability: float = gauge("Share of calls that is rejected now")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlingBegan(Event):
    """Some calls are rejected from now on.

    Attributes:
        requests: in the window, rejected ones included.
        accepts: how many of them the service accepted.
    """

    requests: int
    accepts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlingEnded(Event):
    """All calls are made again."""


def rejection_probability(requests: int, accepts: int, k: float) -> float:
    """Return the share of calls to reject.

    Source: "Handling Overload", chapter 21 of Site Reliability Engineering (Google, 2016).
    """
    return max(0.0, (requests - k * accepts) / (requests + 1))


class Throttle(AsyncDecorator):
    """What `throttle` makes. One object serves any number of functions of one service."""

    __slots__ = (
        "_accepted", "_clock", "_draw", "_on_result", "_refused", "_refuses", "_rejected",
        "_rejecting", "_ring", "events", "k", "name",
    )  # fmt: skip

    def __init__(
        self,
        on: ErrorMatch,
        *,
        on_result: ResultMatch | None,
        k: float,
        window: float,
        name: str,
        clock: Clock | None,
        draw: Callable[[], float],
    ) -> None:
        require(is_number(k) and k >= 1, "k", k, "a number from 1 up")
        require_seconds("window", window)
        usable = on_result is None or callable(on_result)
        require(usable, "on_result", on_result, "a function, or None")
        require(bool(name), "name", name, "a name for numbers, events and errors")
        self.name = name
        self.k = k
        self.events = Events()
        self._ring = Ring(window)
        self._refuses = error_test("on", on)
        self._on_result = on_result
        self._clock = clock or SystemClock()
        self._draw = draw
        self._accepted = self._refused = self._rejected = 0
        self._rejecting = False

    def admit(self) -> None:
        """Let a call pass, or not.

        Raises:
            ThrottledError: if it should not be made.
        """
        probability = self._probability()
        if (probability > 0.0) is not self._rejecting:
            self._rejecting = not self._rejecting
            self._announce()
        if probability > 0.0 and self._draw() < probability:
            self._ring.add(1, 0)
            self._rejected += 1
            raise ThrottledError(self.name, probability)

    def settle(self, *, accepted: bool) -> None:
        """Say whether the service took the call on.

        A call counts when it ends: counted when it begins, the first calls of a slow service would
        look like refused ones.
        """
        self._ring.roll(self._clock.monotonic())
        self._ring.add(1, accepted)
        if accepted:
            self._accepted += 1
        else:
            self._refused += 1

    async def run(self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func`, if it may be called.

        Raises:
            ThrottledError: if not.
        """
        return await self._bind(func)(*args, **kwargs)

    def stats(self) -> ThrottleStats:
        """Return the numbers as they are now."""
        return ThrottleStats(
            accepted=self._accepted,
            refused=self._refused,
            rejected=self._rejected,
            probability=self._probability(),
        )

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        return wraps(func)(self._bind(func))

    def _bind(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        refuses = self._on_result

        async def throttled(*args: P.args, **kwargs: P.kwargs) -> R:
            self.admit()
            try:
                result = await func(*args, **kwargs)
            except BaseException as error:
                self._settle_error(error)
                raise
            refused = refuses is not None and says_yes("on_result", refuses, result)
            self.settle(accepted=not refused)
            return result

        return throttled

    def _probability(self) -> float:
        ring = self._ring
        ring.roll(self._clock.monotonic())
        return rejection_probability(ring.asked, ring.granted, self.k)

    def _settle_error(self, error: BaseException) -> None:
        """Count what an error means; a cancelled or rejected call says nothing of the service."""
        if not isinstance(error, Exception):
            return
        said = [each for each in leaves(error) if not isinstance(each, Rejected)]
        if said:
            self.settle(accepted=not any(map(self._refuses, said)))

    def _announce(self) -> None:
        at, ring = self._clock.time(), self._ring
        if self._rejecting:
            self.events.emit(
                ThrottlingBegan(source=self.name, at=at, requests=ring.asked, accepts=ring.granted)
            )
        else:
            self.events.emit(ThrottlingEnded(source=self.name, at=at))

    async def __aenter__(self) -> None:
        self.admit()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.settle(accepted=True)
        else:
            self._settle_error(error)

    def __repr__(self) -> str:
        return f"Throttle({self.name!r}, k={self.k:g})"


def throttle(
    on: ErrorMatch,
    *,
    on_result: ResultMatch | None = None,
    k: float = 2.0,
    window: float = 120.0,
    name: str = "throttle",
    clock: Clock | None = None,
    draw: Callable[[], float] = random.random,
) -> Throttle:
    """Reject calls here while the service there refuses most of them.

        @throttle(on=OverloadedError)
        async def price(coin: str) -> Decimal: ...

    A service that is overloaded spends its time on saying no. Each client counts what it asked for
    and what was accepted in the last two minutes, and rejects its own calls with probability
    max(0, (requests - k * accepts) / (requests + 1)), its rejections counting as requests. Unlike
    an open circuit it lets a share pass all the time, and so follows what the service can bear.

    An error that `on` does not name is an answer, and so accepted. Cancelled calls and rejections
    from further in count as neither.

    Args:
        on: the errors that mean "too much": types, or a function of the error.
        on_result: a result for which this is true means the same.
        k: calls that are let through for each accepted one. 2 lets the service see twice of what it
            accepts, and so notice soon that it is well again; less protects more.
        window: seconds that are looked back upon.
        name: labels its numbers, events and errors.
        clock: measures the window.
        draw: gives random numbers in [0, 1).

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """
    return Throttle(on, on_result=on_result, k=k, window=window, name=name, clock=clock, draw=draw)
