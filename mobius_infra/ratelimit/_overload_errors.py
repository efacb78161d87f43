"""What a call gets that would have made an overload worse."""

from typing import Literal

from mobius_infra.core import Rejected

Reason = Literal["full", "queue full", "waited too long", "dropped", "cancelled"]
"""No slot was free; nor a place to wait; none came free in time; CoDel thinned the queue; it was
given up from outside while it waited, as by a time-out."""


class ConcurrencyLimitError(Rejected):
    """As many calls as may be are under way.

    Attributes:
        name: the limiter's name.
        tenant: whose call it was; empty where tenants are not told apart.
        reason: `full`, `queue full`, `waited too long`, `dropped` by CoDel, or
            `cancelled`, as the cause of a cancellation while it waited.
        limit: calls at once that may be.
        waiting: calls that wait.
        retry_after: seconds in which about one call ends; None when that is not known.
    """

    def __init__(
        self,
        name: str,
        *,
        tenant: str,
        reason: Reason,
        limit: int,
        waiting: int,
        retry_after: float | None,
    ) -> None:
        whose = f" of {tenant!r}" if tenant else ""
        super().__init__(
            f"a call{whose} was refused by {name!r} ({reason}): {limit} may be under way, and "
            f"{waiting} wait",
            name=name,
            retry_after=retry_after,
        )
        self.tenant = tenant
        self.reason = reason
        self.limit = limit
        self.waiting = waiting


class LoadShedError(Rejected):
    """The process is overloaded, and others are more important.

    Attributes:
        name: the shedder's name.
        priority: of the call.
        signal: the signal that is highest.
        load: its value; 1 is as much as may be.
        retry_after: seconds until the load is looked at again.
    """

    def __init__(
        self, name: str, *, priority: str, signal: str, load: float, retry_after: float
    ) -> None:
        super().__init__(
            f"a {priority} call was shed by {name!r}: {signal} is at {load:.0%} of what may be",
            name=name,
            retry_after=retry_after,
        )
        self.priority = priority
        self.signal = signal
        self.load = load
