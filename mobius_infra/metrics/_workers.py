"""Several processes, one scrape."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mobius_infra.core import Clock, Stats, SystemClock, counter, gauge, require
from mobius_infra.metrics._beside import Beside, Source, gently
from mobius_infra.metrics._family import Family, Series, split
from mobius_infra.metrics._merge import Part, merge
from mobius_infra.metrics._prometheus import encode
from mobius_infra.metrics._slots import Slot, read_all

log = logging.getLogger("mobius_infra")


@dataclass(frozen=True, slots=True)
class WorkersStats(Stats):
    """What a worker did for the others."""

    written: int = counter("Snapshots written for the other workers")
    failures: Mapping[str, int] = counter("Steps that failed, by step", label="step")
    alive: int = gauge("Workers that were alive when last looked at")
    clashes: int = counter("Families left out: of another kind in another worker")


class Workers:
    """Lets whichever worker is scraped answer for all workers of a service.

        async with Workers("/run/bot/metrics", metrics) as workers:
            content_type, body = await workers.render(accept=None)

    Enter it in each worker, after the fork. Each writes its numbers to a file of its own at each
    interval, and at the end; hot paths never touch a file. Who is scraped adds the others' files
    to its own numbers of the moment:

    - counters, histograms and summaries are sums, of the living and the dead;
    - gauges are those of the living, told apart by a label `worker`: a small number, which the next
      worker takes over, so that it makes no more series than there are workers at once;
    - facts are told once.

    The others' numbers are up to `interval` old. An orderly end loses nothing. A worker that is
    killed loses what it counted since its last snapshot: at most `interval`, and the time that
    one takes. Foreign collectors of prometheus-client are not among the numbers.

    Args:
        directory: of these workers alone, on a local file system, best in memory (`/run`). It is
            made if need be, and keeps counters beyond restarts until somebody empties it.
        metrics: what this process has to say; None for one that only reads, and is not entered.
        interval: seconds from one snapshot to the next.
        max_series: of a family, that are kept one by one for workers that are dead; what is past
            that goes into one labelled `other`.
        name: in its statistics and logs.
        clock: where time comes from.

    Raises:
        ConfigurationError: for a number that is not positive.
    """

    def __init__(
        self,
        directory: str | Path,
        metrics: Source | None = None,
        *,
        interval: float = 5.0,
        max_series: int = 1_000,
        name: str = "workers",
        clock: Clock | None = None,
    ) -> None:
        require(type(max_series) is int and max_series > 0, "max_series", max_series, "at least 1")
        self.name = name
        self._directory = Path(directory)
        self._metrics = metrics
        self._max_series = max_series
        self._clock = clock or SystemClock()
        self._beside = Beside(name, interval, self._clock)
        self.events = self._beside.events
        self._slot: Slot | None = None
        self._written = self._alive = self._clashes = 0
        self._failures = dict.fromkeys(("read", "render"), 0)

    async def collect(self) -> list[Family]:
        """Return the families of all workers as one.

        A file that can't be read is left out and counted; the numbers are there again when its
        worker writes it anew.
        """
        own = [] if self._metrics is None else await self._metrics.collect_async()
        slot, now = self._slot, self._clock.time()
        return await self._beside.run(lambda: self._merged(slot, own, now))

    async def render(self, accept: str | None = None) -> tuple[str, bytes]:
        """Return the content type and body that a scrape with this `Accept` header gets."""
        families = await self.collect()

        def write() -> tuple[str, bytes]:
            content_type, parts = encode(split(families), accept, self._unfit)
            return content_type, b"".join(gently(parts))

        return await self._beside.run(write)

    def _unfit(self, family: str, error: Exception) -> None:
        self._failures["render"] += 1
        log.error("workers %r: %s could not be written", self.name, family, exc_info=error)

    def _merged(self, slot: Slot | None, own: list[Family], now: float) -> list[Family]:
        others, unreadable = read_all(self._directory, but=None if slot is None else slot.number)
        alive = [each for each in others if each.alive]
        dead = [each for each in others if not each.alive]
        parts: list[Part] = []
        ages: dict[str, float] = {}
        if slot is not None:
            parts += [Part(str(slot.number), own), Part(None, slot.inherited)]
            ages[str(slot.number)] = 0.0
        # The living first: where a name means two things by now, theirs is the one that holds.
        parts += [Part(str(each.slot), each.families) for each in alive]
        parts += [Part(None, each.families) for each in dead]
        ages |= {str(each.slot): max(now - each.at, 0.0) for each in alive}
        self._failures["read"] += unreadable
        self._alive = len(ages)
        merged = merge(parts)
        self._clashes += len(merged.clashes)
        return [*merged.families, _ages(ages)]

    async def write(self) -> None:
        """Write a snapshot now. What fails is logged and counted, and tried again next time."""
        if self._slot is not None:
            self._written += await self._beside.attempt(self._write)

    async def _write(self) -> None:
        slot, metrics = self._slot, self._metrics
        assert slot is not None  # noqa: S101 - as `write` saw
        assert metrics is not None  # noqa: S101 - it was entered
        families, at = await metrics.collect_async(), self._clock.time()
        await self._beside.run(lambda: slot.write(families, at))

    async def __aenter__(self) -> Self:
        require(self._slot is None, "workers", self.name, "entered once at a time")
        require(self._metrics is not None, "metrics", None, "given, for a worker that is entered")
        slot, now = Slot(self._directory, self._max_series), self._clock.time()
        try:
            await self._beside.run(lambda: slot.take(now))
        except BaseException:
            # Who failed, or was cancelled while the slot was taken, must not keep it.
            await self._beside.close(slot.release)
            raise
        self._slot = slot
        self._beside.start(self.write)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        slot = self._slot
        assert slot is not None  # noqa: S101 - for the type checker
        try:
            await self._beside.stop(self.write)
        finally:
            self._slot = None
            await self._beside.close(slot.release)

    def stats(self) -> WorkersStats:
        """Return a snapshot of the counters."""
        failures = {"write": self._beside.failures} | self._failures
        return WorkersStats(self._written, failures, self._alive, self._clashes)

    def __repr__(self) -> str:
        slot = None if self._slot is None else self._slot.number
        return f"Workers({str(self._directory)!r}, slot={slot})"


def _ages(ages: Mapping[str, float]) -> Family:
    series = tuple(Series((("worker", slot),), age) for slot, age in ages.items())
    doc = "Seconds since a worker wrote its numbers for the others"
    return Family("mobius_workers_age_seconds", "gauge", doc, series, "seconds")
