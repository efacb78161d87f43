"""A breaker's settings, for files."""

from typing import Unpack

from mobius_infra.breaker._backoff import Backoff
from mobius_infra.breaker._policy import CodeOptions, ModeName, Options
from mobius_infra.breaker._rules import Calls, RampUp, Seconds
from mobius_infra.core import Config


class BreakerConfig(Config):
    """All that a file can say of a `CircuitBreaker`; the fields are its parameters.

    As JSON: `{"name": "prices", "window": {"seconds": 30}, "backoff": {"first": 0.5, "most": 10}}`.
    """

    name: str
    consecutive_failures: int | None = 5
    failure_rate: float | None = 0.5
    slow_rate: float | None = None
    slow_after: float | None = None
    window: Calls | Seconds = Calls(20)
    minimum_calls: int = 10
    backoff: Backoff = Backoff()
    permits: int = 1
    successes: int = 1
    probe_timeout: float = 30.0
    ramp_up: RampUp | None = None
    mode: ModeName = "enabled"

    def options(self, **code: Unpack[CodeOptions]) -> Options:
        """Return the keyword arguments of `CircuitBreaker`, with those that only code can give."""
        return Options(
            consecutive_failures=self.consecutive_failures,
            failure_rate=self.failure_rate,
            slow_rate=self.slow_rate,
            slow_after=self.slow_after,
            window=self.window,
            minimum_calls=self.minimum_calls,
            backoff=self.backoff,
            permits=self.permits,
            successes=self.successes,
            probe_timeout=self.probe_timeout,
            ramp_up=self.ramp_up,
            mode=self.mode,
            **code,
        )
