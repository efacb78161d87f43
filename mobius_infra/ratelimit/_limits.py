"""The limits that users write. Each states what it promises; `_step.py` decides by them."""

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final, Literal, Protocol, Self

from mobius_infra.core import ConfigurationError, require
from mobius_infra.ratelimit._bucket import BUCKET
from mobius_infra.ratelimit._fixed import FIXED
from mobius_infra.ratelimit._kind import EXACT, SECOND, Kind, Rule, require_fit, require_whole
from mobius_infra.ratelimit._log import LOG
from mobius_infra.ratelimit._queue import QUEUE
from mobius_infra.ratelimit._rate import Rate, parse_rates
from mobius_infra.ratelimit._sliding import SLIDING


class Limit(Protocol):
    """What a limiter asks of a limit."""

    @property
    def rule(self) -> Rule:
        """The algorithm and its parameters."""
        ...

    @property
    def quota(self) -> int:
        """The most that one call can cost, and what `remaining` counts down from."""
        ...

    @property
    def window(self) -> float:
        """Seconds in which the quota comes back."""
        ...

    def shared(self, parts: int) -> Self:
        """Return one of `parts` equal shares of it."""
        ...


class _Limit:
    """A rate and a quota, by one algorithm."""

    kind: ClassVar[Kind]
    __slots__ = ("quota", "rate", "rule")

    def __init__(self, rate: Rate, quota: int, a: int, b: int, c: int) -> None:
        self.rate = rate
        self.quota = quota
        self.rule = Rule(self.kind, a, b, c)

    @property
    def window(self) -> float:
        """Seconds in which the quota comes back."""
        return self.quota / self.rate.per_second

    def shared(self, parts: int) -> Self:
        """Return one of `parts` equal shares: of the rate, and of the quota, which is at least 1.

        What is less than one for each comes once in so much longer a period.
        """
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Limit) and (self.rule, self.quota) == (other.rule, other.quota)

    def __hash__(self) -> int:
        return hash((self.rule, self.quota))


class TokenBucket(_Limit):
    """Tokens come at a rate and may be saved up; a call takes its cost, or is refused.

    In any stretch of w seconds at most `burst + rate * w` pass, and who keeps to the rate always
    passes. To keep to an upstream's "N in any w seconds", choose `burst + rate * w` at most N, or
    use `SlidingWindowLog`.

    Args:
        rate: tokens a second, or text such as `100/minute`.
        burst: tokens that may be saved up: the most that pass at once. By default what comes in
            the rate's own period (100 of `100/minute`), at least one.

    Raises:
        ConfigurationError: for a rate that is not positive, a burst that is not a whole number of
            at least 1, or numbers too large to be exact.
    """

    __slots__ = ()
    kind = BUCKET

    def __init__(self, rate: Rate | float | str, burst: int | None = None) -> None:
        exact = Rate.of(rate)
        if burst is None:
            burst = self._burst_of(exact, rate)
        require_whole("burst", burst)
        count, period = exact.lowest
        require_fit("rate", rate, count, period)
        require_fit("burst", burst, burst * period)
        super().__init__(exact, burst, count, period, burst * period)

    @staticmethod
    def _burst_of(exact: Rate, rate: Rate | float | str) -> int:
        # A number has no period of its own but the second.
        return exact.amount if isinstance(rate, Rate | str) else max(int(rate), 1)

    @property
    def burst(self) -> int:
        """Tokens that may be saved up."""
        return self.quota

    def shared(self, parts: int) -> Self:
        return type(self)(self.rate.shared(parts), max(self.quota // parts, 1))

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.rate}', burst={self.quota})"


class GCRA(TokenBucket):
    """The generic cell rate algorithm: calls evenly spaced, unless a burst is allowed.

    As `TokenBucket`, with the burst that the algorithm begins with: one. In any stretch of w
    seconds at most `burst + rate * w` pass.

    Args:
        rate: calls a second, or text such as `100/minute`.
        burst: how many may come at once.
    """

    __slots__ = ()

    @staticmethod
    def _burst_of(exact: Rate, rate: Rate | float | str) -> int:
        return 1


class LeakyBucket(TokenBucket):
    """A bucket that leaks at a rate; a call pours its cost in, or is refused if it would overflow.

    As a meter: what fits passes at once. It decides as a `TokenBucket` does whose burst is the
    capacity: in any stretch of w seconds at most `capacity + rate * w` pass.

    Args:
        rate: tokens that leak a second, or text such as `100/minute`.
        capacity: tokens that it holds; by default as the burst of a `TokenBucket`.
    """

    __slots__ = ()

    def __init__(self, rate: Rate | float | str, capacity: int | None = None) -> None:
        if capacity is not None:
            require_whole("capacity", capacity)
        super().__init__(rate, capacity)

    def __repr__(self) -> str:
        return f"LeakyBucket('{self.rate}', capacity={self.quota})"


class LeakyQueue(_Limit):
    """A bucket that leaks at a rate, as a queue: bursts come in, an even stream goes out.

    A call is told how long to wait (`Decision.delay`; a decorated one waits by itself), so that in
    any stretch of w seconds at most one call and `rate * w` tokens go out. A call is refused that
    would find more than `capacity` tokens before it.

    Args:
        rate: tokens a second, or text such as `10/second`.
        capacity: tokens that may be in the queue before a call; also the most that one costs. By
            default what goes out in the rate's own period.
    """

    __slots__ = ("capacity",)
    kind = QUEUE

    def __init__(self, rate: Rate | float | str, capacity: int | None = None) -> None:
        exact = Rate.of(rate)
        if capacity is None:
            capacity = exact.amount
        require_whole("capacity", capacity)
        count, period = exact.lowest
        require_fit("rate", rate, count, period)
        require_fit("capacity", capacity, 2 * capacity * period)
        self.capacity = capacity
        super().__init__(exact, capacity, count, period, capacity * period // count)

    def shared(self, parts: int) -> Self:
        return type(self)(self.rate.shared(parts), max(self.quota // parts, 1))

    def __repr__(self) -> str:
        return f"LeakyQueue('{self.rate}', capacity={self.capacity})"


class _Window(_Limit):
    """So many in a window."""

    __slots__ = ()

    def __init__(self, rate: Rate | str) -> None:
        if not isinstance(rate, Rate | str):
            allowed = "text such as 100/minute: a window needs a length"
            raise ConfigurationError("rate", rate, allowed)
        exact = Rate.of(rate)
        tick = self._tick(exact)
        require_fit("rate", rate, exact.amount, exact.micros)
        super().__init__(exact, exact.amount, exact.amount, exact.micros, tick)

    @staticmethod
    def _tick(rate: Rate) -> int:
        return 1

    @property
    def window(self) -> float:
        return self.rate.micros / SECOND

    def shared(self, parts: int) -> Self:
        return type(self)(self.rate.shared(parts))

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.rate}')"


class FixedWindow(_Window):
    """So many in each window; windows begin at the multiples of their length since the epoch.

    At most the limit passes in each of these windows. A stretch of the same length across a border
    may see twice the limit. Cheapest of all, and the one to use for quotas "a day" that people
    expect back at midnight (UTC).

    Args:
        rate: text such as `1000/day`.
    """

    __slots__ = ()
    kind = FIXED


class SlidingWindowCounter(_Window):
    """So many in the last window, estimated from two counters.

    At most the limit passes in each aligned window; **at most twice the limit in any stretch of the
    window's length**, and that does happen: a whole limit at the end of one window, and another
    spread over the next. A caller's rate over time never exceeds limit / window.

    Args:
        rate: text such as `100/minute`.
    """

    __slots__ = ()
    kind = SLIDING

    @staticmethod
    def _tick(rate: Rate) -> int:
        for tick in (1, SECOND // 1000, SECOND):
            if rate.micros % tick == 0 and rate.amount * (rate.micros // tick) < EXACT:
                return tick
        allowed = "small enough: limit times period, in seconds, under 2^52"
        raise ConfigurationError("rate", str(rate), allowed)


class SlidingWindowLog(_Window):
    """So many in any stretch of the window's length, exactly: each call is remembered.

    At most the limit passes in any window, wherever it begins (one end included). It keeps two
    numbers for each call in the window.

    Args:
        rate: text such as `20/minute`.
    """

    __slots__ = ()
    kind = LOG


def parse_limits(text: str, algorithm: Callable[[Rate], Limit] = TokenBucket) -> Sequence[Limit]:
    """Read several limits at once: `parse_limits("5/second; 100/minute", SlidingWindowLog)`.

    Args:
        text: rates separated by semicolons or commas.
        algorithm: what each of them becomes.

    Raises:
        ConfigurationError: naming the part that can't be read.
    """
    return [algorithm(rate) for rate in parse_rates(text)]


Algorithm = Literal[
    "token_bucket",
    "gcra",
    "leaky_bucket",
    "leaky_queue",
    "fixed_window",
    "sliding_window_counter",
    "sliding_window_log",
]
# Any number of arguments: those of each.
ALGORITHMS: Final[dict[Algorithm, Callable[..., Limit]]] = {
    "token_bucket": TokenBucket,
    "gcra": GCRA,
    "leaky_bucket": LeakyBucket,
    "leaky_queue": LeakyQueue,
    "fixed_window": FixedWindow,
    "sliding_window_counter": SlidingWindowCounter,
    "sliding_window_log": SlidingWindowLog,
}
BUCKETS: Final = ("token_bucket", "gcra", "leaky_bucket", "leaky_queue")
"""Those that take a burst, or a capacity."""

Limits = Limit | str | Iterable[Limit | str]
"""What a limiter takes: one limit, several, or a text of them, as token buckets."""


def limits_of(given: Limits) -> tuple[Limit, ...]:
    """Return what was given as limits that can be held to together.

    Raises:
        ConfigurationError: if there is none, if one is not a limit, or if they don't go together.
    """
    several = [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    found: list[Limit] = []
    for each in several:
        found += parse_limits(each) if isinstance(each, str) else [each]
    require(bool(found), "limit", given, "at least one limit")
    for each in found:
        rule = getattr(each, "rule", None)
        require(isinstance(rule, Rule), "limit", each, "a limit such as TokenBucket('5/second')")
    rules = [each.rule for each in found]
    patience = max(rule.c if rule.kind is QUEUE else 0 for rule in rules)
    if patience:
        # What goes out later than now can't be counted by who only knows the present window.
        promises = all(rule.kind.promises for rule in rules)
        require(promises, "limit", given, "a LeakyQueue with limits that are not counted windows")
        fits = all(patience * rule.a < EXACT for rule in rules if rule.kind in (BUCKET, QUEUE))
        require(fits, "limit", given, "a LeakyQueue short enough for the other limits' rates")
    return tuple(found)
