"""What chosen numbers did lately, for people to look at; optionally beyond a restart."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mobius_infra.core import (
    Backend,
    BackendError,
    Clock,
    Event,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)
from mobius_infra.metrics._archive import Archive
from mobius_infra.metrics._cells import Cell, Cells, Resolution
from mobius_infra.metrics._moments import LARGEST

log = logging.getLogger("mobius_infra")

RESOLUTIONS = (Resolution(1, 300), Resolution(10, 360), Resolution(60, 1440))
"""Five minutes by seconds, an hour by tens of seconds, a day by minutes: 118 KB a series."""

Read = Callable[[], float | None]
_LONGEST_NAME = 100
"""Characters; two of such names and some numbers fit in a backend's key."""

_NAME = f"1 to {_LONGEST_NAME} printable characters"


@dataclass(frozen=True, slots=True)
class HistoryStats(Stats):
    """What a history did so far."""

    series: int = gauge("Series kept")
    recorded: int = counter("Values taken")
    refused: Mapping[str, int] = counter("Values not taken, by reason", label="reason")
    read_failures: int = counter("Tracked numbers that could not be read")
    save_failures: int = counter("Times that the backend could not load or save")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryNotSaved(Event):
    """The backend does not take the history. Said once, until it takes it again.

    Attributes:
        reason: what the backend said.
    """

    reason: str


class History:
    """Chosen series in bounded memory: seconds, tens of seconds, minutes.

    For example::

        history = History("bot", backend=backend)
        history.track("hits", lambda: cache.stats().hits)
        async with history:
            ...
            history.read("hits", seconds=3600)

    Every value goes into a cell (size, sum, least, greatest, last) of each resolution. Entered as
    a context it loads what was saved, then reads the tracked numbers at each `interval`, and saves
    at each `save_interval` and at the end. A process that is killed loses what it had not saved
    yet. A backend that is gone is no error: history goes on in memory, and is saved later.

    Times are the wall clock's, since people read them and restarts must find them again. When it
    jumps, values are kept by what it says; nothing is lost but what is overwritten.

    Args:
        name: of this history; processes that share a backend need different ones.
        resolutions: finest first.
        max_series: a bound, so that names made of user input can't fill the memory.
        backend: where it survives restarts; in memory only if None.
        interval: seconds from one reading of the tracked numbers to the next.
        save_interval: seconds from one saving to the next.
        clock: where time comes from.

    Raises:
        ConfigurationError: for no resolution, steps that do not ascend, a number that is not
            positive, or a name that no key could hold.
    """

    def __init__(
        self,
        name: str,
        *,
        resolutions: Sequence[Resolution] = RESOLUTIONS,
        max_series: int = 100,
        backend: Backend | None = None,
        interval: float = 1.0,
        save_interval: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        require(_is_name(name), "name", name, _NAME)
        steps = [each.step for each in resolutions]
        require(
            bool(steps) and steps == sorted(set(steps)),
            "resolutions",
            resolutions,
            "one or more, finest first",
        )
        require(max_series > 0, "max_series", max_series, "a positive number")
        require(0 < interval < math.inf, "interval", interval, "positive seconds")
        require(0 < save_interval < math.inf, "save_interval", save_interval, "positive seconds")
        self.name = name
        self.events = Events()
        self._resolutions = tuple(resolutions)
        self._max_series = max_series
        self._interval = interval
        self._save_interval = save_interval
        self._clock = clock or SystemClock()
        self._archive = None if backend is None else Archive(backend, name, self._clock)
        self._series: dict[str, tuple[Cells, ...]] = {}
        self._tracked: dict[str, Read] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._failing = False
        self._recorded = self._read_failures = self._save_failures = 0
        self._refused = dict.fromkeys(
            ("not a number", "too old", "in the future", "bad name", "too many series"), 0
        )

    def track(self, series: str, read: Read) -> None:
        """Record what `read` returns at each interval, while the history is entered.

        None is for what is not known now: nothing is recorded.

        Raises:
            ConfigurationError: if the series is tracked already, or would be one too many.
        """
        require(series not in self._tracked, "series", series, "a name that is not tracked yet")
        require(_is_name(series), "series", series, _NAME)
        room = self._cells(series) is not None
        require(room, "series", series, f"among the first {self._max_series}: max_series")
        self._tracked[series] = read

    def track_rate(self, series: str, read: Read) -> None:
        """Track by how much a counter grows a second. One that begins anew counts from 0.

        The first sample records nothing: a rate needs two. Arguments and errors are those of
        `track`.
        """
        before: tuple[float, float] | None = None

        def rate() -> float | None:
            nonlocal before
            value, now, last = read(), self._clock.monotonic(), before
            before = None if value is None else (value, now)
            if value is None or last is None or now <= last[1]:
                return None
            grown = value - last[0] if value >= last[0] else value
            return grown / (now - last[1])

        self.track(series, rate)

    def record(self, series: str, value: float, at: float | None = None) -> None:
        """Take one value. No number raises: what can't be taken is counted in `stats()`.

        Args:
            series: its name.
            value: a number, at most 1e140.
            at: its time in seconds since the epoch, now if None. Late ones go where they belong;
                what is older than the coarsest resolution reaches, or more than one of its steps
                in the future, is not taken.
        """
        now = self._clock.time()
        when = now if at is None else at
        reason = self._reason(series, value, when, now)
        cells = None if reason else self._cells(series)
        if cells is None:
            self._refused[reason or "too many series"] += 1
            return
        for each in cells:
            if each.number(when) > each.number(now) - each.resolution.cells:
                each.add(when, value)
        self._recorded += 1

    def _reason(self, series: str, value: float, at: float, now: float) -> str | None:
        """Say why a value can't be taken, if it can't."""
        coarsest = self._resolutions[-1]
        if not (-LARGEST <= value <= LARGEST and -LARGEST <= at <= LARGEST):
            return "not a number"
        if at > now + coarsest.step:
            return "in the future"
        if at <= now - coarsest.span:
            return "too old"
        return None if _is_name(series) else "bad name"

    def _cells(self, series: str) -> tuple[Cells, ...] | None:
        """Return the cells of a series, new ones if there is room for it."""
        held = self._series.get(series)
        if held is None and _is_name(series) and len(self._series) < self._max_series:
            held = self._series[series] = tuple(Cells(each) for each in self._resolutions)
        return held

    def series(self) -> list[str]:
        """Return the names of all series, in order of appearance."""
        return list(self._series)

    def read(self, series: str, seconds: float) -> list[Cell]:
        """Return the last `seconds` of a series, oldest first, as finely as they are kept.

        Steps without a value have no cell. A series that is not known has none at all.
        """
        require(0 < seconds <= LARGEST, "seconds", seconds, "a positive number of seconds")
        now = self._clock.time()
        held = self._series.get(series)
        if held is None:
            return []
        fitting = [each for each in held if each.resolution.span >= seconds]
        return list((fitting or held[-1:])[0].between(now - seconds, now))

    def points(self, series: str, seconds: float) -> list[tuple[float, float]]:
        """Return `read` as pairs of a time and the mean of its step: what a chart is drawn from."""
        return [(cell.start, cell.mean) for cell in self.read(series, seconds)]

    async def load(self) -> None:
        """Add what was saved to what is here. Once: later calls do nothing.

        Raises:
            BackendError: if the backend failed.
        """
        if self._archive is not None:
            await self._archive.load(self._series, self._cells)

    async def save(self) -> None:
        """Store what changed since the last time.

        Raises:
            BackendError: if the backend failed; what was not stored stays to be saved.
        """
        if self._archive is not None:
            await self._archive.save(self._series, self._cells)

    def sample(self) -> None:
        """Record all tracked numbers now. One that can't be read does not hinder the others."""
        for series, read in self._tracked.items():
            try:
                if (value := read()) is not None:
                    self.record(series, value)
            except Exception:  # of whatever it reads; or what it gave is no number at all
                self._read_failures += 1
                log.exception("history %r: reading %r failed", self.name, series)

    async def _sample_always(self) -> None:
        while True:
            self.sample()
            await self._clock.sleep(self._interval)

    async def _save_always(self) -> None:
        while True:
            await self._clock.sleep(self._save_interval)
            await self._attempt(self.save)

    async def _attempt(self, operation: Callable[[], Awaitable[None]]) -> None:
        """Load or save; a backend that fails is counted and said once."""
        try:
            await operation()
        except BackendError as error:
            self._save_failures += 1
            if not self._failing:
                self._failing = True
                self.events.emit(
                    HistoryNotSaved(source=self.name, at=self._clock.time(), reason=str(error))
                )
        else:
            self._failing = False

    async def __aenter__(self) -> Self:
        require(not self._tasks, "history", self.name, "entered once at a time")
        await self._attempt(self.load)
        self._tasks = [asyncio.create_task(self._sample_always(), name=f"history {self.name}")]
        if self._archive is not None:
            self._tasks.append(
                asyncio.create_task(self._save_always(), name=f"history {self.name}: save")
            )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._attempt(self.save)

    def stats(self) -> HistoryStats:
        """Return a snapshot of the counters."""
        return HistoryStats(
            len(self._series),
            self._recorded,
            dict(self._refused),
            self._read_failures,
            self._save_failures,
        )

    def __repr__(self) -> str:
        return f"History({self.name!r}, series={len(self._series)})"


def _is_name(text: str) -> bool:
    """Say if a text can be part of a key in any backend."""
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable()
