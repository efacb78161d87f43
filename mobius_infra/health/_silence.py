"""Silences and maintenance windows: what is known of, and not to be told for some time."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from mobius_infra.core import require
from mobius_infra.health._alert_conditions import require_number, require_seconds
from mobius_infra.health._rules import require_labels


def matches(match: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Say whether every label in `match` fits its pattern, of shell's kind: `db-*`, `[ab]?`.

    A label that an alert does not have is empty, and fits `*`.
    """
    return all(fnmatchcase(labels.get(name, ""), pattern) for name, pattern in match.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Alerts that match are looked at and listed as ever, and not told of while it lasts.

    What still fires when it ends is told then. A resolution is told to those who heard of the
    alert before.

    Attributes:
        id: unique.
        match: patterns by label; all must fit. `{"alert": "*"}` is everything.
        starts_at: when it begins, in seconds since the epoch.
        ends_at: when it ends: of the first time, if it comes again.
        every: seconds from one beginning to the next; None: it comes once.
        kind: `silence`, or `maintenance` for what was planned.
        by: who made it.
        note: why.
    """

    id: str
    match: Mapping[str, str]
    starts_at: float
    ends_at: float
    every: float | None = None
    kind: Literal["silence", "maintenance"] = "silence"
    by: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        require(bool(self.id), "id", self.id, "a name that no other silence has")
        require_labels("match", self.match)
        require(bool(self.match), "match", self.match, 'at least one label; {"alert": "*"} for all')
        require_number("starts_at", self.starts_at)
        require_number("ends_at", self.ends_at, "seconds since the epoch: a silence must end")
        later = self.ends_at > self.starts_at
        require(later, "ends_at", self.ends_at, f"after it starts, at {self.starts_at:g}")
        if self.every is not None:
            length = self.ends_at - self.starts_at
            require_seconds("every", self.every)
            require(self.every > length, "every", self.every, f"more than its {length:g} s")

    def lasts(self, now: float) -> bool:
        """Say whether it is in force."""
        since = now - self.starts_at
        if self.every is not None and since >= 0:
            since %= self.every
        return 0 <= since < self.ends_at - self.starts_at

    def over(self, now: float) -> bool:
        """Say whether it never comes again."""
        return self.every is None and now >= self.ends_at

    def hides(self, labels: Mapping[str, str], now: float) -> bool:
        """Say whether an alert with these labels is not to be told now."""
        return self.lasts(now) and matches(self.match, labels)
