"""How often the youngest objects are looked through: a decision on measured pauses alone."""

from dataclasses import dataclass


@dataclass(slots=True)
class Young:
    """What the collections of the two younger generations did in a span of time.

    Attributes:
        collections: how many there were.
        seconds: how long they took together.
        longest: the longest.
        collected: objects that they freed.
    """

    collections: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    collected: int = 0

    def add(self, pause: float, collected: int) -> None:
        """Take one collection. A callback of the collector's calls it: nothing may be made here."""
        self.collections += 1
        self.seconds += pause
        if pause > self.longest:  # noqa: PLR1730 - a call would cost as much as the rest
            self.longest = pause
        self.collected += collected


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what the threshold moves, and what for."""

    least: int
    most: int
    most_pause: float
    most_share: float

    def step(self, threshold: int, young: Young, seconds: float) -> int:
        """Return the threshold after a span of `seconds` with `threshold`.

        Halved when a pause was too long: it grows with what is new. Doubled when pauses took too
        much time and freed little: of what was new, less than a tenth was garbage in cycles.
        """
        if young.longest > self.most_pause:
            return max(self.least, threshold // 2)
        dear = young.seconds > self.most_share * seconds
        barren = young.collected < 0.1 * threshold * young.collections
        return min(self.most, threshold * 2) if dear and barren else threshold


def next_interval(interval: float, collected: int, looked_at: int, least: float) -> float:
    """Return the seconds until the next full collection, from what the last one found.

    Doubled, up to 16 times the least, when fewer than one object in a hundred was garbage; halved
    when it was more than one in ten.
    """
    share = collected / max(looked_at, 1)
    if share < 0.01:
        return min(interval * 2, least * 16)
    return max(interval / 2, least) if share > 0.1 else interval
