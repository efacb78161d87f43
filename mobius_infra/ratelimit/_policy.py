"""Several limits made ready to be decided by, and what is told of a decision."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Final, NamedTuple

from mobius_infra.core import Clock
from mobius_infra.ratelimit._bucket import BUCKET
from mobius_infra.ratelimit._errors import CostAboveLimitError
from mobius_infra.ratelimit._kind import EXACT, SECOND, require_whole
from mobius_infra.ratelimit._limits import Limit, Limits, limits_of
from mobius_infra.ratelimit._queue import QUEUE
from mobius_infra.ratelimit._step import DECIDE, TAKE_OF_BUCKET, written
from mobius_infra.ratelimit._table import Taken, table_for

_LONGEST: Final = 10 * 365 * 86400 * SECOND  # microseconds that anybody may wait


class Standing(NamedTuple):
    """How one limit stands.

    Attributes:
        policy: its rate, such as `100/minute`.
        limit: tokens that it gives at most at once.
        window: seconds in which they come back.
        remaining: tokens left.
        reset: seconds until all have come back.
    """

    policy: str
    limit: int
    window: float
    remaining: int
    reset: float


class Decision(NamedTuple):
    """What a limiter said.

    Attributes:
        allowed: whether the call may be made.
        retry_after: seconds until this call would pass, if nobody else asks; 0 if it may.
        delay: seconds that an allowed call waits before it is made: in a `LeakyQueue`.
        limits: how each limit stands, in the order in which they were given.
    """

    allowed: bool
    retry_after: float
    delay: float
    limits: tuple[Standing, ...]

    @property
    def tightest(self) -> Standing:
        """The limit of which least is left, by share."""
        return min(self.limits, key=lambda each: each.remaining / each.limit)

    @property
    def limit(self) -> int:
        """Tokens that the tightest limit gives at most at once."""
        return self.tightest.limit

    @property
    def remaining(self) -> int:
        """Tokens left of the tightest limit."""
        return self.tightest.remaining

    @property
    def reset(self) -> float:
        """Seconds until all tokens of the tightest limit have come back."""
        return self.tightest.reset


class Policy:
    """A set of limits that one key is held to, and their state in this process.

    Args:
        limits: what the user gave.
        max_keys: keys kept in this process at most.
        clock: its time.
    """

    __slots__ = (
        "label",
        "limits",
        "pace",
        "patience",
        "promises",
        "queued",
        "quota",
        "rules",
        "table",
        "taker",
        "words",
    )

    def __init__(self, limits: Limits, *, max_keys: int, clock: Clock) -> None:
        self.limits: Sequence[Limit] = limits_of(limits)
        rules = [limit.rule for limit in self.limits]
        self.quota = min(limit.quota for limit in self.limits)
        self.promises = all(rule.kind.promises for rule in rules)
        metered = [rule for rule in rules if rule.kind in (BUCKET, QUEUE)]
        self.queued = any(rule.kind is QUEUE for rule in rules)
        # Longer, and what is owed by then would not be exact in Lua.
        self.patience = min([_LONGEST, *(EXACT // (2 * rule.a) for rule in metered)])
        # Seconds that a token takes to come, where nothing else decides: who waits for a bucket
        # leaves it empty to the next.
        self.pace = rules[0].b / rules[0].a / SECOND if metered and len(rules) == 1 else 0.0
        self.rules = rules
        self.words = written(rules)
        self.taker = TAKE_OF_BUCKET if [rule.kind for rule in rules] == [BUCKET] else DECIDE
        # In the key: another set of limits reads another state, whose numbers mean other things.
        self.label = sha1(repr(self.words).encode(), usedforsecurity=False).hexdigest()[:8]
        self.table = table_for(rules, max_keys, clock)

    def check(self, name: str, cost: int) -> None:
        """Refuse a cost that is none, or that could never pass.

        Raises:
            ConfigurationError: if it is not a whole number of zero or more.
            CostAboveLimitError: if no wait would ever be long enough.
        """
        require_whole("cost", cost, 0)
        if cost > self.quota:
            raise CostAboveLimitError(name, cost, self.quota)

    def decision(self, taken: Taken, allowed: bool) -> Decision:
        """Return what is told of it."""
        wait = taken.wait / SECOND
        standings = tuple(
            Standing(
                str(getattr(limit, "rate", limit)), limit.quota, limit.window, left, until / SECOND
            )
            for limit, (left, until) in zip(self.limits, taken.left, strict=True)
        )
        return Decision(allowed, 0.0 if allowed else wait, wait if allowed else 0.0, standings)
