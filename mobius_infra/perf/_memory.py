"""How much memory is in use, what to do when it is short, and what may leak."""

import asyncio
import logging
import tracemalloc
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Self

from mobius_infra.core import (
    Cgroup,
    Clock,
    Event,
    Events,
    Stats,
    SystemClock,
    SystemSource,
    counter,
    find_source,
    gauge,
    require,
    state,
)
from mobius_infra.perf._checks import is_number, require_count, require_name
from mobius_infra.perf._memory_allocator import Allocator
from mobius_infra.perf._memory_step import LEVELS, Levels, MemoryLevel, Minima, rises
from mobius_infra.perf._memory_types import Grown, count_types, grown, line_bytes

log = logging.getLogger("mobius_infra")

# Any: what the user's function returns; it is awaited if it can be.
Relief = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class MemoryStats(Stats):
    """The numbers of a memory monitor; None where the system does not tell."""

    level: str = state("normal, high or critical")
    resident_bytes: int = gauge("Memory of this process in RAM")
    used_bytes: int = gauge("Memory in use, of what the limit is on")
    limit_bytes: int = gauge("Memory that may be used")
    slack_bytes: int | None = gauge("Free in the C allocator, but not given back")
    growth: float | None = gauge("Bytes a second by which the least use grows")
    reliefs: int = counter("Functions called to make room")
    relief_failures: int = counter("Of these, calls that raised or took too long")
    trims: int = counter("Times that the allocator was made to give back")
    leaks_suspected: int = counter("Times that memory grew as if it leaked")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLevelChanged(Event):
    """Memory became short, or is no longer."""

    level: MemoryLevel
    before: MemoryLevel
    used: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakSuspected(Event):
    """The least memory in use rises from window to window.

    Attributes:
        growth: bytes a second.
        full_in: seconds until the limit, if it goes on so.
        types: those whose objects became most since the last look, most first.
    """

    growth: float
    full_in: float
    types: tuple[Grown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliefFailed(Event):
    """A function that should make room raised, or took too long (`TimeoutError`)."""

    function: Relief
    error: Exception


class MemoryMonitor:
    """Watches how much memory is in use, and makes room before the system kills.

        memory = MemoryMonitor()
        memory.relieve("high", cache.clear)
        memory.relieve("critical", limiter.refuse_new)
        async with memory:
            ...

    The limit is what is given, else that of the control group (the container), else the machine's
    memory; the use is that of the same. At `high` and `critical` the functions given to `relieve`
    are called, and again every `again` seconds while it lasts. Then the C allocator is made to
    give back what is free, in a thread.

    Args:
        name: for numbers and events.
        limit: bytes that this process may use.
        high: share of the limit at which `high` begins.
        critical: share at which `critical` begins.
        margin: a level ends this share below where it begins.
        interval: seconds between two looks, about 0.1 ms each.
        again: seconds after which functions are called again while a level lasts.
        patience: seconds that an async function may take to make room; then it is cancelled, or
            left behind if it resists. Until then nothing is looked at.
        window: seconds of which the least use counts; it is a leak if that rises over eight.
        leak: share by which it has to rise over these.
        clock: for all durations.
        cgroup: the control group.
        source: where the system's numbers are read.

    Raises:
        ConfigurationError: if a value is out of range.
    """

    __slots__ = (
        "__weakref__",
        "_again",
        "_allocator",
        "_baseline",
        "_cgroup",
        "_clock",
        "_interval",
        "_leak",
        "_levels",
        "_limit",
        "_minima",
        "_numbers",
        "_patience",
        "_reliefs",
        "_relieved",
        "_source",
        "_task",
        "_tracing",
        "events",
        "level",
        "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str = "memory",
        *,
        limit: int | None = None,
        high: float = 0.8,
        critical: float = 0.9,
        margin: float = 0.05,
        interval: float = 1.0,
        again: float = 30.0,
        patience: float = 10.0,
        window: float = 60.0,
        leak: float = 0.05,
        clock: Clock | None = None,
        cgroup: Cgroup | None = None,
        source: SystemSource | None = None,
    ) -> None:
        require_name(name)
        if limit is not None:
            require_count("limit", limit)
        require(
            is_number(critical) and 0 < critical <= 1, "critical", critical, "a share in (0, 1]"
        )
        require(is_number(high) and 0 < high < critical, "high", high, "above 0, below `critical`")
        require(is_number(margin) and 0 <= margin < high, "margin", margin, "in [0, high)")
        seconds = {"interval": interval, "again": again, "patience": patience, "window": window}
        for field, value in seconds.items():
            require(is_number(value) and value > 0, field, value, "a positive number of seconds")
        require(is_number(leak) and leak > 0, "leak", leak, "a positive share")
        self.name = name
        self.events = Events()
        self.level: MemoryLevel = "normal"
        self._limit = limit
        self._levels = Levels(high, critical, margin)
        self._interval, self._again, self._leak = interval, again, leak
        self._patience = patience
        self._minima = Minima(window)
        self._clock = clock or SystemClock()
        self._cgroup = cgroup or Cgroup()
        self._source = source or find_source()
        self._allocator = Allocator()
        self._reliefs: list[tuple[MemoryLevel, Relief]] = []
        self._relieved: float | None = None
        self._baseline: dict[str, int] | None = None
        self._numbers = {"reliefs": 0, "relief_failures": 0, "trims": 0, "leaks_suspected": 0}
        self._task: asyncio.Task[None] | None = None
        self._tracing = False

    def relieve(self, level: MemoryLevel, function: Relief) -> Callable[[], None]:
        """Call a function, async or not, at `level` and above; return one that ends that.

        Nothing is looked at until an async one has returned, or has had its `patience`. One that
        is not async must not block: it runs in the loop's thread.
        """
        require(level in LEVELS[1:], "level", level, "'high' or 'critical'")
        entry = level, function
        self._reliefs.append(entry)
        return lambda: self._reliefs.remove(entry) if entry in self._reliefs else None

    async def __aenter__(self) -> Self:
        require(self._task is None, "memory monitor", self.name, "entered once at a time")
        loop = asyncio.get_running_loop()
        # In a context of its own: it would keep that of some request for ever.
        self._task = loop.create_task(self._watch(), name=f"watch {self.name}", context=Context())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("%r: could not look at the memory", self.name)
            await self._clock.sleep(self._interval)

    async def look(self) -> MemoryLevel:
        """Look once, and do what is due. Called by itself every `interval` when entered."""
        now = self._clock.monotonic()
        used, limit = self._use()
        before, self.level = self.level, self._levels.step(self.level, used / limit)
        if self.level != before:
            at = self._clock.time()
            self.events.emit(
                MemoryLevelChanged(
                    source=self.name, at=at, level=self.level, before=before, used=used, limit=limit
                )
            )
        rose = LEVELS.index(self.level) > LEVELS.index(before)
        due = self._relieved is None or now - self._relieved >= self._again
        if self.level != "normal" and (rose or due):
            self._relieved = now
            await self._make_room()
        if self._minima.add(now, self._source.resident_bytes()):
            await self._look_for_leak(limit - used)
        return self.level

    async def _make_room(self) -> None:
        for level, function in list(self._reliefs):
            if LEVELS.index(level) > LEVELS.index(self.level):
                continue
            self._numbers["reliefs"] += 1
            try:
                answer = function()
                if isawaitable(answer):
                    await self._bounded(answer)
            except Exception as error:
                self._numbers["relief_failures"] += 1
                log.exception("%r: %r could not make room", self.name, function)
                at = self._clock.time()
                self.events.emit(
                    ReliefFailed(source=self.name, at=at, function=function, error=error)
                )
        await self.trim()

    async def _bounded(self, answer: Awaitable[object]) -> None:
        """Wait for the answer, as long as `patience` lasts.

        In a task of its own: one that resists its cancellation must not hold up the monitor.
        """
        doing = asyncio.ensure_future(answer)
        timer = asyncio.ensure_future(self._clock.sleep(self._patience))
        try:
            await asyncio.wait((doing, timer), return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise TimeoutError(f"it took longer than {self._patience:g} s")
            if doing.cancelled():
                raise RuntimeError("it cancelled itself")
            doing.result()
        finally:
            timer.cancel()
            doing.cancel()

    async def trim(self) -> bool:
        """Make the C allocator give back what is free; False where it can't, or had nothing."""
        trim = self._allocator.trim
        if trim is None:
            return False
        self._numbers["trims"] += 1
        return await asyncio.to_thread(trim)

    async def _look_for_leak(self, left: int) -> None:
        if self._baseline is None:
            self._baseline = await asyncio.to_thread(count_types)
        if not rises(self._minima.values, self._leak):
            return
        growth = self._minima.slope() or 0.0
        self._minima.forget()
        self._numbers["leaks_suspected"] += 1
        full_in = max(left, 0) / growth if growth > 0 else float("inf")
        types = await self.growth()
        at = self._clock.time()
        self.events.emit(
            LeakSuspected(source=self.name, at=at, growth=growth, full_in=full_in, types=types)
        )

    async def growth(self, top: int = 10) -> tuple[Grown, ...]:
        """Return the types of which there are most more objects than at the last call.

        Counted in a thread, by a sample. Without a call before: since the first window, or 0.
        """
        now = await asyncio.to_thread(count_types)
        before, self._baseline = self._baseline or {}, now
        return grown(before, now, top)

    async def trace(self, seconds: float, top: int = 10) -> tuple[Grown, ...]:
        """Return the lines that asked for most memory in the next `seconds` and have it still.

        While tracemalloc traces, everything is slower by a half or more.
        """
        require(not self._tracing, "trace", self.name, "called once at a time")
        self._tracing, traced = True, tracemalloc.is_tracing()
        try:
            if not traced:
                tracemalloc.start()
            before = await asyncio.to_thread(line_bytes)
            await self._clock.sleep(seconds)
            return grown(before, await asyncio.to_thread(line_bytes), top)
        finally:
            self._tracing = False
            if not traced:
                tracemalloc.stop()

    def _use(self) -> tuple[int, int]:
        """Return what is in use and what may be, of the same thing."""
        if self._limit is not None:
            return self._source.resident_bytes(), self._limit
        limit, used = self._cgroup.memory_limit(), self._cgroup.memory_used()
        if limit is not None and used is not None:
            return used, limit
        total, available = self._source.memory()
        return total - available, total

    def stats(self) -> MemoryStats:
        """Return the numbers as they are now."""
        used, limit = self._use()
        return MemoryStats(
            level=self.level,
            resident_bytes=self._source.resident_bytes(),
            used_bytes=used,
            limit_bytes=limit,
            slack_bytes=self._allocator.slack(),
            growth=self._minima.slope(),
            **self._numbers,
        )

    def __repr__(self) -> str:
        return f"MemoryMonitor({self.name!r}, level={self.level})"
