"""The hit rate over time, kept in bounded memory and drawn."""

from collections import deque
from collections.abc import Callable
from html import escape
from typing import NamedTuple

from mobius_infra.core import Clock

INTERVAL = 10.0
"""Seconds that one point of the picture stands for."""

_POINTS = 360  # an hour
_WIDTH, _HEIGHT, _LEFT, _TOP = 640, 160, 44, 28


class Point(NamedTuple):
    """What was asked for in one interval.

    Attributes:
        at: its end, in seconds since 1970.
        hits: values found, in whichever tier.
        misses: values that were not.
    """

    at: float
    hits: int
    misses: int

    @property
    def hit_rate(self) -> float:
        """The share of hits; 0 if nothing was asked for."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class History:
    """Takes the counts at every interval.

    Args:
        counts: returns hits and misses since the beginning.
        clock: measures.
    """

    def __init__(self, counts: Callable[[], tuple[int, int]], clock: Clock) -> None:
        self.points: deque[Point] = deque(maxlen=_POINTS)
        self._counts = counts
        self._clock = clock

    async def run(self) -> None:
        """Take the counts, for ever."""
        hits, misses = self._counts()
        while True:
            await self._clock.sleep(INTERVAL)
            now_hits, now_misses = self._counts()
            point = Point(self._clock.time(), now_hits - hits, now_misses - misses)
            self.points.append(point)
            hits, misses = now_hits, now_misses


def draw(points: list[Point], title: str) -> str:
    """Return an SVG of the hit rate; intervals in which nothing was asked for are gaps."""
    right, bottom = _LEFT + _WIDTH, _TOP + _HEIGHT
    step = _WIDTH / max(len(points) - 1, 1)
    lines: list[list[str]] = [[]]
    for number, point in enumerate(points):
        if point.hits + point.misses:
            y = bottom - point.hit_rate * _HEIGHT
            lines[-1].append(f"{_LEFT + number * step:.1f},{y:.1f}")
        elif lines[-1]:
            lines.append([])
    # The last point twice: one that is alone is drawn as a dot.
    drawn = "".join(
        f'<polyline points="{" ".join([*line, line[-1]])}" fill="none" stroke="#2563eb" '
        'stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>'
        for line in lines
        if line
    )
    grid = "".join(
        f'<line x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="#8883"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{share}%</text>'
        for share in (0, 50, 100)
        for y in [bottom - share / 100 * _HEIGHT]
    )
    minutes = len(points) * INTERVAL / 60
    latest = f"{points[-1].hit_rate:.0%}" if points else "no data yet"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right + 16} {bottom + 24}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#777">'
        f'<text x="{_LEFT}" y="16" font-size="13">{escape(title)}: hit rate, now {latest}</text>'
        f"{grid}{drawn}"
        f'<text x="{_LEFT}" y="{bottom + 18}">{minutes:.0f} min ago</text>'
        f'<text x="{right}" y="{bottom + 18}" text-anchor="end">now</text></svg>'
    )
