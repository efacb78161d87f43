"""Availability of a service and its parts, over windows, restarts and planned work."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

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
from mobius_infra.health._ledger import (
    Availability,
    ErrorBudget,
    Ledger,
    Seen,
    Span,
    Tally,
)

log = logging.getLogger("mobius_infra")

WHOLE: Final = ""
"""The name under which the whole is kept, beside those of its parts."""

WINDOWS: Final[Mapping[str, float]] = {
    "1h": 3_600.0, "24h": 86_400.0, "7d": 604_800.0, "30d": 2_592_000.0, "90d": 7_776_000.0,
}  # fmt: skip
"""The usual windows, in seconds."""

_MOST_PARTS = 1_000
_MOST_PLANNED = 1_000

Read = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class UptimeNotSaved(Event):
    """Availability could not be loaded or saved. Told once, until it works again.

    Attributes:
        reason: what the backend said.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class UptimeStats(Stats):
    """The numbers of an uptime."""

    parts: int = gauge("Parts that are recorded, the whole aside")
    refused: int = counter("Parts that were not recorded: there are too many")
    read_failures: int = counter("Times that states could not be read")
    save_failures: int = counter("Times that it could not be loaded or saved")
    availability: Mapping[str, float] = gauge("Share of 30 days up", label="part")


class Uptime:
    """Records how long things are up, and tells their availability.

    For example::

        uptime = Uptime("shop", read=lambda: states_of(monitor.report()), backend=backend)

        async with uptime:
            ...
        uptime.availability("database", WINDOWS["30d"]).share

    A state is `up`, or `degraded`, which counts as up; `down`; or anything else, which counts as
    not observed. Time is that of the monotonic clock since the start, so that a wall clock which
    jumps changes nothing; only from one run to the next the wall clock counts, and never backwards.
    Days are those of UTC.

    What was saved last says until when a run went on. From then to the next start the whole was
    down, as nobody could be served, and its parts were not observed.

    Args:
        name: labels its numbers and events, and names what is kept.
        read: returns the state of each part now, and of the whole under `""`.
        backend: keeps it over restarts; None: it begins anew with each.
        interval: seconds between two looks, and so the error of an outage's length.
        save_interval: seconds between two times that it is saved, and so the most that a crash can
            add to an outage.
        clock: measures all of it.

    Raises:
        ConfigurationError: for an interval that is not positive.
    """

    def __init__(
        self,
        name: str,
        *,
        read: Read,
        backend: Backend | None = None,
        interval: float = 1.0,
        save_interval: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "not empty")
        for field, value in (("interval", interval), ("save_interval", save_interval)):
            require(0 < value < float("inf"), field, value, "a positive number of seconds")
        self.name = name
        self.events = Events()
        self._read = read
        self._backend = backend
        self._interval = interval
        self._save_interval = save_interval
        self._clock = clock or SystemClock()
        self._epoch = self._clock.time() - self._clock.monotonic()
        self._ledgers: dict[str, Ledger] = {}
        self._planned: list[tuple[int, int]] = []
        self._changed: set[str] = set()
        self._loaded = backend is None
        self._may_save = True
        self._failing = False
        self._refused = self._read_failures = self._save_failures = 0
        self._tasks: list[asyncio.Task[None]] = []

    # What is seen.

    def observe(self, states: Mapping[str, str]) -> None:
        """Record the state of each part as of now; one that is missing is not observed."""
        now = self._now()
        for part in [*states, *(self._ledgers.keys() - states.keys())]:
            ledger = self._ledgers.get(part)
            if ledger is None:
                if len(self._ledgers) >= _MOST_PARTS:
                    self._refused += 1
                    continue
                ledger = self._ledgers[part] = Ledger(now)
            ledger.record(_seen(states.get(part, "")), now)
            ledger.fold(self._planned)
            self._changed.add(part)

    def plan(self, start: float, end: float) -> None:
        """Say that maintenance is planned; that time counts neither as up nor as down.

        Args:
            start: in seconds since the epoch.
            end: likewise. It may be in the past: then the time until then counts no more, as far as
                it is younger than what is kept by the hour only.

        Raises:
            ConfigurationError: if it ends before it starts, or there is too much planned.
        """
        require(start < end, "end", end, f"after the start, {start}")
        require(len(self._planned) < _MOST_PLANNED, "plan", start, f"at most {_MOST_PLANNED} kept")
        self._planned = _merged([*self._planned, (_millis(start), _millis(end))])

    # What it comes to.

    @property
    def parts(self) -> list[str]:
        """The names of all that is recorded, the whole aside."""
        return [part for part in self._ledgers if part != WHOLE]

    def availability(self, part: str = WHOLE, window: float = WINDOWS["30d"]) -> Availability:
        """Return the availability of a part, or of the whole, in the last `window` seconds.

        What was never recorded was never observed.
        """
        now = self._now()
        begin = now - _millis(window)
        ledger = self._ledgers.get(part)
        if ledger is None:
            nothing = Tally(unobserved=now - begin)
            return Availability.of(nothing, nothing)
        return Availability.of(*ledger.tally(begin, now, self._planned))

    def budget(
        self, objective: float, part: str = WHOLE, window: float = WINDOWS["30d"]
    ) -> ErrorBudget:
        """Return what is left of the time that `part` may be down in a window.

        Raises:
            ConfigurationError: unless the objective is between 0 and 1.
        """
        require(0 < objective < 1, "objective", objective, "between 0 and 1, such as 0.999")
        return ErrorBudget.of(self.availability(part, window), objective, window)

    def days(self, part: str = WHOLE, days: int = 90) -> list[Availability]:
        """Return the availability on each of the last days, the oldest first, today last."""
        ledger = self._ledgers.get(part) or Ledger(self._now())
        found = ledger.by_day(self._now(), days, self._planned)
        return [Availability.of(each, each) for each in found]

    # Keeping it.

    async def load(self) -> None:
        """Take up what was kept. Once: later calls do nothing.

        Raises:
            BackendError: if the backend failed.
        """
        if self._backend is None or self._loaded:
            return
        data = await self._backend.get(self._key())
        head = None if data is None else _read_as(_Head, data)
        if data is not None and head is None:
            # Of a newer release, or damaged: it is left as it is, and this run is kept in memory.
            log.error("uptime %r: kept in a form that is not known here, and left alone", self.name)
            self._may_save = False
        if head is not None:
            await self._take_up(head, self._backend)
        self._loaded = True

    async def _take_up(self, head: "_Head", backend: Backend) -> None:
        stored = await backend.get_many([self._key(part) for part in head.parts])
        # A wall clock that was put back must not put what is new before what is old.
        self._epoch += max(head.until - self._now(), 0) / 1000
        self._planned = _merged([*self._planned, *head.planned])
        for part, data in zip(head.parts, stored, strict=True):
            kept = None if data is None else _read_as(_Kept, data)
            if kept is None:
                log.warning("uptime %r: what was kept of %r is lost", self.name, part)
                continue
            ledger = kept.ledger()
            ledger.note(head.until)
            ledger.record("down" if part == WHOLE else "unobserved", head.until)
            here = self._ledgers.get(part)
            for span in here.spans if here is not None else ():
                ledger.record(span.state, span.start)
            ledger.note(here.last if here is not None else self._now())
            self._ledgers[part] = ledger

    async def save(self) -> None:
        """Keep what changed, and that it is running.

        Raises:
            BackendError: if the backend failed; it is saved with the next.
        """
        if self._backend is None or not self._may_save:
            return
        await self.load()
        if not self._may_save:
            return
        changed, self._changed = self._changed, set()
        until = self._now()
        items = {self._key(part): _Kept.of(self._ledgers[part]) for part in changed}
        head = _Head(until=until, planned=self._planned, parts=list(self._ledgers))
        try:
            if items:
                await self._backend.set_many(items)
            # After its parts: whoever reads it finds them.
            await self._backend.set(self._key(), head.model_dump_json().encode())
        except BaseException:  # cancelled, too
            self._changed |= changed
            raise

    async def __aenter__(self) -> Self:
        require(not self._tasks, "uptime", self.name, "entered once at a time")
        await self._attempt(self.load)
        jobs = [self._look_always(), *([self._save_always()] if self._backend is not None else [])]
        self._tasks = [asyncio.create_task(job, name=f"uptime {self.name}") for job in jobs]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._attempt(self.save)

    async def _look_always(self) -> None:
        while True:
            try:
                self.observe(self._read())
            except Exception:  # of whatever it reads
                self._read_failures += 1
                log.exception("uptime %r: states could not be read", self.name)
                self.observe({})
            await self._clock.sleep(self._interval)

    async def _save_always(self) -> None:
        while True:
            await self._clock.sleep(self._save_interval)
            await self._attempt(self.save)

    async def _attempt(self, operation: Callable[[], Awaitable[None]]) -> None:
        """Load or save; a backend that fails is counted, and told once."""
        try:
            await operation()
        except BackendError as error:
            self._save_failures += 1
            if not self._failing:
                self._failing = True
                at = self._clock.time()
                self.events.emit(UptimeNotSaved(source=self.name, at=at, reason=str(error)))
        else:
            self._failing = False

    def stats(self) -> UptimeStats:
        """Return the numbers as they are now."""
        shares = {part or "whole": self.availability(part).share for part in self._ledgers}
        return UptimeStats(
            parts=len(self.parts),
            refused=self._refused,
            read_failures=self._read_failures,
            save_failures=self._save_failures,
            availability={part: share for part, share in shares.items() if share is not None},
        )

    def _now(self) -> int:
        return _millis(self._epoch + self._clock.monotonic())

    def _key(self, part: str | None = None) -> str:
        return f"uptime:{self.name}" if part is None else f"uptime:{self.name}:{part or '*'}"

    def __repr__(self) -> str:
        return f"Uptime({self.name!r}, parts={len(self.parts)})"


class _Stored(BaseModel):
    """What is kept, as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1


class _Head(_Stored):
    """Until when a run went on, and what there is."""

    until: int
    planned: list[tuple[int, int]]
    parts: list[str]


class _Kept(_Stored):
    """One ledger."""

    since: int
    folded: int
    last: int
    spans: list[Span]
    hours: list[tuple[int, Tally]]

    @classmethod
    def of(cls, ledger: Ledger) -> bytes:
        """Write one."""
        hours = list(ledger.hours.items())
        kept = cls(
            since=ledger.since, folded=ledger.folded, last=ledger.last, spans=ledger.spans,
            hours=hours,
        )  # fmt: skip
        return kept.model_dump_json().encode()

    def ledger(self) -> Ledger:
        """Return it as it was."""
        ledger = Ledger(self.since)
        ledger.spans, ledger.hours = self.spans, dict(self.hours)
        ledger.folded, ledger.last = self.folded, self.last
        return ledger


S = TypeVar("S", bound=_Stored)


def _read_as(kind: type[S], data: bytes) -> S | None:
    """Return what was stored; None if it is damaged, or of a newer release."""
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        return None


def _seen(state: str) -> Seen:
    return "up" if state in ("up", "degraded") else "down" if state == "down" else "unobserved"


def _millis(seconds: float) -> int:
    return round(seconds * 1000)


def _merged(planned: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return stretches of time in order, those that overlap made one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(planned):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged
