"""Circuits shared by processes: what enough of them find broken opens for all."""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4
from weakref import WeakSet, ref

from mobius_infra.breaker._backoff import Backoff
from mobius_infra.breaker._checks import require_count, require_seconds
from mobius_infra.breaker._fleet_member import CircuitMember
from mobius_infra.breaker._fleet_stats import FleetDegraded, FleetRestored, FleetStats
from mobius_infra.breaker._votes import VOTES, Ask, FleetView
from mobius_infra.breaker._within import within
from mobius_infra.core import (
    Backend,
    BackendError,
    Clock,
    Events,
    Gap,
    SystemClock,
    require,
)

if TYPE_CHECKING:
    from mobius_infra.breaker._breaker import CircuitBreaker

T = TypeVar("T")

log = logging.getLogger("mobius_infra")

_DAY: Final = 86_400.0
_LONGEST_KEY: Final = 512  # a longer one is digested
_LONGEST_REASON: Final = 200
_AT_ONCE: Final = 64  # circuits that are synchronised together after an outage
_REJOIN: Final = Backoff(first=0.2, most=2.0, jitter="equal")


class Fleet:
    """Shares the circuits of the same names among processes.

        async with open_backend("redis://localhost") as redis, Fleet(redis, quorum=2) as fleet:
            coingecko = CircuitBreaker("coingecko", fleet=fleet)

    Windows stay local: a circuit that is well writes nothing. When a rule opens one, the process
    protects itself at once and casts a vote. As soon as `quorum` nodes have votes standing, the
    circuit opens for the whole fleet, until the same moment by the backend's clock. Then one
    process at a time makes one probe, under a lease that runs out if the process dies. Enough
    successes close the circuit for everyone; a failure opens it again, for longer. A node that is
    alone with its trouble stays open, and recovers by its own probes.

    While the backend is away, or before the fleet is entered, every circuit works by itself: no
    call fails because of that, and none waits longer than `timeout`.

    Args:
        backend: keeps what is decided; its clock counts.
        quorum: nodes whose votes open a circuit for all. 1 lets any node open everyone's.
        name: labels numbers and events. Fleets of the same name on one backend are one fleet.
        node: whose vote it is. Processes of the same node have one vote together, so that one bad
            machine with many of them is no quorum. None: every process is a node.
        vote_ttl: seconds that a vote stands, at least; a node takes it back when it closes.
        timeout: seconds that a call which would be a probe waits for the backend.
        poll: seconds between looks at a circuit that another probes, or that is isolated, should
            a message be lost.
        clock: measures, and dates events; what is shared is dated by the backend.
        draw: gives random numbers in [0, 1).

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        quorum: int = 2,
        name: str = "fleet",
        node: str | None = None,
        vote_ttl: float = 60.0,
        timeout: float = 0.5,
        poll: float = 1.0,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        require_count("quorum", quorum)
        _require_word("name", name)
        if node is not None:
            _require_word("node", node)
        require_seconds("vote_ttl", vote_ttl)
        require_seconds("timeout", timeout)
        require_seconds("poll", poll)
        self.name = name
        self.node = uuid4().hex[:12] if node is None else node
        self.quorum = quorum
        self.vote_ttl = vote_ttl
        self.timeout = timeout
        self.poll = poll
        self.clock = clock or SystemClock()
        self.events = Events()
        self._backend = backend
        self._draw = draw
        self._channel = f"circuits:{quote(name, safe='')}"
        self._process = uuid4().hex  # tells this one's probes from those of the same node
        self._tokens = 0
        self._members: dict[str, set[ref[CircuitMember]]] = {}
        self._waiting: WeakSet[CircuitMember] = WeakSet()  # owe or doubt something
        self._watched: WeakSet[CircuitMember] = WeakSet()  # isolated
        self._news: dict[str, int] = {}  # generations to tell the others
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._lost_at: float | None = None
        self._asked = self._votes = self._granted = self._refused = self._late = 0
        self._heard = self._foreign = self._lost = 0

    # For people.

    @property
    def connected(self) -> bool:
        """Whether circuits are shared now."""
        return bool(self._tasks) and self._lost_at is None

    def stats(self) -> FleetStats:
        """Return the numbers as they are now."""
        at_work = "connected" if self.connected else "degraded"
        return FleetStats(
            state=at_work if self._tasks else "idle",
            circuits=sum(len(refs) for refs in self._members.values()),
            asked=self._asked,
            votes=self._votes,
            granted=self._granted,
            refused=self._refused,
            late=self._late,
            heard=self._heard,
            foreign=self._foreign,
            lost=self._lost,
        )

    async def look(self, breaker: str, *, key: str | None = None) -> FleetView:
        """Return the fleet's circuit of the breaker with that name, and key if it has keys.

        Raises:
            BackendError: if the backend failed.
        """
        return await self._by_hand(breaker, key, Ask("look"))

    async def isolate(
        self,
        breaker: str,
        *,
        key: str | None = None,
        reason: str = "isolated by hand",
        ttl: float = _DAY,
    ) -> FleetView:
        """Open a circuit for the whole fleet, until `reset` or for `ttl` seconds.

        It ends by itself, unlike `CircuitBreaker.isolate`, since nobody else's memory can be
        trusted with it: nothing is kept in a backend for ever.

        Raises:
            ConfigurationError: if `ttl` is not a positive number of seconds.
            BackendError: if the backend failed: it may or may not be isolated.
        """
        require_seconds("ttl", ttl)
        printable = reason.encode("utf-8", "backslashreplace").decode()[:_LONGEST_REASON]
        return await self._by_hand(breaker, key, Ask("isolate", seconds=ttl, reason=printable))

    async def reset(self, breaker: str, *, key: str | None = None) -> FleetView:
        """Close a circuit for the whole fleet; what a process isolated by itself stays so.

        Raises:
            BackendError: if the backend failed: it may or may not be closed.
        """
        return await self._by_hand(breaker, key, Ask("reset"))

    async def _by_hand(self, breaker: str, key: str | None, ask: Ask) -> FleetView:
        circuit = self._key_of(breaker, key)
        view = await self.ask(circuit, ask)
        if view.moved:
            await self._within("publish", self._tell(circuit, view.generation))
            self._hear(circuit, view.generation)
        return view

    # For breakers and their members.

    def join(self, breaker: "CircuitBreaker") -> CircuitMember:
        """Return the part of a circuit; `CircuitBreaker` calls it when it is made."""
        key = self._key_of(breaker.name, breaker.key)
        member = CircuitMember(self, breaker, key)

        def forget(gone: ref[CircuitMember]) -> None:
            refs = self._members[key]
            refs.discard(gone)
            if not refs:
                del self._members[key]

        self._members.setdefault(key, set()).add(ref(member, forget))
        self.wake(member)
        return member

    def token(self) -> str:
        """Return a name for one probe, different from all others."""
        self._tokens += 1
        return f"{self._process}:{self._tokens}"

    def wake(self, member: CircuitMember) -> None:
        """Let `member` synchronise soon."""
        self._waiting.add(member)
        self._wake.set()

    def watch(self, member: CircuitMember) -> None:
        """Let `member`, which is isolated, look now and then: no call of its would."""
        self._watched.add(member)

    async def ask(self, key: str, ask: Ask) -> FleetView:
        """Run the step on the backend.

        Raises:
            BackendError: if it failed, in whatever way, or gave no answer in time.
        """
        self._asked += 1
        try:
            view = await self._within(ask.op, self._run(key, ask))
        except BackendError as error:
            self._lose(error.reason)
            raise
        self._count(ask, view)
        if view.moved:
            self._news[key] = view.generation
            self._wake.set()
        return view

    def _count(self, ask: Ask, view: FleetView) -> None:
        self._votes += ask.op == "vote" and view.done
        self._granted += ask.op == "claim" and view.done
        self._refused += ask.op == "claim" and view.probing > 0 and not view.done
        self._late += ask.op in {"vote", "succeed", "fail", "release"} and not view.done

    async def _run(self, key: str, ask: Ask) -> FleetView:
        return FleetView(*await self._backend.run(VOTES, key, *ask))

    async def _within(self, what: str, work: Awaitable[T]) -> T:
        return await within(self.clock, self.timeout, self._backend.name, what, work)

    # In the background.

    async def __aenter__(self) -> Self:
        if all(task.done() for task in self._tasks):  # also if an event loop ended with them
            self._wake = asyncio.Event()  # of this event loop
            self._wake.set()
            jobs = (self._work(), self._listen(), self._look_at_isolated())
            self._tasks = [asyncio.ensure_future(job) for job in jobs]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave: give back votes and probes, if the backend takes them, and go on alone."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for member in self._all():
            member.leave()
        if self._lost_at is None:
            await self._sync()
        self._lost_at = None

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._lost_at is not None:
                await self._rejoin()
            await self._sync()

    async def _sync(self) -> None:
        while self._waiting and self._lost_at is None:
            some = [self._waiting.pop() for _ in range(min(len(self._waiting), _AT_ONCE))]
            results = await asyncio.gather(*(each.sync() for each in some), return_exceptions=True)
            for member, result in zip(some, results, strict=True):
                # What the backend did not take is told after the outage.
                if isinstance(result, Exception) and not isinstance(result, BackendError):
                    log.error("fleet %s: %r failed", self.name, member, exc_info=result)
        while self._news and self._lost_at is None:
            key, generation = next(iter(self._news.items()))
            try:
                await self._within("publish", self._tell(key, generation))
            except BackendError as error:
                self._lose(error.reason)  # told after the outage
            else:
                if self._news[key] == generation:
                    del self._news[key]

    async def _tell(self, key: str, generation: int) -> None:
        await self._backend.publish(self._channel, json.dumps([key, generation]).encode())

    async def _listen(self) -> None:
        while True:
            try:
                async with self._backend.subscribe(self._channel) as messages:
                    self._doubt()
                    async for message in messages:
                        if isinstance(message, Gap):
                            self._doubt()
                        else:
                            self._read(message.data)
            except Exception as error:  # noqa: BLE001 - of whatever backend: it listens again
                self._lose(error.reason if isinstance(error, BackendError) else repr(error))
            await self.clock.sleep(self.poll)

    async def _look_at_isolated(self) -> None:
        while True:
            await self.clock.sleep(self.poll)
            for member in list(self._watched):
                if member.isolated:
                    member.doubt()
                else:
                    self._watched.discard(member)

    def _read(self, data: bytes) -> None:
        try:
            key, generation = json.loads(data)
            self._hear(key, int(generation))
        except (ValueError, TypeError, OverflowError, RecursionError):
            self._foreign += 1  # nothing of ours

    def _hear(self, key: str, generation: int) -> None:
        self._heard += 1
        for member in _living(self._members.get(key, ())):
            member.heard(generation)

    def _doubt(self) -> None:
        for member in self._all():
            member.doubt()

    def _all(self) -> list[CircuitMember]:
        return _living(each for refs in self._members.values() for each in refs)

    # With and without a backend.

    def _lose(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = self.clock.monotonic()
            self._lost += 1
            self._wake.set()
            at = self.clock.time()
            self.events.emit(FleetDegraded(source=self.name, at=at, reason=reason))

    async def _rejoin(self) -> None:
        attempt = 0
        while True:
            attempt += 1
            await self.clock.sleep(_REJOIN.pause(attempt, self._draw()))
            try:
                await self._within("ping", self._backend.ping())
                break
            except BackendError:
                continue
        assert self._lost_at is not None  # noqa: S101 - nobody else finds it again
        down_for = self.clock.monotonic() - self._lost_at
        self._lost_at = None
        self._doubt()
        at = self.clock.time()
        self.events.emit(FleetRestored(source=self.name, at=at, down_for=down_for))

    def _key_of(self, breaker: str, key: str | None) -> str:
        parts = [breaker] if key is None else [breaker, key]
        quoted = ":".join(quote(part, safe="", errors="backslashreplace") for part in parts)
        if len(quoted) > _LONGEST_KEY:
            quoted = sha256(quoted.encode()).hexdigest()
        return f"{self._channel}:{quoted}"

    def __repr__(self) -> str:
        return f"Fleet({self.name!r}, node={self.node!r}, {self.stats().state})"


def _living(refs: Iterable[ref[CircuitMember]]) -> list[CircuitMember]:
    return [member for each in refs if (member := each()) is not None]


def _require_word(field: str, text: object) -> None:
    good = isinstance(text, str) and 0 < len(text) <= 100 and text.isprintable()
    require(good, field, text, "1 to 100 printable characters")
