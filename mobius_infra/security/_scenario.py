"""Scenarios: leaky buckets that say when somebody has done too much.

After CrowdSec's: what is watched pours in, time leaks out, and what overflows is an offence.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import asin, ceil, cos, radians, sin, sqrt
from typing import Final

from mobius_infra.core import require
from mobius_infra.security._blocklist_names import By
from mobius_infra.security._blocklist_steps import require_number, require_positive

Place = str | tuple[float, float]
"""Where from: a country, a network; or degrees, north and east."""

_SHOWN: Final = 64  # characters of what an activity was about
_EVIDENCE: Final = 16  # of those, where all that counts is how many
_MOST_DISTINCT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that was done.

    Attributes:
        kind: what: `login_failed`, `command`, `not_found`; any word of yours.
        user: who did it.
        ip: from which address; not the peer of a Telegram webhook, which is Telegram.
        chat: in which chat.
        about: which account, command or payload; shown in events.
        place: where from: text, or degrees north and east.
    """

    kind: str
    user: str | int | None = None
    ip: str | None = None
    chat: str | int | None = None
    about: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is too much of something.

    Attributes:
        name: says what was done, in events.
        on: the kinds of activity that it watches; none: all.
        by: whose activity is counted together.
        capacity: how many the bucket holds; one more overflows it.
        leak: seconds in which one leaks out.
        distinct: whether what an activity is about counts once only while it is in the bucket.
        silence: seconds without activity after which the bucket is watched until it is empty;
            None: always.
        switching: whether only a change of place counts.
        speed: km/h up to which a change of place, in degrees, is a journey.
        risk: what an overflow adds to the subject's risk.

    Raises:
        ConfigurationError: if a value can't work.
    """

    name: str
    on: Sequence[str] = ()
    by: By = "user"
    capacity: float = 10.0
    leak: float = 60.0
    distinct: bool = False
    silence: float | None = None
    switching: bool = False
    speed: float = 1_000.0
    risk: float = 50.0

    def __post_init__(self) -> None:
        require(bool(self.name), "name", self.name, "text that is not empty")
        good = not isinstance(self.on, str) and all(isinstance(kind, str) for kind in self.on)
        require(good, "on", self.on, "a collection of kinds of activity")
        require(self.by in ("user", "ip", "chat"), "by", self.by, "'user', 'ip' or 'chat'")
        require_number("capacity", self.capacity, 0, "a number of 0 or more")
        require(
            not self.distinct or self.capacity <= _MOST_DISTINCT,
            "capacity", self.capacity, f"at most {_MOST_DISTINCT} where it is `distinct`",
        )  # fmt: skip
        require_positive("leak", self.leak)
        if self.silence is not None:
            require_positive("silence", self.silence)
        require_positive("speed", self.speed)
        require_positive("risk", self.risk)


class Drops:
    """One bucket.

    Attributes:
        level: what is in it at `at`.
        at: when that was, in seconds.
        seen: what the drops in it are about, the oldest first.
        armed: whether a silence has ended lately.
        last: when something was last done.
        place: where from, last.
        placed: when that was.
    """

    __slots__ = ("armed", "at", "last", "level", "place", "placed", "seen")

    def __init__(self) -> None:
        self.level = 0.0
        self.at = self.placed = 0.0
        self.seen: deque[str] = deque()
        self.armed = False
        self.last: float | None = None
        self.place: Place | None = None


def pour(
    drops: Drops, now: float, scenario: Scenario, about: str | None, place: Place | None
) -> tuple[str, ...] | None:
    """Pour an activity in; return what was in the bucket if it overflows, and empty it.

    The pure step: the bucket is changed in place.
    """
    _leak(drops, now, scenario)
    last, drops.last = drops.last, now
    if scenario.silence is not None and not _armed(drops, now, last, scenario.silence):
        return None
    if scenario.switching:
        about = _switch(drops, now, scenario.speed, place)
        if about is None:
            return None
    if scenario.distinct and about is None:
        return None
    shown = None if about is None else cut(about)
    if scenario.distinct and shown in drops.seen:
        return None
    drops.level += 1
    if shown is not None:
        drops.seen.append(shown)
        if not scenario.distinct and len(drops.seen) > _EVIDENCE:
            drops.seen.popleft()
    if drops.level <= scenario.capacity:
        return None
    seen = tuple(drops.seen)
    drops.level, drops.armed = 0.0, False
    drops.seen.clear()
    return seen


def _leak(drops: Drops, now: float, scenario: Scenario) -> None:
    drops.level = max(drops.level - max(now - drops.at, 0.0) / scenario.leak, 0.0)
    drops.at = now
    while len(drops.seen) > ceil(drops.level):
        drops.seen.popleft()


def _armed(drops: Drops, now: float, last: float | None, silence: float) -> bool:
    if last is not None and now - last >= silence:
        drops.armed = True
    elif not drops.level:
        drops.armed = False
    return drops.armed


def _switch(drops: Drops, now: float, speed: float, place: Place | None) -> str | None:
    """Return the change of place in words; None if it is none, or one that can be travelled."""
    if place is None:
        return None
    before, since = drops.place, drops.placed
    drops.place, drops.placed = place, now
    if before is None or before == place:
        return None
    if not isinstance(before, str) and not isinstance(place, str):
        hours = max(now - since, 0.0) / 3600
        if distance(before, place) <= speed * hours + 50:  # km: no source knows it better
            return None
    return f"{_named(before)} to {_named(place)}"


def _named(place: Place) -> str:
    return place if isinstance(place, str) else f"{place[0]:.1f},{place[1]:.1f}"


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return kilometres between two places on the globe (the haversine formula)."""
    north1, east1, north2, east2 = map(radians, (*one, *other))
    chord = (
        sin((north2 - north1) / 2) ** 2 + cos(north1) * cos(north2) * sin((east2 - east1) / 2) ** 2
    )
    return 2 * 6371.0 * asin(sqrt(min(chord, 1.0)))


def cut(about: str) -> str:
    """Return a text as it is kept: of a long one the beginning, and a digest."""
    if len(about) <= _SHOWN:
        return about
    digest = blake2b(about.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{about[: _SHOWN - 17]}…{digest}"
