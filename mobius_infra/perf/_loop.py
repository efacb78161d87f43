"""How late the event loop is, and whose fault it was."""

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from typing import Self

from mobius_infra.core import (
    Clock,
    Durations,
    Event,
    Events,
    Stats,
    SystemClock,
    call_later,
    counter,
    gauge,
    require,
)
from mobius_infra.perf._checks import is_number, require_name
from mobius_infra.perf._watchdog import Stack, Watchdog, frames_below, serve


@dataclass(frozen=True, slots=True)
class LoopStats(Stats):
    """The numbers of an event loop since it is watched."""

    lag_seconds: float = gauge("How late the loop is now")
    looks: Mapping[str, int] = counter("Looks that were late by at most so much", label="within")
    late_seconds: float = counter("Lateness of all looks together")
    blocked: int = counter("Times that the loop was held up")
    blocked_seconds: float = counter("For how long it was, together")
    stood_still: int = counter("Of these, times that all other threads stood still too")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopBlocked(Event):
    """Something held up the event loop.

    Attributes:
        seconds: how late what was due next came; the block was at most half of `slow` longer.
        stack: where the loop was, outermost call first: of the stacks seen, the one seen most.
            Empty if it was in no callback when it was looked at: then nothing of the program held
            it up, but the machine did.
        samples: how often it was looked at, by the innermost line.
        stood_still: seconds for which the watching thread did not run either: a garbage
            collection, C code that keeps the interpreter's lock, a stopped or throttled process.
    """

    seconds: float
    stack: Stack
    samples: Mapping[str, int]
    stood_still: float

    def __str__(self) -> str:
        where = "\n  ".join(self.stack) or "no callback: the machine was busy with something else"
        return f"event loop {self.source!r} was held up for {self.seconds:.3f} s by\n  {where}"


class LoopMonitor:
    """Measures how late the event loop is, and catches the code that makes it so.

        async with LoopMonitor(slow=0.2) as monitor:
            monitor.events.subscribe(print)
            await serve()

    The loop looks at the clock every half of `slow`. A thread looks at the loop when that is late
    by a quarter, and as long as it is, and notes where it is: so whatever blocks for `slow` is
    named, line by line. What blocks for ever can't be told by the loop: it is logged by the thread
    after `hang` seconds.

    Args:
        name: for numbers and events.
        slow: seconds of a block from which on it is always told; of those between half of it and
            that, some are. At 0.2 watching takes about 0.25 % of a processor, at 0.1 twice that.
        hang: seconds after which a block that goes on is logged.
        keep: the last blocks that `blocks` holds.
        clock: measures the lateness, and calls later.

    Raises:
        ConfigurationError: if a time is out of range.
    """

    __slots__ = (
        "__weakref__", "_beat_again", "_blocked", "_blocked_seconds", "_clock", "_dog", "_due",
        "_hang", "_interval", "_lag", "_lags", "_slow", "_still", "_stop", "_thread", "blocks",
        "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str = "loop",
        *,
        slow: float = 0.2,
        hang: float = 5.0,
        keep: int = 20,
        clock: Clock | None = None,
    ) -> None:
        require_name(name)
        require(is_number(slow) and slow >= 0.01, "slow", slow, "seconds, at least 0.01")
        require(is_number(hang) and hang >= slow, "hang", hang, "seconds, at least `slow`")
        require(type(keep) is int and keep > 0, "keep", keep, "a positive number of blocks")
        self.name = name
        self.events = Events()
        self.blocks: deque[LoopBlocked] = deque(maxlen=keep)
        self._slow = slow
        self._hang = hang
        self._interval = slow / 2
        self._clock = clock or SystemClock()
        self._lags = Durations()
        self._lag = 0.0
        self._due: float | None = None
        self._blocked = self._still = 0
        self._blocked_seconds = 0.0
        self._dog: Watchdog | None = None
        self._stop: threading.Lock | None = None
        self._thread: threading.Thread | None = None
        self._beat_again: Callable[[], object] | None = None

    async def __aenter__(self) -> Self:
        require(self._dog is None, "loop monitor", self.name, "entered once at a time")
        now, own = self._clock.monotonic(), threading.get_ident()
        dog = Watchdog(self.name, slow=self._slow, hang=self._hang, thread=own, now=now)
        self._dog, self._stop = dog, threading.Lock()
        self._stop.acquire()
        # In a context of its own: it would keep that of some request for ever.
        Context().run(self._schedule, now, dog)
        name = f"watch event loop {self.name}"
        serving = (self._stop, self._slow / 4, dog, self._clock.monotonic)
        self._thread = threading.Thread(target=serve, args=serving, name=name, daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._stop is not None:
            self._stop.release()  # the thread ends by itself: waiting would hold up the loop
        if self._beat_again is not None:
            self._beat_again()
        self._stop = self._dog = self._thread = self._beat_again = self._due = None
        self._lag = 0.0

    def _schedule(self, now: float, dog: Watchdog) -> None:
        self._due = now + self._interval
        dog.due = self._due
        self._beat_again = call_later(self._clock, self._interval, self._beat)

    def _beat(self) -> None:
        dog, due = self._dog, self._due
        if dog is None or due is None:
            return
        now = self._clock.monotonic()
        self._lag = max(now - due, 0.0)
        self._lags.add(self._lag)
        # What is below this very callback is below every other.
        seen, still = dog.beat(now + self._interval, frames_below(sys._getframe().f_back))
        self._schedule(now, dog)
        if self._lag >= self._slow - self._interval:
            self._tell(self._lag, seen, still)

    def _tell(self, seconds: float, seen: Counter[Stack], still: float) -> None:
        self._blocked += 1
        self._blocked_seconds += seconds
        self._still += still > 0
        inside = Counter({stack: times for stack, times in seen.items() if stack}) or seen
        block = LoopBlocked(
            source=self.name,
            at=self._clock.time(),
            seconds=seconds,
            stack=max(inside, key=inside.__getitem__, default=()),
            samples={stack[-1]: times for stack, times in seen.items() if stack},
            stood_still=still,
        )
        self.blocks.append(block)
        self.events.emit(block)

    def _overdue(self) -> float:
        due = self._due
        return 0.0 if due is None else max(self._clock.monotonic() - due, 0.0)

    def stats(self) -> LoopStats:
        """Return the numbers. Another thread may ask too, and sees a loop that hangs hang."""
        return LoopStats(
            lag_seconds=max(self._lag, self._overdue()),
            looks=self._lags.within(),
            late_seconds=self._lags.total,
            blocked=self._blocked,
            blocked_seconds=self._blocked_seconds,
            stood_still=self._still,
        )

    def __repr__(self) -> str:
        lag = max(self._lag, self._overdue())
        return f"LoopMonitor({self.name!r}, lag={lag:g}, blocked={self._blocked})"
