"""A block of code that has a connection."""

from types import TracebackType
from typing import Generic, Protocol, TypeVar

from mobius_infra.core import Rejected
from mobius_infra.perf._pool_errors import PoolConnectError

T = TypeVar("T")


class Lender(Protocol[T]):
    """What a block borrows from."""

    async def acquire(self, max_wait: float | None = None) -> T:
        """Lend a connection."""
        ...

    def release(self, connection: T, *, discard: bool = False) -> None:
        """Take it back."""
        ...


class Borrowed(Generic[T]):
    """A block that has a connection. Made by `Pool.connection`."""

    __slots__ = ("_connection", "_discard_on", "_max_wait", "_pool")

    def __init__(
        self,
        pool: Lender[T],
        max_wait: float | None,
        discard_on: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        self._pool = pool
        self._max_wait = max_wait
        self._discard_on = discard_on

    async def __aenter__(self) -> T:
        self._connection = await self._pool.acquire(self._max_wait)
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.release(self._connection, discard=is_doubtful(error, self._discard_on))


def is_doubtful(
    error: BaseException | None, discard_on: type[Exception] | tuple[type[Exception], ...]
) -> bool:
    """Say whether the connection of a block that ended so must not be used again.

    Interrupted in the middle of something: who knows what the server will say next.
    """
    if error is None or is_elsewhere(error):
        return False
    return not isinstance(error, Exception) or isinstance(error, discard_on)


def is_elsewhere(error: BaseException) -> bool:
    """Say whether another component refused something, such as a second pool used in the block.

    These are `OSError`s for those who catch `TimeoutError` and `ConnectionError`, but say nothing
    of the connection that the block has.
    """
    return isinstance(error, Rejected | PoolConnectError)
