"""What an audit log tells of itself, and counts."""

from dataclasses import dataclass

from mobius_infra.core import Event, Stats, counter, gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFailed(Event):
    """Records could not be written; whoever waited for them was told too.

    Attributes:
        records: how many.
        reason: what the system said.
    """

    records: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecovered(Event):
    """Records can be written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesDropped(Event):
    """So many records wait that nobody waits for, that others of that kind are dropped.

    Told once, until there is room again.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailRepaired(Event):
    """A line that a killed process left half written was cut off. It was not acknowledged.

    Attributes:
        entry: the place of the entry that says so.
        file: where.
        size: bytes that were cut off.
    """

    entry: int
    file: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailDamaged(Event):
    """What was written was changed, or is gone. It is left as it is; another file goes on.

    Attributes:
        entry: the first that is not as it was written.
        file: where.
    """

    entry: int
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentBegun(Event):
    """A file was closed, and another begun.

    Attributes:
        entry: the place of its first entry.
        file: the new one.
    """

    entry: int
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentsDropped(Event):
    """Closed files were removed, because they were kept long enough.

    Attributes:
        entry: the first that is still there.
        entries: how many were removed.
    """

    entry: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepFailed(Event):
    """A closed file could not be compressed or removed; it is tried again with the next.

    Attributes:
        reason: what the system said.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessFailed(Event):
    """A checkpoint could not be kept by the witness; it will be given the next one.

    Attributes:
        size: entries that it was of.
        reason: what the witness raised.
    """

    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class AuditStats(Stats):
    """What an audit log counted."""

    recorded: int = counter("Records that were written")
    failed: int = counter("Records that could not be written")
    dropped: int = counter("Records that nobody waited for, and for which there was no room")
    groups: int = counter("Times that records were written, many at once")
    repaired: int = counter("Torn lines that were cut off")
    damaged: int = counter("Times that something written was found changed or gone")
    checkpoints: int = counter("Checkpoints that were signed")
    witness_failures: int = counter("Checkpoints that the witness could not keep")
    entries: int = gauge("Entries of the trail, as far as this process knows")
    waiting: int = gauge("Records that wait to be written")
