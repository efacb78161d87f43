"""`@debounced`: of calls in quick succession, the last is made, or the first, or both."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from math import inf
from typing import Any, Generic, ParamSpec, TypeVar

from mobius_infra.core import (
    AsyncDecorator,
    Clock,
    Events,
    Stats,
    SystemClock,
    call_later,
    counter,
    require,
)
from mobius_infra.perf._checks import is_number, require_name
from mobius_infra.perf._coalesced import key_function
from mobius_infra.perf._shared import Shared

P = ParamSpec("P")
R = TypeVar("R")

Work = Callable[[], Awaitable[R]]


@dataclass(frozen=True, slots=True)
class DebouncedStats(Stats):
    """The numbers of a debounced function."""

    calls: int = counter("Calls")
    runs: int = counter("Runs of the function that they came to")


def due_at(first: float, last: float, wait: float, max_wait: float) -> float:
    """Return when a burst of calls from `first` to `last` is over, if no other comes."""
    return min(last + wait, first + max_wait)


class _Burst(Generic[R]):
    """Calls with one key that follow each other closely."""

    __slots__ = ("context", "first", "last", "leader", "shared", "stop_timer", "work")

    def __init__(self, now: float) -> None:
        self.first = self.last = now
        self.work: Work[R] | None = None  # the latest that is to be run at the end
        self.context: Context | None = None
        self.shared: Shared[R] | None = None  # those who wait for it
        self.leader: Shared[R] | None = None  # the run at the beginning
        self.stop_timer: Callable[[], object] | None = None


class _Key(Generic[R]):
    """The bursts of one key, one after the other."""

    __slots__ = ("_burst", "_by", "_forget", "_lock", "_runs")

    def __init__(self, by: "Debounced", forget: Callable[[], object]) -> None:
        self._by = by
        self._forget = forget
        self._burst: _Burst[R] | None = None
        self._runs: dict[Shared[R], None] = {}  # those that have not ended, the latest last
        self._lock = asyncio.Lock()  # held by the one whose turn it is

    def call(self, work: Work[R]) -> Coroutine[Any, Any, R]:
        """Take one call in, and return what is to be awaited for its result."""
        by, burst, now = self._by, self._burst, self._by.clock.monotonic()
        if burst is None:
            burst = self._burst = _Burst(now)
            self._arm(burst)
            if by.leading:
                return self._lead(burst, work)
        burst.last = now
        if by.trailing:
            if burst.shared is None:
                burst.shared = self._next()
            burst.work, burst.context = work, copy_context()
            return burst.shared.join()
        if burst.leader is None or burst.leader.abandoned:
            return self._lead(burst, work)
        return burst.leader.join()

    def _lead(self, burst: _Burst[R], work: Work[R]) -> Coroutine[Any, Any, R]:
        burst.leader = self._next()
        self._run(work, copy_context(), burst.leader)
        return burst.leader.join()

    def _next(self) -> Shared[R]:
        shared: Shared[R] = Shared(self._by.name, self._ended)
        shared.waits_for = next(reversed(self._runs), None)  # a run that calls itself is told so
        return shared

    def _arm(self, burst: _Burst[R]) -> None:
        by = self._by
        due = due_at(burst.first, burst.last, by.wait, by.max_wait)
        seconds = due - by.clock.monotonic()
        if seconds > 0:
            burst.stop_timer = call_later(by.clock, seconds, lambda: self._arm(burst))
            return
        self._burst = None
        if burst.shared is not None and burst.work is not None and burst.context is not None:
            self._run(burst.work, burst.context, burst.shared)
        self._forget_if_idle()

    def _run(self, work: Work[R], context: Context, shared: Shared[R]) -> None:
        self._runs[shared] = None
        self._by.count_run()
        shared.start(self._in_turn(work), context)

    async def _in_turn(self, work: Work[R]) -> R:
        async with self._lock:
            return await work()

    def _ended(self, shared: Shared[R]) -> None:
        burst = self._burst
        if burst is not None and burst.shared is shared:  # all have gone before it was run
            burst.shared = burst.work = burst.context = None
            if burst.leader is None and burst.stop_timer is not None:
                burst.stop_timer()
                self._burst = None
        if not shared.under_way:
            self._runs.pop(shared, None)
        self._forget_if_idle()

    def _forget_if_idle(self) -> None:
        if self._burst is None and not self._runs:
            self._forget()


class Debounced(AsyncDecorator):
    """Waits until calls cease. Made by `debounced`, where its settings are described."""

    __slots__ = (
        "_calls", "_key", "_runs", "clock", "events", "leading", "max_wait", "name", "trailing",
        "wait",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        wait: float,
        *,
        leading: bool,
        trailing: bool,
        max_wait: float,
        key: str | Callable[..., Hashable] | None,
        clock: Clock,
    ) -> None:
        self.name = name
        self.wait = wait
        self.leading = leading
        self.trailing = trailing
        self.max_wait = max_wait
        self.clock = clock
        self.events = Events()
        self._key = key
        self._calls = self._runs = 0

    def stats(self) -> DebouncedStats:
        """Return the numbers as they are now."""
        return DebouncedStats(self._calls, self._runs)

    def count_run(self) -> None:
        """Note that the function is run."""
        self._runs += 1

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        key_of = _default_key(func) if self._key is None else key_function(self._key, func)
        keys: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Key[R]] = {}

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            self._calls += 1
            at = (asyncio.get_running_loop(), key_of(*args, **kwargs))
            key = keys.get(at)
            if key is None:
                key = keys[at] = _Key(self, lambda: keys.pop(at, None))
            return await key.call(lambda: func(*args, **kwargs))

        return wrapper

    def __repr__(self) -> str:
        edges = "+".join(edge for edge in ("leading", "trailing") if getattr(self, edge))
        return f"Debounced({self.name!r}, wait={self.wait:g}, {edges})"


def _default_key(func: Callable[..., object]) -> Callable[..., Hashable]:
    """Return a key that is the same for all calls, or for all of one object if it is a method."""
    first = next(iter(signature(func).parameters), "")
    if first in ("self", "cls"):  # a burst keeps the object alive, so that its id stays its own
        return lambda owner, *_, **__: id(owner)
    return lambda *_, **__: None


def debounced(
    name: str,
    wait: float,
    *,
    leading: bool = False,
    trailing: bool = True,
    max_wait: float | None = None,
    key: str | Callable[..., Hashable] | None = None,
    clock: Clock | None = None,
) -> Debounced:
    """Make one run of calls in quick succession.

        @debounced("save", 0.5, max_wait=5, key="document_id")
        async def save(document_id: int, text: str) -> None: ...

    Calls that follow each other within `wait` seconds are a burst. When it is over, the function
    runs once, with the arguments of the last call, and all callers get its result or error. A
    caller who is cancelled leaves the others alone; when all have gone, the run does not take
    place, or is cancelled. Runs with one key never overlap: a run waits for the end of the one
    before it.

    Args:
        name: for numbers and errors.
        wait: seconds without a call that end a burst.
        leading: run at once, at a burst's first call, whose caller gets that run's result.
        trailing: run at a burst's end, if it had calls beside a leading one. Without it, calls get
            the result of the leading run.
        max_wait: seconds after which a burst ends though calls go on; None: when they cease.
        key: what belongs together: a template such as `"{user_id}"`, or a function of the
            arguments. By default all calls; of a method, all calls on the same object.
        clock: where time comes from.
    """
    require_name(name)
    require(is_number(wait) and wait > 0, "wait", wait, "a positive number of seconds")
    require(leading or trailing, "trailing", trailing, "True unless leading is")
    if max_wait is not None:
        good = is_number(max_wait) and max_wait >= wait
        require(good, "max_wait", max_wait, f"seconds, at least wait ({wait:g}), or None")
    return Debounced(
        name,
        wait,
        leading=leading,
        trailing=trailing,
        max_wait=inf if max_wait is None else max_wait,
        key=key,
        clock=clock or SystemClock(),
    )
