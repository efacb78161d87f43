"""Ask a second time when the answer is late, and take whichever comes first."""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial, wraps
from types import CoroutineType
from typing import Any, ParamSpec, TypedDict, TypeVar

from mobius_infra.breaker._breaker import CircuitBreaker
from mobius_infra.breaker._budget import RetryBudget
from mobius_infra.breaker._checks import is_number, require_count, require_share
from mobius_infra.breaker._deadline import remaining
from mobius_infra.breaker._latency import Latency
from mobius_infra.breaker._race import Race
from mobius_infra.breaker._scope import as_coroutine, resume
from mobius_infra.breaker._state import State
from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Config,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("mobius_infra.breaker")

REFRESH = 32
"""Calls after which a measured delay is computed anew."""


@dataclass(frozen=True, slots=True)
class Percentile:
    """A delay that is measured: what this share of the calls take at most.

    Attributes:
        share: of the calls, in (0, 1); 0.95 asks a second time for one call in twenty.
        minimum: calls that must have been measured before any is hedged.
    """

    share: float = 0.95
    minimum: int = 100

    def __post_init__(self) -> None:
        require_share("share", self.share)
        require(self.share < 1, "share", self.share, "below 1, or no call would be hedged")
        require_count("minimum", self.minimum)


@dataclass(frozen=True, slots=True)
class HedgeStats(Stats):
    """A hedge's numbers."""

    calls: int = counter("Calls, each of one attempt or more")
    attempts: int = counter("Attempts after the first")
    won: int = counter("Calls that an attempt after the first answered")
    withheld: Mapping[str, int] = counter("Attempts that were not made", label="reason")
    delay: float = gauge("Seconds before another attempt; infinite while it is not known")


class HedgeOptions(TypedDict):
    """What `HedgeConfig.options` returns."""

    after: float | Percentile
    most: int
    name: str


class HedgeConfig(Config):
    """All that a file can say of a `hedge`; the fields are its parameters.

    For example::

        late = hedge(**HedgeConfig.load(settings).options(), budget=budget)

    As JSON: `{"name": "search", "after": {"share": 0.95}}`, or `"after": 0.05`.
    """

    after: float | Percentile
    most: int = 1
    name: str = "hedge"

    def options(self) -> HedgeOptions:
        """Return the keyword arguments of `hedge`."""
        return HedgeOptions(after=self.after, most=self.most, name=self.name)


class Hedge(AsyncDecorator):
    """Further attempts at calls that are late. Made by `hedge`, which describes its settings."""

    __slots__ = (
        "_after", "_attempts", "_calls", "_clock", "_delay", "_latency", "_most",
        "_unread", "_when", "_withheld", "_won", "budget", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        after: float | Percentile,
        *,
        most: int,
        budget: RetryBudget,
        when: Callable[[], bool] | None,
        name: str,
        clock: Clock,
    ) -> None:
        self.name = name
        self.events = Events()  # a hedge has no state that could change: nothing is emitted
        self._after = after
        self._most = most
        self.budget = budget
        self._when = when
        self._clock = clock
        self._latency = Latency()
        self._unread = 0  # durations since the delay was computed
        self._delay = None if isinstance(after, Percentile) else after
        self._calls = self._attempts = self._won = 0
        self._withheld = {"budget spent": 0, "not allowed": 0, "deadline": 0}

    def stats(self) -> HedgeStats:
        """Return the numbers as they are now."""
        return HedgeStats(
            calls=self._calls,
            attempts=self._attempts,
            won=self._won,
            withheld=dict(self._withheld),
            delay=float("inf") if self._delay is None else self._delay,
        )

    async def run(self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func`, and once more if the answer is late."""
        return await self._wrap(func)(*args, **kwargs)

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        return self.wrap_when(func)

    def wrap_when(
        self,
        func: Callable[P, Awaitable[R]],
        may: Callable[P, bool] | None = None,
        *,
        counts: bool = True,
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Decorate `func`. For `resilient`.

        Args:
            func: the function.
            may: asked before a further attempt, with the call's arguments.
            counts: whether to count the call in the budget.
        """
        request = self.budget.request if counts else _nothing
        may = may or _always
        monotonic = self._clock.monotonic

        @wraps(func)
        async def hedged(*args: P.args, **kwargs: P.kwargs) -> R:
            self._calls += 1
            request()
            context = copy_context()  # before the first attempt changes anything in it
            made = func(*args, **kwargs)
            first = made if type(made) is CoroutineType else as_coroutine(made)
            try:
                waits_for = first.send(None)
            except StopIteration as done:
                result: R = done.value
                return result
            if self._delay is None:
                return await resume(first, waits_for)
            race = Race(
                partial(_attempt, func, args, kwargs),
                partial(self._may_begin, partial(may, *args, **kwargs)),
                delay=self._delay,
                most=self._most,
                context=context,
                clock=self._clock,
                name=self.name,
            )
            try:
                return await race.run(first, waits_for)
            finally:
                self._won += race.won_by_another

        if not isinstance(self._after, Percentile):
            return hedged
        after = self._after

        @wraps(func)
        async def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            started = monotonic()
            # A first attempt that lost counts as what it had taken by then. Without the slowest,
            # the percentile would creep down, and ever more calls would be hedged.
            result = await hedged(*args, **kwargs)
            self._measure(monotonic() - started, after)
            return result

        return measured

    def _measure(self, seconds: float, after: Percentile) -> None:
        self._latency.add(seconds)
        self._unread += 1
        if self._unread >= REFRESH and self._latency.total >= after.minimum:
            self._unread = 0
            self._delay = self._latency.percentile(after.share)

    def _may_begin(self, may: Callable[[], bool]) -> bool:
        if remaining() <= 0:
            reason = "deadline"
        elif not self._is_allowed(may):
            reason = "not allowed"
        elif not self.budget.withdraw():
            reason = "budget spent"
        else:
            self._attempts += 1
            return True
        self._withheld[reason] += 1
        return False

    def _is_allowed(self, may: Callable[[], bool]) -> bool:
        try:
            return may() and (self._when is None or bool(self._when()))
        except Exception:
            log.exception("when of hedge %r failed", self.name)
            return False

    def __repr__(self) -> str:
        return f"Hedge({self.name!r}, after={self._after!r}, most={self._most})"


def _nothing() -> None:
    """Count nothing."""


def _always(*_: object, **__: object) -> bool:
    return True


async def _attempt(
    func: Callable[P, Awaitable[R]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> R:
    return await func(*args, **kwargs)


def hedge(
    after: float | Percentile,
    *,
    most: int = 1,
    budget: RetryBudget | None = None,
    breaker: CircuitBreaker | None = None,
    when: Callable[[], bool] | None = None,
    name: str = "hedge",
    clock: Clock | None = None,
) -> Hedge:
    """Ask a second time when the answer is late, and take whichever comes first.

        @hedge(after=Percentile(0.95), budget=budget, breaker=upstream)
        async def price(coin: str) -> Decimal: ...

    It cuts the tail of the latency for little more traffic (Dean and Barroso, "The tail at scale",
    2013). Hedge only what may safely be done twice, at the same time: reading, and writing what is
    the same however often it is written.

    The first attempt runs in the caller's task, as without a hedge; a further one runs in a task
    of its own, in a copy of the context that the call began in. The first success wins; the others
    are cancelled, and the call waits until they have ended. An attempt that fails starts no other:
    it was not late, and `retry` is for what fails. While another is under way its failure is kept
    back, and if none succeeds the first's error is raised, with the others' as notes. Cancellation
    from outside ends all attempts.

    Args:
        after: seconds without an answer before another attempt is made, or a `Percentile` that is
            measured.
        most: attempts after the first, each `after` the one before.
        budget: what further attempts are drawn from, shared with `retry`; by default one of its
            own, which allows a fifth of the calls to be hedged.
        breaker: none is made while this circuit is not closed.
        when: none is made unless this says so, or if it raises.
        name: labels its numbers and notes.
        clock: measures the delay.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """
    require(bool(name), "name", name, "a name for numbers and notes")
    require_count("most", most)
    if not isinstance(after, Percentile):
        good = is_number(after) and after > 0
        require(good, "after", after, "a positive number of seconds, or a Percentile")
    for field, given, kind, what in (
        ("budget", budget, RetryBudget, "a RetryBudget"),
        ("breaker", breaker, CircuitBreaker, "a CircuitBreaker"),
    ):
        require(given is None or isinstance(given, kind), field, given, f"{what}, or None")
    require(when is None or callable(when), "when", when, "a function, or None")
    return Hedge(
        after,
        most=most,
        budget=budget or RetryBudget(name=name, clock=clock),
        when=_both(breaker, when),
        name=name,
        clock=clock or SystemClock(),
    )


def _both(
    breaker: CircuitBreaker | None, when: Callable[[], bool] | None
) -> Callable[[], bool] | None:
    if breaker is None:
        return when
    return lambda: breaker.state is State.CLOSED and (when is None or when())
