"""Which of several servers has something wrong with it: put out of use for a while, then tried.

After Envoy's outlier detection: consecutive errors, or the failure rate of an interval; the time
out of use grows with each ejection; at most a share of the servers is out at once, since a fault of
all is not a fault of any.
"""

from dataclasses import dataclass

from mobius_infra.core import require
from mobius_infra.perf._pool_settings import is_number, require_count, require_seconds


@dataclass(frozen=True, slots=True)
class Outliers:
    """When a server is put out of use, and for how long.

    Attributes:
        errors: failures in a row.
        failure_rate: failures by calls in one interval, if there were `least_calls`.
        least_calls: calls below which a rate says nothing.
        interval: seconds over which a rate is counted, and after which, if all is well, an earlier
            ejection is forgotten.
        first: seconds out of use; the second time twice as long, the third time three times.
        most: seconds that it is never out of use for longer than.
        share: of the servers that may be out of use at once.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    errors: int = 5
    failure_rate: float = 0.5
    least_calls: int = 20
    interval: float = 10.0
    first: float = 10.0
    most: float = 300.0
    share: float = 0.5

    def __post_init__(self) -> None:
        require_count("errors", self.errors, 1)
        require_count("least_calls", self.least_calls, 1)
        for field in ("interval", "first", "most"):
            require_seconds(field, getattr(self, field))
        require(self.most >= self.first, "most", self.most, "at least first")
        for field in ("failure_rate", "share"):
            value = getattr(self, field)
            require(is_number(value) and 0 < value <= 1, field, value, "a share in (0, 1]")

    def room(self, ejected: int, servers: int) -> bool:
        """Say whether one more of so many may be put out of use."""
        return ejected + 1 <= self.share * servers


class Record:
    """What is known of one server. Pure: outcomes and time are passed in."""

    __slots__ = (
        "_calls", "_failures", "_good_since", "_in_a_row", "_rules", "_since", "ejections", "until",
    )  # fmt: skip

    def __init__(self, rules: Outliers, now: float) -> None:
        self._rules = rules
        self._in_a_row = self._calls = self._failures = 0
        self._since = self._good_since = now
        self.ejections = 0
        self.until: float | None = None  # out of use until then

    def returns(self, now: float) -> bool:
        """Put it in use again if its time is over; say whether this was the moment."""
        if self.until is None or now < self.until:
            return False
        self.until = None
        self._begin_interval(now)
        self._good_since = now
        # On probation: one failure more, and it is out again, for longer.
        self._in_a_row = self._rules.errors - 1
        return True

    def succeeded(self, now: float) -> None:
        """Note a call that went well."""
        if now - self._since >= self._rules.interval:
            self._begin_interval(now)
        self._calls += 1
        self._in_a_row = 0
        if self.ejections and now - self._good_since >= self._rules.interval:
            self.ejections -= 1
            self._good_since = now

    def failed(self, now: float) -> str:
        """Note a call that failed; say why the server should be ejected, or nothing."""
        rules = self._rules
        if now - self._since >= rules.interval:
            self._begin_interval(now)
        self._calls += 1
        self._failures += 1
        self._in_a_row += 1
        self._good_since = now
        if self.until is not None:
            return ""  # of a call that began before
        if self._in_a_row >= rules.errors:
            return f"{self._in_a_row} failures in a row"
        rate = self._failures / self._calls
        if self._calls >= rules.least_calls and rate >= rules.failure_rate:
            return f"{self._failures} of {self._calls} calls failed"
        return ""

    def eject(self, now: float) -> float:
        """Put it out of use; return for how many seconds."""
        self.ejections += 1
        seconds = min(self._rules.first * self.ejections, self._rules.most)
        self.until = now + seconds
        return seconds

    def _begin_interval(self, now: float) -> None:
        self._since = now
        self._calls = self._failures = 0
