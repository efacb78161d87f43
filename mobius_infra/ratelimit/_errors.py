"""What a refused call gets."""

from mobius_infra.core import Rejected


class RateLimitedError(Rejected):
    """There were not enough tokens for the call.

    Attributes:
        name: the limiter's name.
        key: whose limit it is; empty where all calls share one.
        retry_after: seconds until this call would pass, if nobody else asks meanwhile.
        limit: tokens that the bucket holds at most.
        remaining: tokens that it holds now.
        reset: seconds until it is full.
    """

    def __init__(
        self,
        name: str,
        key: str,
        *,
        retry_after: float,
        limit: float,
        remaining: float,
        reset: float,
    ) -> None:
        whose = f" for {key!r}" if key else ""
        super().__init__(
            f"rate limit {name!r} reached{whose}; try again in {retry_after:.3g} s",
            name=name,
            retry_after=retry_after,
        )
        self.key = key
        self.limit = limit
        self.remaining = remaining
        self.reset = reset
