"""What an audit log counts, tells by events, and gives its witness."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from mobius_infra.core import Clock, Events, MobiusError
from mobius_infra.security._audit_checkpoint import Checkpoint, Witness
from mobius_infra.security._audit_errors import AuditError
from mobius_infra.security._audit_events import (
    AuditFailed,
    AuditRecovered,
    AuditStats,
    NotesDropped,
    SegmentBegun,
    SegmentsDropped,
    TrailDamaged,
    TrailRepaired,
    UpkeepFailed,
    WitnessFailed,
)
from mobius_infra.security._audit_store import Fact, Written


class Told:
    """Counters, events, and the witness, of one audit log.

    Attributes:
        behind: whether the witness could not keep the last that it was given.
    """

    __slots__ = (
        "_checkpoints", "_clock", "_damaged", "_dropped", "_events", "_failed", "_failing", "_full",
        "_groups", "_name", "_next", "_recorded", "_repaired", "_running", "_timeout", "_witness",
        "_witness_failures", "behind",
    )  # fmt: skip

    def __init__(
        self, name: str, clock: Clock, events: Events, witness: Witness | None, timeout: float
    ) -> None:
        self._name, self._clock, self._events = name, clock, events
        self._witness, self._timeout = witness, timeout
        self._recorded = self._failed = self._dropped = self._groups = 0
        self._repaired = self._damaged = self._checkpoints = self._witness_failures = 0
        self._failing = self._full = self.behind = False
        self._next: Checkpoint | None = None
        self._running: asyncio.Task[None] | None = None

    def group(self, records: int, outcome: Written | AuditError) -> None:
        """Count what became of a group."""
        self._full = False
        source, at = self._name, self._clock.time()
        if isinstance(outcome, AuditError):
            self._failing = True
            self.lost(outcome, records)
            return
        self._groups += 1
        self._recorded += records
        self._checkpoints += outcome.checkpoint is not None
        if self._failing:
            self._failing = False
            self._events.emit(AuditRecovered(source=source, at=at))

    def lost(self, error: MobiusError, records: int = 1) -> None:
        """Count what was not written."""
        self._failed += records
        self._events.emit(
            AuditFailed(
                source=self._name, at=self._clock.time(), records=records, reason=str(error)
            )
        )

    def no_room(self) -> None:
        """Count a record for which there was no room."""
        self._dropped += 1
        if not self._full:
            self._full = True
            self._events.emit(NotesDropped(source=self._name, at=self._clock.time()))

    def facts(self, facts: list[Fact]) -> bool:
        """Tell what the files went through; return whether one was closed."""
        source, at = self._name, self._clock.time()
        for kind, entry, path, size in facts:
            if kind == "repaired":
                self._repaired += 1
                self._events.emit(
                    TrailRepaired(source=source, at=at, entry=entry, file=path, size=size)
                )
            elif kind == "damaged":
                self._damaged += 1
                self._events.emit(TrailDamaged(source=source, at=at, entry=entry, file=path))
            elif kind == "rotated":
                self._events.emit(SegmentBegun(source=source, at=at, entry=entry, file=path))
            elif kind == "dropped":
                self._events.emit(SegmentsDropped(source=source, at=at, entry=entry, entries=size))
            else:
                self.upkeep_failed(path)
        return any(each.kind == "rotated" for each in facts)

    def upkeep_failed(self, reason: str) -> None:
        """Tell that a closed file stays as it is."""
        self._events.emit(UpkeepFailed(source=self._name, at=self._clock.time(), reason=reason))

    def witness(self, checkpoint: Checkpoint) -> None:
        """Have a checkpoint kept. One at a time; of those that wait only the newest counts."""
        if self._witness is None:
            return
        self._next = checkpoint
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._keep_all())

    async def settled(self) -> None:
        """Return when the witness has what there is, or had its time."""
        if self._running is not None:
            await asyncio.shield(self._running)

    async def witnessed(self, checkpoint: Checkpoint) -> None:
        """Have a checkpoint kept, and raise what the witness raises."""
        if self._witness is not None:
            await self._keep(self._witness, checkpoint)

    async def _keep_all(self) -> None:
        while (checkpoint := self._next) is not None and self._witness is not None:
            self._next = None
            with suppress(Exception):  # it was told
                await self._keep(self._witness, checkpoint)

    async def _keep(self, witness: Witness, checkpoint: Checkpoint) -> None:
        try:
            await _answered(witness.keep(checkpoint), self._timeout, self._clock)
            self.behind = False
        except Exception as error:
            self._no_witness(checkpoint, error)
            raise

    def _no_witness(self, checkpoint: Checkpoint, error: Exception) -> None:
        self.behind = True
        self._witness_failures += 1
        reason = f"{type(error).__name__}: {error}"
        self._events.emit(
            WitnessFailed(
                source=self._name, at=self._clock.time(), size=checkpoint.size, reason=reason
            )
        )

    def stats(self, *, entries: int, waiting: int) -> AuditStats:
        """Return a snapshot."""
        return AuditStats(
            recorded=self._recorded,
            failed=self._failed,
            dropped=self._dropped,
            groups=self._groups,
            repaired=self._repaired,
            damaged=self._damaged,
            checkpoints=self._checkpoints,
            witness_failures=self._witness_failures,
            entries=entries,
            waiting=waiting,
        )


async def _answered(asked: Coroutine[Any, Any, None], timeout: float, clock: Clock) -> None:
    """Wait for an answer so long; it is cancelled then, and not waited for if that does not help.

    Raises:
        TimeoutError: if none came, or it was given up by the other side.
        Exception: what the other side raised.
    """
    late = asyncio.ensure_future(clock.sleep(timeout))
    asking = asyncio.ensure_future(asked)
    try:
        await asyncio.wait({asking, late}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        late.cancel()
        in_time = not asking.cancel() and not asking.cancelled()
        asking.add_done_callback(_seen)
    if not in_time:
        raise TimeoutError(f"no answer in {timeout:g} seconds")
    asking.result()


def _seen(ended: "asyncio.Future[None]") -> None:
    """Take an error that nobody waits for any more, which asyncio would complain of."""
    if not ended.cancelled():
        ended.exception()
