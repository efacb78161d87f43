"""A retry's settings, for files."""

from typing import TypedDict

from mobius_infra.breaker._backoff import Backoff
from mobius_infra.breaker._retry import WAIT
from mobius_infra.core import Config


class RetryOptions(TypedDict):
    """The keyword arguments of `retry` that a file can give."""

    name: str
    attempts: int
    wait: Backoff
    retry_after_max: float
    within: float | None


class RetryConfig(Config):
    """All that a file can say of a `retry`; the fields are its parameters.

    For example::

        prices = retry(on=httpx.TransportError, **RetryConfig.load(settings).options())

    As JSON: `{"name": "prices", "attempts": 5, "wait": {"first": 0.5, "most": 10}}`.
    """

    name: str = "retry"
    attempts: int = 3
    wait: Backoff = WAIT
    retry_after_max: float = 60.0
    within: float | None = None

    def options(self) -> RetryOptions:
        """Return the keyword arguments of `retry`."""
        return RetryOptions(
            name=self.name,
            attempts=self.attempts,
            wait=self.wait,
            retry_after_max=self.retry_after_max,
            within=self.within,
        )
