"""What a refused call gets."""

from typing import TYPE_CHECKING

from mobius_infra.core import ConfigurationError, Rejected

if TYPE_CHECKING:
    from mobius_infra.ratelimit._policy import Decision


class RateLimitedError(Rejected):
    """There were not enough tokens for the call.

    Attributes:
        name: the limiter's name.
        key: whose limit it is; empty where all calls share one.
        retry_after: seconds until this call would pass, if nobody else asks meanwhile.
        limit: tokens that the tightest limit gives at most at once.
        remaining: tokens left of it.
        reset: seconds until all have come back.
        policy: its rate, such as `100/minute`.
        decision: how every limit stands; what `headers` is made from.
    """

    def __init__(self, name: str, key: str, decision: "Decision") -> None:
        whose = f" for {key!r}" if key else ""
        super().__init__(
            f"rate limit {name!r} reached{whose}; try again in {decision.retry_after:.3g} s",
            name=name,
            retry_after=decision.retry_after,
        )
        tightest = decision.tightest
        self.key = key
        self.limit = tightest.limit
        self.remaining = tightest.remaining
        self.reset = tightest.reset
        self.policy = tightest.policy
        self.decision = decision


class CostAboveLimitError(ConfigurationError):
    """A call costs more than its limit ever gives at once: no wait would be long enough.

    Attributes:
        name: the limiter's name.
        cost: what the call costs.
        limit: the most that one call can.
    """

    def __init__(self, name: str, cost: int, limit: int) -> None:
        super().__init__("cost", cost, f"at most {limit}, all that {name!r} ever gives at once")
        self.name = name
        self.cost = cost
        self.limit = limit
