"""The garbage collector, so that nobody waits for it."""

import asyncio
import gc
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Literal, Self

from mobius_infra.core import (
    Clock,
    Durations,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
    state,
)
from mobius_infra.perf._checks import is_number, require_count, require_name
from mobius_infra.perf._gc_step import Bounds, Young, next_interval

NEVER = 1_000_000_000
"""A threshold of the oldest generation that is not reached."""
INTERPRETERS_OWN = 1_000
"""Python 3.12 freezes some 400 objects of its own when it starts; more are the user's."""

Mode = Literal["outside", "watching", "tuned"]


@dataclass(frozen=True, slots=True)
class GcStats(Stats):
    """The numbers of a `GcTuner`."""

    mode: str = state("outside, watching or tuned")
    pauses: Mapping[str, int] = counter("Collections of at most so long, tuned", label="within")
    pause_seconds: float = counter("Time that they took")
    longest_pause_seconds: float = gauge("The longest of them")
    threshold: int = gauge("New objects between two collections of the youngest")
    frozen: int = gauge("Objects that are never looked through")
    idle: int = counter("Full collections while the loop had nothing to do")
    forced: int = counter("Full collections though it had")


class GcTuner:
    """Keeps collections short, and full ones to moments when the loop is idle.

        async with GcTuner(warmup=30) as collector:
            await serve()

    For `warmup` seconds it only measures. Then what there is is frozen: collected once, and not
    looked through again. What a full collection costs is then what came since, and it is made when
    the loop has nothing else to do, or `patience` seconds after that would have been right. The
    threshold of the youngest generation follows the pauses that are measured (`gc.callbacks`),
    since the defaults of Python's versions differ. Thresholds and what is frozen are as before
    when the block is left; frozen objects of somebody else's are not told from ours, and then all
    stay frozen.

    On a machine that forks workers, freeze before: nothing that the children share is written.

    Args:
        name: for its numbers.
        warmup: seconds until what there is is frozen; `settle` does it earlier.
        freeze: whether to freeze at all. Garbage that is made of frozen objects stays.
        most_pause: seconds that a collection of the young should not exceed.
        most_share: share of time that these may take.
        most_threshold: the threshold's upper bound; what is new at a time, in objects.
        full_every: seconds between two full collections at least. It becomes up to 16 times longer
            while they find next to nothing.
        patience: seconds that a full collection waits for an idle moment.
        idle: seconds that a turn of an idle loop takes at most.
        interval: seconds between two looks.
        clock: measures pauses and the loop's turns, and sleeps.

    Raises:
        ConfigurationError: if a value is out of range.
    """

    __slots__ = (
        "__weakref__", "_after", "_before", "_began", "_bounds", "_clock", "_due", "_every",
        "_every_least", "_forced", "_freeze", "_full", "_idle", "_idle_for", "_interval",
        "_kept", "_patience", "_started", "_task", "_warmup", "_window", "_young", "events",
        "mode", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str = "gc",
        *,
        warmup: float = 30.0,
        freeze: bool = True,
        most_pause: float = 0.005,
        most_share: float = 0.005,
        most_threshold: int = 50_000,
        full_every: float = 60.0,
        patience: float = 60.0,
        idle: float = 0.0005,
        interval: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        require_name(name)
        require(is_number(warmup) and warmup >= 0, "warmup", warmup, "seconds, zero or more")
        for field, value in (
            ("most_pause", most_pause), ("full_every", full_every), ("patience", patience),
            ("idle", idle), ("interval", interval),
        ):  # fmt: skip
            require(is_number(value) and value > 0, field, value, "a positive number of seconds")
        good = is_number(most_share) and 0 < most_share < 1
        require(good, "most_share", most_share, "a share in (0, 1)")
        require_count("most_threshold", most_threshold)
        self.name = name
        self.events = Events()
        self.mode: Mode = "outside"
        self._freeze = freeze
        self._clock = clock or SystemClock()
        self._bounds = Bounds(1, most_threshold, most_pause, most_share)
        self._every = self._every_least = full_every
        self._patience, self._idle_for, self._interval = patience, idle, interval
        self._before, self._after = Durations(), Durations()
        self._young, self._full = Young(), Young()
        self._warmup = warmup
        self._started = [0.0, 0.0, 0.0]  # entered, settled, left
        self._began: float | None = None
        self._window = self._due = 0.0
        self._idle = self._forced = 0
        self._kept: tuple[tuple[int, int, int], int] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        require(self._kept is None, "gc tuner", self.name, "entered once at a time")
        self._kept = gc.get_threshold(), gc.get_freeze_count()
        self._started[0] = self._clock.monotonic()
        self.mode = "watching"
        gc.callbacks.append(self._called)
        loop = asyncio.get_running_loop()
        # In a context of its own: it would keep that of some request for ever.
        self._task = loop.create_task(self._run(), name=f"tune {self.name}", context=Context())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        task, self._task = self._task, None
        try:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        finally:
            self._restore()

    def _restore(self) -> None:
        kept, self._kept = self._kept, None
        if kept is None:
            return
        with suppress(ValueError):  # somebody emptied the list
            gc.callbacks.remove(self._called)
        thresholds, frozen = kept
        gc.set_threshold(*thresholds)
        if self._freeze and self.mode == "tuned" and frozen < INTERPRETERS_OWN:
            gc.unfreeze()
        self._started[2] = self._clock.monotonic()
        self.mode, self._began = "outside", None

    def _called(self, phase: str, info: Mapping[str, int]) -> None:
        """Note a collection. It runs between any two steps of any thread: plain numbers only."""
        now = self._clock.monotonic()
        if phase == "start":
            self._began = now
            return
        began, self._began = self._began, None
        if began is None:  # it was under way when we began to watch
            return
        pause = now - began
        (self._after if self.mode == "tuned" else self._before).add(pause)
        (self._full if info["generation"] > 1 else self._young).add(pause, info["collected"])

    async def _run(self) -> None:
        end = self._clock.monotonic() + self._warmup
        while self.mode == "watching" and (left := end - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, self._interval))  # `settle` may be called meanwhile
        self.settle()
        while True:
            await self._clock.sleep(self._interval)
            now = self._clock.monotonic()
            self._follow(now)
            if now >= self._due:
                idle = await self._is_idle()
                if idle or now >= self._due + self._patience:
                    self._idle += idle
                    self._forced += not idle
                    self.collect()

    def settle(self) -> None:
        """Freeze what there is, and tune from now on: the service has started."""
        require(self._kept is not None, "gc tuner", self.name, "entered before it settles")
        assert self._kept is not None  # noqa: S101 - for the type checker
        if self.mode == "tuned":
            return
        gc.collect()
        if self._freeze:
            gc.freeze()
        self.mode = "tuned"
        first, second, _ = self._kept[0]
        self._bounds = Bounds(
            first, max(first, self._bounds.most), self._bounds.most_pause, self._bounds.most_share
        )
        if first:  # else automatic collection is off, and stays so
            gc.set_threshold(first, second, NEVER)
        now = self._clock.monotonic()
        self._started[1] = self._window = now
        self._due = now + self._every
        self._young = Young()

    def _follow(self, now: float) -> None:
        """Move the threshold of the youngest generation, by what it cost in the last span."""
        young, self._young = self._young, Young()
        seconds, self._window = now - self._window, now
        first, second, third = gc.get_threshold()
        if first and seconds > 0:
            gc.set_threshold(self._bounds.step(first, young, seconds), second, third)

    async def _is_idle(self) -> bool:
        """Say whether the loop has nothing else to do: two turns of it take next to no time."""
        for _ in range(2):
            before = self._clock.monotonic()
            await asyncio.sleep(0)
            if self._clock.monotonic() - before > self._idle_for:
                return False
        return True

    def collect(self) -> int:
        """Collect all that is not frozen, now; return how many objects were garbage.

        For when memory is short too: `memory.relieve("high", collector.collect)`.
        """
        looked_at = len(gc.get_objects())
        found = gc.collect()
        self._every = next_interval(self._every, found, looked_at, self._every_least)
        self._due = self._clock.monotonic() + self._every
        return found

    def report(self) -> str:
        """Return in two lines what pauses were, and are since it is tuned."""
        entered, settled, left = self._started
        end = self._clock.monotonic() if self.mode != "outside" else left
        tuned = settled > entered or self.mode == "tuned"
        spans = (settled if tuned else end) - entered, end - settled if tuned else 0.0
        lines = []
        for name, pauses, span in zip(
            ("before", "after"), (self._before, self._after), spans, strict=True
        ):
            share = pauses.total / span if span > 0 else 0.0
            lines.append(
                f"{name}: {pauses.count} pauses, the longest {pauses.longest * 1e3:.2f} ms, "
                f"{share:.2%} of the time"
            )
        return "\n".join(lines)

    def stats(self) -> GcStats:
        """Return the numbers as they are now."""
        return GcStats(
            mode=self.mode,
            pauses=self._after.within(),
            pause_seconds=self._after.total,
            longest_pause_seconds=self._after.longest,
            threshold=gc.get_threshold()[0],
            frozen=gc.get_freeze_count(),
            idle=self._idle,
            forced=self._forced,
        )

    def __repr__(self) -> str:
        return f"GcTuner({self.name!r}, {self.mode}, pauses={self._after.count})"
