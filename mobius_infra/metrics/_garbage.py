"""What the garbage collector does, and how long everything stands still for it."""

import gc
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from mobius_infra.core import (
    Clock,
    Durations,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)

GENERATIONS = 3


@dataclass(frozen=True, slots=True)
class GarbageCollectorStats(Stats):
    """What the collector did while it was watched."""

    collections: Mapping[str, int] = counter("Collections", label="generation")
    collected: Mapping[str, int] = counter("Objects that were freed", label="generation")
    uncollectable: Mapping[str, int] = counter("Objects that could not be", label="generation")
    pause_seconds: Mapping[str, float] = counter("Time it took", label="generation")
    pauses: Mapping[str, int] = counter("Collections that took at most so long", label="within")
    longest_pause_seconds: float = gauge("The longest collection")


@dataclass(slots=True)
class _Generation:
    """What the collections of one generation did."""

    collections: int = 0
    collected: int = 0
    uncollectable: int = 0
    seconds: float = 0.0


class GarbageCollector:
    """Watches CPython's garbage collector, in the whole process, while it is entered.

        with GarbageCollector() as collector:
            metrics.watch(collector)

    A collection stops all Python code of the process. It is measured by callbacks that only add to
    plain numbers: they run between any two steps of any thread, where a lock that somebody holds
    would never be released. They cost about 1 µs a collection.

    Args:
        name: for its numbers.
        clock: measures the pauses.

    Raises:
        ConfigurationError: if `name` is empty.
    """

    __slots__ = ("__weakref__", "_began", "_clock", "_numbers", "_pauses", "events", "name")

    def __init__(self, name: str = "gc", *, clock: Clock | None = None) -> None:
        require(bool(name), "name", name, "a name for its numbers")
        self.name = name
        self.events = Events()
        self._clock = clock or SystemClock()
        self._began: float | None = None
        self._pauses = Durations()
        self._numbers = tuple(_Generation() for _ in range(GENERATIONS))

    def __enter__(self) -> Self:
        require(self._called not in gc.callbacks, "collector", self.name, "entered once at a time")
        gc.callbacks.append(self._called)
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(ValueError):  # somebody emptied the list
            gc.callbacks.remove(self._called)
        self._began = None

    def _called(self, phase: str, info: Mapping[str, int]) -> None:
        """Note the beginning or the end of a collection; there is never one within another."""
        now = self._clock.monotonic()
        if phase == "start":
            self._began = now
            return
        began, self._began = self._began, None
        if began is None:  # it was under way when we began to watch
            return
        pause, numbers = now - began, self._numbers[info["generation"]]
        numbers.collections += 1
        numbers.collected += info["collected"]
        numbers.uncollectable += info["uncollectable"]
        numbers.seconds += pause
        self._pauses.add(pause)

    def stats(self) -> GarbageCollectorStats:
        """Return a snapshot of the counters."""
        named = {str(number): each for number, each in enumerate(self._numbers)}
        return GarbageCollectorStats(
            collections={name: each.collections for name, each in named.items()},
            collected={name: each.collected for name, each in named.items()},
            uncollectable={name: each.uncollectable for name, each in named.items()},
            pause_seconds={name: each.seconds for name, each in named.items()},
            pauses=self._pauses.within(),
            longest_pause_seconds=self._pauses.longest,
        )

    def __repr__(self) -> str:
        return f"GarbageCollector({self.name!r}, collections={self._pauses.count})"
