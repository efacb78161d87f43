"""The load shedder, as its users see it."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar

from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Config,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
    state,
)
from mobius_infra.ratelimit._overload_checks import (
    compile_reader,
    require_between,
    require_name,
    require_positive,
)
from mobius_infra.ratelimit._overload_errors import LoadShedError
from mobius_infra.ratelimit._overload_events import SheddingBegan, SheddingEnded
from mobius_infra.ratelimit._shed_level import PRIORITIES, Capacity, Level
from mobius_infra.ratelimit._signals import CpuLoad, LoopLag, MemoryLoad, Signal

P = ParamSpec("P")
R = TypeVar("R")

Priority = Literal["critical", "normal", "background"]
# Any: it is called with the arguments of whatever function is decorated.
PriorityOf = Priority | str | Callable[..., Any]

RANKS: Mapping[object, int] = {name: rank for rank, name in enumerate(PRIORITIES)}
NORMAL = RANKS["normal"]

log = logging.getLogger("mobius_infra")


@dataclass(frozen=True, slots=True)
class LoadShedderStats(Stats):
    """A load shedder's numbers."""

    passed: Mapping[str, int] = counter("Calls let through, by priority", label="priority")
    shed: Mapping[str, int] = counter("Calls turned away, by priority", label="priority")
    signal_errors: int = counter("Times that a signal could not say its value")
    inflight: int = gauge("Calls under way")
    capacity: float = gauge("Calls under way that need not queue")
    level: float = gauge("How far shedding has gone: 0 nothing, 1 all background, 3 everything")
    load: Mapping[str, float] = gauge(
        "Value of each signal; 1 is as much as may be", label="signal"
    )
    mode: str = state("Whether calls are turned away: idle or shedding")


class LoadShedderConfig(Config):
    """A load shedder's settings, for files. The fields are parameters of `LoadShedder`.

    Attributes:
        loop_lag: `most` of `LoopLag`; None: not looked at.
        cpu: `most` of `CpuLoad`; None: not looked at.
        memory: `most` of `MemoryLoad`; None: not looked at.
        memory_limit: bytes; None: the container's, or the machine's.
    """

    name: str
    loop_lag: float | None = 0.1
    cpu: float | None = 0.8
    memory: float | None = 0.9
    memory_limit: int | None = None
    priority: str = "normal"
    interval: float = 0.1
    resume: float = 0.8
    ramp: float = 1.0

    def signals(self, clock: Clock | None = None) -> list[Signal]:
        """Make the signals that are looked at."""
        made: list[Signal] = []
        if self.loop_lag is not None:
            made.append(LoopLag(self.loop_lag, clock=clock))
        if self.cpu is not None:
            made.append(CpuLoad(self.cpu, clock=clock))
        if self.memory is not None:
            made.append(MemoryLoad(self.memory_limit, most=self.memory))
        return made


class LoadShedder(AsyncDecorator):
    """Turns calls away while the process is overloaded, the least important first.

        shedder = LoadShedder("api", [LoopLag(), CpuLoad(), MemoryLoad()])

        @shedder
        async def answer(text: str) -> str: ...

        @shedder.at("background")
        async def warm(key: str) -> None: ...

    While any signal is above 1, a growing share of calls is shed: of background ones first, when
    all of those are shed of normal ones, of critical ones last. The share falls again when all
    signals are below `resume`.

    Nothing is shed while no more calls are under way than Little's law says need not queue
    (the highest throughput of the last ten seconds times the lowest latency): what overloads the
    process then is something else, and turning calls away would only waste what is left.

    Args:
        name: labels its numbers, events and errors.
        signals: what is looked at; the highest counts. One that raises counts as 0.
        priority: of the calls: `critical`, `normal` or `background`; or, to be read from the call,
            a parameter's name or a function of the arguments. What is none of them is `normal`.
        interval: seconds between two looks at the signals.
        resume: load below which less is shed.
        ramp: seconds in which, at a load of 2, one more priority is shed entirely.
        clock: measures all of it.
        draw: gives random numbers in [0, 1).

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = (
        "_before", "_capacity", "_clock", "_draw", "_entered", "_inflight", "_interval", "_level",
        "_loads", "_look_at", "_passed", "_priority", "_shed", "_shedding_since", "_signal_errors",
        "_signals", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        signals: Sequence[Signal],
        *,
        priority: PriorityOf = "normal",
        interval: float = 0.1,
        resume: float = 0.8,
        ramp: float = 1.0,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        require_name(name)
        require(len(signals) > 0, "signals", signals, "at least one, such as [LoopLag()]")
        names = [signal.name for signal in signals]
        require(len(set(names)) == len(names), "signals", names, "signals with different names")
        require_positive("interval", interval, "seconds")
        require_between("resume", resume, 0.1, 1)
        require_positive("ramp", ramp, "seconds")
        self.name = name
        self.events = Events()
        self._signals = tuple(signals)
        self._loads = dict.fromkeys(names, 0.0)
        self._priority = priority
        self._interval = interval
        self._clock = clock or SystemClock()
        self._draw = draw
        self._level = Level(resume, ramp)
        self._capacity = Capacity()
        self._look_at = 0.0
        self._inflight = 0
        self._passed = [0, 0, 0]
        self._shed = [0, 0, 0]
        self._before = self._signal_errors = 0
        self._shedding_since: float | None = None
        # `async with shedder` in many tasks at once: each leaves with what it came with.
        self._entered: dict[asyncio.Task[Any] | None, list[float]] = {}

    @classmethod
    def from_config(cls, config: LoadShedderConfig, *, clock: Clock | None = None) -> Self:
        """Build one from settings."""
        given = config.model_dump(include={"name", "priority", "interval", "resume", "ramp"})
        return cls(signals=config.signals(clock), clock=clock, **given)

    def at(self, priority: PriorityOf) -> AsyncDecorator:
        """Return a decorator of this shedder for calls of another priority."""
        return _At(self, priority)

    def admit(self, priority: Priority = "normal") -> float:
        """Let a call in; return what `release` is to be given when it ends.

        Raises:
            LoadShedError: if it is shed.
        """
        require(priority in RANKS, "priority", priority, "one of " + ", ".join(PRIORITIES))
        return self._admit(RANKS[priority])

    def release(self, started: float | None) -> None:
        """End a call; `started` is what `admit` returned, or None if it did not succeed.

        Raises:
            RuntimeError: if none is under way.
        """
        if self._inflight <= 0:
            raise RuntimeError(f"a call of {self!r} ended that was not under way")
        self._inflight -= 1
        if started is not None:
            self._capacity.record(self._clock.monotonic() - started)

    def stats(self) -> LoadShedderStats:
        """Return the numbers as they are now."""
        return LoadShedderStats(
            passed=dict(zip(PRIORITIES, self._passed, strict=True)),
            shed=dict(zip(PRIORITIES, self._shed, strict=True)),
            signal_errors=self._signal_errors,
            inflight=self._inflight,
            capacity=self._capacity.inflight,
            level=self._level.value,
            load=dict(self._loads),
            mode="idle" if self._shedding_since is None else "shedding",
        )

    def _admit(self, rank: int) -> float:
        now = self._clock.monotonic()
        if now >= self._look_at:
            self._look(now)
        if (
            self._level.value > rank
            and self._inflight >= self._capacity.inflight
            and self._draw() < self._level.share(rank)
        ):
            raise self._refuse(rank, now)
        self._inflight += 1
        self._passed[rank] += 1
        return now

    def _look(self, now: float) -> None:
        """Read the signals, and move the level."""
        self._look_at = now + self._interval
        for signal in self._signals:
            self._loads[signal.name] = self._read(signal)
        self._capacity.step(now, overloaded=self._level.value > 0)
        level = self._level.step(max(self._loads.values()), now)
        if level > 0 and self._shedding_since is None:
            self._shedding_since = now
            self._before = sum(self._shed)
            highest, load = self._highest()
            at = self._clock.time()
            self.events.emit(SheddingBegan(source=self.name, at=at, signal=highest, load=load))
        elif level == 0 and self._shedding_since is not None:
            lasted, shed = now - self._shedding_since, sum(self._shed) - self._before
            self._shedding_since = None
            at = self._clock.time()
            self.events.emit(SheddingEnded(source=self.name, at=at, lasted=lasted, shed=shed))

    def _read(self, signal: Signal) -> float:
        try:
            value = signal.value()
            if value >= 0:  # NaN is not
                return value
        except Exception:
            if not self._signal_errors:
                log.exception("signal %r of load shedder %r failed", signal, self.name)
        self._signal_errors += 1
        return 0.0

    def _highest(self) -> tuple[str, float]:
        return max(self._loads.items(), key=lambda item: item[1])

    def _refuse(self, rank: int, now: float) -> LoadShedError:
        self._shed[rank] += 1
        signal, load = self._highest()
        return LoadShedError(
            self.name,
            priority=PRIORITIES[rank],
            signal=signal,
            load=load,
            retry_after=max(self._look_at - now, 0.0),
        )

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        return self._wrap_at(func, self._priority)

    def _wrap_at(
        self, func: Callable[P, Awaitable[R]], priority: PriorityOf
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        if not callable(priority) and priority in RANKS:
            return self._wrap_rank(func, RANKS[priority])
        priority_of = compile_reader("priority", priority, func)
        ranked = [self._wrap_rank(func, rank) for rank in RANKS.values()]

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            rank = RANKS.get(priority_of(*args, **kwargs), NORMAL)
            return await ranked[rank](*args, **kwargs)

        return wrapper

    def _wrap_rank(
        self, func: Callable[P, Awaitable[R]], rank: int
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        admit, release = self._admit, self.release

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            started = admit(rank)
            try:
                result = await func(*args, **kwargs)
            except BaseException:
                release(None)
                raise
            release(started)
            return result

        return wrapper

    async def __aenter__(self) -> None:
        started = self._admit(RANKS.get(self._priority, NORMAL))
        self._entered.setdefault(asyncio.current_task(), []).append(started)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        started = self._entered[task].pop()
        if not self._entered[task]:
            del self._entered[task]
        self.release(started if error is None else None)

    def __repr__(self) -> str:
        return f"LoadShedder({self.name!r}, {self.stats().mode}, level={self._level.value:.3g})"


@dataclass(frozen=True, slots=True, repr=False)
class _At(AsyncDecorator):
    """One priority of a shedder."""

    shedder: LoadShedder
    priority: PriorityOf

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        return self.shedder._wrap_at(func, self.priority)

    def __repr__(self) -> str:
        return f"{self.shedder!r}.at({self.priority!r})"
