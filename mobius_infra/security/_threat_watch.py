"""Watch what is done by scenarios, and by what is usual."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mobius_infra.security._baseline import Baseline, Usual, note
from mobius_infra.security._blocklist_names import By
from mobius_infra.security._scenario import Activity, Drops, Scenario, pour
from mobius_infra.security._threat_book import Book


class Offence(NamedTuple):
    """Something was too much.

    Attributes:
        subject: whose it was.
        scenario: the name of the bucket that overflowed, or `baseline`.
        risk: what it adds.
        seen: what the activities were about.
    """

    subject: str
    scenario: str
    risk: float
    seen: tuple[str, ...]


class Watch:
    """Pours activities into the buckets of those they are by.

    Args:
        scenarios: what is too much.
        baseline: how much more than usual is; None: no usual is learned.
        book: keeps the buckets.
    """

    __slots__ = ("_baseline", "_book", "_by_kind", "_every")

    def __init__(
        self, scenarios: Sequence[Scenario], baseline: Baseline | None, book: Book
    ) -> None:
        self._book = book
        self._baseline = baseline
        self._every = tuple(each for each in scenarios if not each.on)
        self._by_kind = {
            kind: tuple(each for each in scenarios if not each.on or kind in each.on)
            for kind in {kind for each in scenarios for kind in each.on}
        }

    def offences(
        self, activity: Activity, subjects: Mapping[By, str], now: float
    ) -> Iterator[Offence]:
        """Count an activity, and give what is too much with it."""
        for scenario in self._by_kind.get(activity.kind, self._every):
            subject = subjects.get(scenario.by)
            if subject is None:
                continue
            drops = self._book.track(subject, now).drops
            bucket = drops.get(scenario.name)
            if bucket is None:
                bucket = drops[scenario.name] = Drops()
            seen = pour(bucket, now, scenario, activity.about, activity.place)
            if seen is not None:
                yield Offence(subject, scenario.name, scenario.risk, seen)
        if self._baseline is not None and self._baseline.by in subjects:
            subject = subjects[self._baseline.by]
            track = self._book.track(subject, now)
            track.usual = track.usual or Usual()
            said = note(track.usual, now, self._baseline)
            if said is not None:
                yield Offence(subject, "baseline", self._baseline.risk, (said,))
