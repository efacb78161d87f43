"""Nodes of a fleet in one process, each with its own line to one backend, which can be cut."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ParamSpec, Self, TypeVar

from mobius_infra.breaker import Backoff, CircuitBreaker, CircuitOpenError, Fleet
from mobius_infra.core import (
    Backend,
    BackendUnavailableError,
    Event,
    Events,
    Gap,
    Message,
    Scalar,
    Script,
    Subscription,
)
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.core.backends._queue import MessageQueue
from mobius_infra.testing import ManualClock

P = ParamSpec("P")
Result = TypeVar("Result", bound=tuple[Scalar, ...])


class Line:
    """The part of `Backend` that a fleet uses, to a shared one, with faults."""

    name = "line"

    def __init__(self, shared: Backend) -> None:
        self.events = Events()
        self.asked: Counter[str] = Counter()
        self.cut = False
        self.hangs = False
        self.loses_answers = False
        self.deaf = False  # messages get lost, and nobody notices
        self.mute = False  # can't send any
        self.late: asyncio.Event | None = None  # answers wait for it
        self._shared = shared
        self._queues: list[MessageQueue] = []

    def mend(self) -> None:
        self.cut = self.hangs = self.loses_answers = self.deaf = self.mute = False
        if self.late is not None:
            self.late.set()
            self.late = None
        for queue in self._queues:
            queue.put(Gap("mended"))

    async def _reach(self, what: str) -> None:
        self.asked[what] += 1
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.cut:
            raise BackendUnavailableError(self.name, what, "cut")

    async def run(
        self, script: Script[P, Result], key: str, *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        await self._reach(str(args[0]))
        result = await self._shared.run(script, key, *args, **kwargs)
        if self.late is not None:
            await self.late.wait()
        if self.loses_answers:
            raise BackendUnavailableError(self.name, "run", "lost before it answered")
        return result

    async def publish(self, channel: str, data: bytes) -> None:
        await self._reach("publish")
        if self.mute:
            raise BackendUnavailableError(self.name, "publish", "mute")
        await self._shared.publish(channel, data)

    async def ping(self) -> None:
        await self._reach("ping")

    @asynccontextmanager
    async def subscribe(self, *channels: str) -> AsyncIterator[Subscription]:
        await self._reach("subscribe")
        async with self._shared.subscribe(*channels) as messages:
            queue = MessageQueue()

            async def pass_on() -> None:
                async for message in messages:
                    if isinstance(message, Message) and not (self.cut or self.hangs or self.deaf):
                        queue.put(message)

            passing = asyncio.create_task(pass_on())
            self._queues.append(queue)
            try:
                yield queue
            finally:
                self._queues.remove(queue)
                passing.cancel()

    # What a fleet never asks for.
    get = get_with_ttl = get_many = set = set_many = delete = compare_and_set = now = close = None
    __aenter__ = __aexit__ = None


class DependencyError(Exception):
    """The dependency failed."""


class Dependency:
    """Answers, fails or hangs as told, and knows how many ask it at once."""

    def __init__(self) -> None:
        self.down = False
        self.calls = 0
        self.at_once = self.most_at_once = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> str:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.down:
                raise DependencyError
            return "answer"
        finally:
            self.at_once -= 1


class Node:
    """A process with one breaker."""

    def __init__(
        self, shared: Backend, clock: ManualClock, dependency: Dependency, /, **given: Any
    ) -> None:
        options: dict[str, Any] = {
            "consecutive_failures": 2, "failure_rate": None, "draw": lambda: 0.0,
            "backoff": Backoff(10.0, 80.0), "probe_timeout": 30.0, "clock": clock,
        }  # fmt: skip
        fleet = {"quorum": 2, "draw": lambda: 0.0} | given.pop("fleet", {})
        self.line = Line(shared)
        self.fleet = Fleet(self.line, clock=clock, **fleet)  # type: ignore[arg-type]  # a part
        self.breaker = CircuitBreaker("upstream", fleet=self.fleet, **options | given)
        self.dependency = dependency
        self.heard: list[Event] = []
        self.fleet.events.subscribe(self.heard.append)

    @property
    def state(self) -> str:
        return str(self.breaker.state)

    @property
    def member(self) -> Any:
        return self.breaker._member

    async def call(self) -> str:
        """Return the answer, or how the call ended: `failed` or `rejected`."""
        try:
            return await self.breaker.call(self.dependency)
        except DependencyError:
            return "failed"
        except CircuitOpenError:
            return "rejected"

    async def trip(self) -> None:
        was, self.dependency.down = self.dependency.down, True
        assert [await self.call() for _ in range(2)] == ["failed"] * 2
        self.dependency.down = was


class Nodes(list[Node]):
    """Nodes on one backend in memory, entered one by one."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.shared = MemoryBackend(clock=clock)
        self.dependency = Dependency()
        self._stack = AsyncExitStack()

    async def start(self, count: int, **given: Any) -> None:
        for _ in range(count):
            node = Node(self.shared, self.clock, self.dependency, **dict(given))
            await self._stack.enter_async_context(node.fleet)
            self.append(node)
        await self.clock.advance(0)

    async def open(self) -> None:
        """Open the fleet's circuit by the votes of the first two."""
        for node in self[:2]:
            await node.trip()
        await self.clock.advance(0)
        assert self.states == ["open"] * len(self)

    @property
    def states(self) -> list[str]:
        return [node.state for node in self]

    async def call(self, times: int = 1) -> list[str]:
        """Let every node make that many calls, all at once."""
        calls = [asyncio.create_task(node.call()) for node in self for _ in range(times)]
        await self.clock.advance(0)
        return list(await asyncio.gather(*calls))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for node in self:
            node.line.mend()
        await self._stack.aclose()


async def fail() -> None:
    raise DependencyError
