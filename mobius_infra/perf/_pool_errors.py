"""Why a pool gave no connection, or took none back. Each names the pool and the borrower."""

from typing import Literal

from mobius_infra.core import MobiusError, Rejected
from mobius_infra.perf._pool_events import PoolStats
from mobius_infra.perf._pool_slot import present_borrower

Reason = Literal["full", "waited too long", "closing", "unreachable"]


class PoolTimeoutError(Rejected, TimeoutError):
    """The borrower waited as long as it may, and every connection was taken.

    Attributes:
        name: the pool's name.
        borrower: the name of the task that asked.
        retry_after: None: nobody knows when a connection will be given back.
    """

    def __init__(self, name: str, borrower: str, usage: str) -> None:
        super().__init__(
            f"pool {name!r} had no connection in time for {borrower!r}: {usage}",
            name=name,
            retry_after=None,
        )
        self.borrower = borrower


class PoolFullError(Rejected):
    """Every connection is taken, and as many wait for one as may.

    Attributes:
        name: the pool's name.
        borrower: the name of the task that asked.
        retry_after: None: nobody knows when a connection will be given back.
    """

    def __init__(self, name: str, borrower: str, usage: str) -> None:
        super().__init__(
            f"pool {name!r} let {borrower!r} not wait for a connection: {usage}",
            name=name,
            retry_after=None,
        )
        self.borrower = borrower


class PoolClosedError(Rejected):
    """The pool is being closed, or has been.

    Attributes:
        name: the pool's name.
        borrower: the name of the task that asked.
        retry_after: None: it does not open again.
    """

    def __init__(self, name: str, borrower: str) -> None:
        super().__init__(
            f"pool {name!r} is closed and gave {borrower!r} no connection",
            name=name,
            retry_after=None,
        )
        self.borrower = borrower


class PoolConnectError(MobiusError, ConnectionError):
    """There is no connection and none can be made; `__cause__` is what the last attempt raised.

    Not a rejection: something was tried and failed, and a circuit breaker should count it.

    Attributes:
        name: the pool's name.
        borrower: the name of the task that asked.
        failures: attempts to connect that failed in a row.
        retry_after: seconds until the pool tries again.
    """

    def __init__(self, name: str, borrower: str, failures: int, retry_after: float) -> None:
        super().__init__(
            f"pool {name!r} has no connection for {borrower!r}: connecting failed {failures} times "
            f"in a row; it is tried again in {retry_after:.3g} s"
        )
        self.name = name
        self.borrower = borrower
        self.failures = failures
        self.retry_after = retry_after


class PoolMisuseError(MobiusError, RuntimeError):
    """Something was given back that had not been lent.

    Attributes:
        name: the pool's name.
        borrower: the name of the task that gave it back.
        reason: what was wrong, in words.
    """

    def __init__(self, name: str, borrower: str, reason: str) -> None:
        super().__init__(f"{borrower!r} gave back to pool {name!r} a connection {reason}")
        self.name = name
        self.borrower = borrower
        self.reason = reason


def refusal(
    name: str, reason: Reason, stats: PoolStats, trouble: tuple[BaseException, float] | None
) -> Exception:
    """Return the error of a borrower that gets no connection.

    Args:
        name: the pool's name.
        reason: why it gets none.
        stats: the pool's numbers.
        trouble: what the last attempt to connect raised, and seconds until the next; None if that
            is not why.
    """
    borrower = present_borrower()
    if reason == "closing":
        return PoolClosedError(name, borrower)
    if trouble is not None and reason != "full":
        error = PoolConnectError(name, borrower, stats.failures, trouble[1])
        error.__cause__ = trouble[0]
        return error
    usage = (
        f"{stats.in_use} of {stats.max_size} are in use, {stats.connecting} being made, "
        f"{stats.waiting} wait"
    )
    kind = PoolFullError if reason == "full" else PoolTimeoutError
    return kind(name, borrower, usage)
