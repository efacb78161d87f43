"""All numbers, again and again, as lines of JSON in a file."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mobius_infra.core import Clock, Stats, SystemClock, counter, gauge, require
from mobius_infra.metrics._beside import Beside, Source, gently
from mobius_infra.metrics._family import Family
from mobius_infra.metrics._json import to_json
from mobius_infra.metrics._rotating import RotatingFile


@dataclass(frozen=True, slots=True)
class JsonLinesStats(Stats):
    """What became of the lines."""

    written: int = counter("Lines in the file")
    failures: int = counter("Times that the numbers could not be collected or written")
    dropped: Mapping[str, int] = counter("Lines that were never written, by reason", label="reason")
    rotations: int = counter("Times that a full file made room for another")
    waiting: int = gauge("Lines that are written when the file can be written again")


class JsonLines:
    """Appends all numbers to a file at each interval, one line of JSON each time.

        async with JsonLines("/var/log/bot/metrics.jsonl", metrics, interval=60):
            ...

    Each line is what `to_json` writes. Whoever reads leaves out a line that is no JSON: a process
    that is killed while it writes leaves the begin of one. The next begins on a fresh line.

    Nothing is raised while it runs. If the disk is full, lines wait in memory and are written when
    there is room, in order; past `max_bytes` of them the oldest are dropped. All of it is counted,
    and a failure is said by the event `ExportFailed`.

    Args:
        path: of the file. Each process needs its own.
        metrics: what to write.
        interval: seconds from one line to the next; one more is written at the end.
        max_bytes: of one file; a line that is longer is dropped.
        backups: full files that are kept, the newest as `path.1`. On the disk there are at most
            `max_bytes * (backups + 1)`.
        fsync: whether each line is forced to the disk. If not, a line that was written survives
            the death of the process all the same, but a power cut takes the last half minute.
        name: in its statistics, events and logs.
        clock: where time comes from.

    Raises:
        ConfigurationError: for a number that makes no sense.
    """

    def __init__(
        self,
        path: str | Path,
        metrics: Source,
        *,
        interval: float = 60.0,
        max_bytes: int = 10_000_000,
        backups: int = 5,
        fsync: bool = False,
        name: str = "lines",
        clock: Clock | None = None,
    ) -> None:
        for field, value, least in (("max_bytes", max_bytes, 1), ("backups", backups, 0)):
            fits = type(value) is int and value >= least
            require(fits, field, value, f"a number from {least} on")
        self.name = name
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._file = RotatingFile(Path(path), max_bytes, backups, fsync=fsync)
        self._clock = clock or SystemClock()
        self._beside = Beside(name, interval, self._clock)
        self.events = self._beside.events
        self._entered = False
        self._waiting: deque[bytes] = deque()
        self._written = 0
        self._dropped = dict.fromkeys(("too long", "no room"), 0)

    async def write(self) -> None:
        """Write a line now, and before it those that wait."""
        await self._beside.attempt(self._write)

    async def _write(self) -> None:
        families, at = await self._metrics.collect_async(), self._clock.time()
        await self._beside.run(lambda: self._append(families, at))

    def _append(self, families: list[Family], at: float) -> None:
        self._hold(to_json(gently(families), at=at) + b"\n")
        while self._waiting:
            self._file.append(self._waiting[0])
            self._waiting.popleft()
            self._written += 1

    def _hold(self, line: bytes) -> None:
        """Have a line wait, in place of the oldest if there is no room."""
        if len(line) > self._max_bytes:
            self._dropped["too long"] += 1
            return
        self._waiting.append(line)
        while sum(map(len, self._waiting)) > self._max_bytes:
            self._waiting.popleft()
            self._dropped["no room"] += 1

    async def __aenter__(self) -> Self:
        require(not self._entered, "lines", self.name, "entered once at a time")
        self._entered = True
        self._beside.start(self.write)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self._beside.stop(self.write)
        finally:
            self._entered = False
            await self._beside.close()

    def stats(self) -> JsonLinesStats:
        """Return a snapshot of the counters."""
        return JsonLinesStats(
            written=self._written,
            failures=self._beside.failures,
            dropped=dict(self._dropped),
            rotations=self._file.rotations,
            waiting=len(self._waiting),
        )

    def __repr__(self) -> str:
        return f"JsonLines({str(self._file.path)!r}, written={self._written})"
