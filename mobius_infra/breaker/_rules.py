"""When a circuit opens, for how long, and what closes it: small frozen objects, checked."""

from dataclasses import dataclass, field

from mobius_infra.breaker._backoff import Backoff
from mobius_infra.breaker._checks import require_count, require_seconds, require_share
from mobius_infra.breaker._window import CallWindow, TimeWindow, Window
from mobius_infra.core import require


@dataclass(frozen=True, slots=True)
class Calls:
    """The rates look at the last `calls` calls.

    Raises:
        ConfigurationError: if it is not a whole number of at least 1.
    """

    calls: int

    def __post_init__(self) -> None:
        require_count("calls", self.calls)

    def window(self) -> Window:
        """Return an empty window."""
        return CallWindow(self.calls)


@dataclass(frozen=True, slots=True)
class Seconds:
    """The rates look at the last `seconds`, kept in `buckets`: more are finer, and take memory.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    seconds: float
    buckets: int = 10

    def __post_init__(self) -> None:
        require_seconds("seconds", self.seconds)
        require_count("buckets", self.buckets)

    def window(self) -> Window:
        """Return an empty window."""
        return TimeWindow(self.seconds, self.buckets)


@dataclass(frozen=True, slots=True)
class RampUp:
    """After the probes succeeded, let through a share of the calls that grows to all of them.

    A dependency that has just come back is cold: the whole traffic at once would bring it down
    again.

    Attributes:
        over: seconds from `start` to everything.
        start: the share at the beginning, in (0, 1].

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    over: float
    start: float = 0.1

    def __post_init__(self) -> None:
        require_seconds("over", self.over)
        require_share("start", self.start)

    def share(self, elapsed: float) -> float:
        """Return the share of calls to let through after `elapsed` seconds."""
        return self.start + (1.0 - self.start) * min(elapsed / self.over, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that the machine decides by. See `CircuitBreaker` for what each means.

    Raises:
        ConfigurationError: for values that can't work, alone or together.
    """

    consecutive_failures: int | None = 5
    failure_rate: float | None = 0.5
    slow_rate: float | None = None
    slow_after: float | None = None
    window: Calls | Seconds = Calls(20)
    minimum_calls: int = 10
    backoff: Backoff = field(default_factory=Backoff)
    permits: int = 1
    successes: int = 1
    probe_timeout: float = 30.0
    ramp_up: RampUp | None = None

    def __post_init__(self) -> None:
        if self.consecutive_failures is not None:
            require_count("consecutive_failures", self.consecutive_failures)
        for name in ("failure_rate", "slow_rate"):
            if getattr(self, name) is not None:
                require_share(name, getattr(self, name))
        if self.slow_after is not None:
            require_seconds("slow_after", self.slow_after)
        require(
            (self.slow_rate is None) == (self.slow_after is None),
            "slow_after", self.slow_after, "given together with slow_rate",
        )  # fmt: skip
        rules = (self.consecutive_failures, self.failure_rate, self.slow_rate)
        require(
            rules != (None, None, None),
            "failure_rate", None, "given, or another rule: a breaker needs one",
        )  # fmt: skip
        kinds = (Calls | Seconds, Backoff, RampUp | None)
        for name, kind in zip(("window", "backoff", "ramp_up"), kinds, strict=True):
            given = getattr(self, name)
            require(isinstance(given, kind), name, given, f"made by {kind}")
        for name in ("minimum_calls", "permits", "successes"):
            require_count(name, getattr(self, name))
        require(
            isinstance(self.window, Seconds) or self.minimum_calls <= self.window.calls,
            "minimum_calls", self.minimum_calls, f"at most what the window holds, {self.window}",
        )  # fmt: skip
        require_seconds("probe_timeout", self.probe_timeout)
