"""One pool over several servers: load spread evenly, bad servers left out, no proxy between."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from mobius_infra.core import Clock, Event, Events, Stats, SystemClock, counter, gauge, require
from mobius_infra.perf._balance import less_loaded, nearby, order_for
from mobius_infra.perf._outlier import Outliers, Record
from mobius_infra.perf._pool import Pool
from mobius_infra.perf._pool_block import is_doubtful, is_elsewhere
from mobius_infra.perf._pool_errors import PoolConnectError, PoolFullError
from mobius_infra.perf._pool_settings import is_number

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[T]):
    """A server among several.

    Attributes:
        pool: the connections to it; its name is the server's.
        weight: how much it can do, compared with the others.
        zone: where it is.
    """

    pool: Pool[T]
    weight: float = 1.0
    zone: str = ""

    def __post_init__(self) -> None:
        good = is_number(self.weight) and self.weight > 0
        require(good, "weight", self.weight, "a positive number")

    @property
    def name(self) -> str:
        """The server's name."""
        return self.pool.name

    @property
    def load(self) -> int:
        """How many have a connection, or wait for one."""
        return self.pool.load


@dataclass(frozen=True, slots=True)
class BalancedStats(Stats):
    """The numbers of a pool over several servers."""

    lent: Mapping[str, int] = counter("Connections lent, by server", label="server")
    failures: Mapping[str, int] = counter("Calls that failed, by server", label="server")
    failovers: int = counter("Borrowers that got a connection only from another server")
    load: Mapping[str, int] = gauge("Borrowers that have one or wait, by server", label="server")
    ejected: Mapping[str, int] = gauge("Whether it is out of use, by server", label="server")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointEjected(Event):
    """A server was put out of use.

    Attributes:
        endpoint: its name.
        reason: why.
        seconds: for how long.
    """

    endpoint: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReturned(Event):
    """A server is in use again.

    Attributes:
        endpoint: its name.
    """

    endpoint: str


class BalancedPool(Generic[T]):
    """Several pools as one.

        async with BalancedPool("replicas", [Endpoint(east, zone="e"), Endpoint(west)]) as pool:
            async with pool.connection() as connection: ...

    A borrower is sent to the less loaded of two servers drawn by weight. One that can't be reached,
    or is full, is passed over for another. One that fails too often is put out of use for a while,
    and then tried.

    Args:
        name: labels its numbers and events.
        endpoints: the servers.
        zone: where this process is: servers there are preferred as long as enough of them work.
        outliers: when a server is put out of use.
        failed_on: errors of a block that are the server's fault; others say nothing about it.
        clock: measures all durations.
        draw: gives random numbers in [0, 1).

    Raises:
        ConfigurationError: for no servers, or two of one name.
    """

    __slots__ = (
        "_clock", "_draw", "_endpoints", "_failed_on", "_failovers", "_failures", "_lent",
        "_outliers", "_records", "_zone", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        endpoints: Sequence[Endpoint[T]],
        *,
        zone: str = "",
        outliers: Outliers | None = None,
        failed_on: type[Exception] | tuple[type[Exception], ...] = OSError,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        names = [endpoint.name for endpoint in endpoints]
        require(bool(name), "name", name, "a name for numbers and events")
        require(bool(names), "endpoints", names, "at least one server")
        require(len(set(names)) == len(names), "endpoints", names, "servers of different names")
        self.name = name
        self.events = Events()
        self._endpoints = list(endpoints)
        self._zone = zone
        self._outliers = outliers or Outliers()
        self._failed_on = failed_on
        self._clock = clock or SystemClock()
        self._draw = draw
        now = self._clock.monotonic()
        self._records = {each: Record(self._outliers, now) for each in names}
        self._lent = dict.fromkeys(names, 0)
        self._failures = dict.fromkeys(names, 0)
        self._failovers = 0

    def connection(
        self, *, key: str | None = None, max_wait: float | None = None
    ) -> "BalancedBlock[T]":
        """Return a context manager that has a connection for a block.

        Args:
            key: what it is about: the same key goes to the same server while that is in use.
            max_wait: seconds to wait at most; None: as the servers' pools do.
        """
        return BalancedBlock(self, key, max_wait)

    async def borrow(self, key: str | None, max_wait: float | None) -> tuple[Endpoint[T], T]:
        """Get a connection from the first server that has one."""
        left = self._endpoints
        while True:
            endpoint = self._choose(left, key)
            try:
                connection = await endpoint.pool.acquire(max_wait)
            except (PoolConnectError, PoolFullError) as error:
                if isinstance(error, PoolConnectError):
                    self.failed(endpoint)
                left = [each for each in left if each is not endpoint]
                if not left:
                    raise
            else:
                self._lent[endpoint.name] += 1
                self._failovers += len(left) < len(self._endpoints)
                return endpoint, connection

    def _choose(self, among: Sequence[Endpoint[T]], key: str | None) -> Endpoint[T]:
        now = self._clock.monotonic()
        for name, record in self._records.items():
            if record.returns(now):
                at = self._clock.time()
                self.events.emit(EndpointReturned(source=self.name, at=at, endpoint=name))
        # If none is in use, any: a bad answer is better than none.
        usable = [each for each in among if self._records[each.name].until is None] or among
        if key is not None:
            return order_for(key, usable)[0]
        return less_loaded(nearby(usable, self._endpoints, self._zone, self._draw), self._draw)

    def succeeded(self, endpoint: Endpoint[T]) -> None:
        """Note a call that went well."""
        self._records[endpoint.name].succeeded(self._clock.monotonic())

    def failed(self, endpoint: Endpoint[T]) -> None:
        """Note a call that failed, and put the server out of use if that was too often."""
        self._failures[endpoint.name] += 1
        record, now = self._records[endpoint.name], self._clock.monotonic()
        reason = record.failed(now)
        ejected = sum(each.until is not None for each in self._records.values())
        if reason and self._outliers.room(ejected, len(self._endpoints)):
            event = EndpointEjected(
                source=self.name, at=self._clock.time(), endpoint=endpoint.name, reason=reason,
                seconds=record.eject(now),
            )  # fmt: skip
            self.events.emit(event)

    def is_fault(self, error: BaseException) -> bool:
        """Say whether an error is a server's fault."""
        return isinstance(error, self._failed_on) and not is_elsewhere(error)

    def stats(self) -> BalancedStats:
        """Return the numbers as they are now."""
        return BalancedStats(
            lent=dict(self._lent),
            failures=dict(self._failures),
            failovers=self._failovers,
            load={each.name: each.load for each in self._endpoints},
            ejected={name: int(each.until is not None) for name, each in self._records.items()},
        )

    async def close(self, timeout: float = 10.0) -> None:
        """Close the servers' pools, all at once; see `Pool.close`."""
        await asyncio.gather(*(each.pool.close(timeout) for each in self._endpoints))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        out = [name for name, record in self._records.items() if record.until is not None]
        ejected = f", out of use: {', '.join(out)}" if out else ""
        return f"BalancedPool({self.name!r}, {len(self._endpoints)} servers{ejected})"


class BalancedBlock(Generic[T]):
    """A block that has a connection to one of several servers. Made by `connection`."""

    __slots__ = ("_connection", "_endpoint", "_key", "_max_wait", "_pool")

    def __init__(self, pool: BalancedPool[T], key: str | None, max_wait: float | None) -> None:
        self._pool = pool
        self._key = key
        self._max_wait = max_wait

    async def __aenter__(self) -> T:
        self._endpoint, self._connection = await self._pool.borrow(self._key, self._max_wait)
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._pool.succeeded(self._endpoint)
        elif self._pool.is_fault(error):
            self._pool.failed(self._endpoint)
        pool = self._endpoint.pool
        pool.release(self._connection, discard=is_doubtful(error, pool.discard_on))
