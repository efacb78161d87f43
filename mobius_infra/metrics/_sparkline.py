"""A series as a small picture, for a page with a light or a dark ground."""

import math
from collections.abc import Iterable
from html import escape
from itertools import pairwise

from mobius_infra.core import require
from mobius_infra.metrics._series import Point, in_order

_STYLE = (
    ".spark{stroke:#2563eb;fill:none;stroke-width:1.5;stroke-linejoin:round;stroke-linecap:round}"
    "@media(prefers-color-scheme:dark){.spark{stroke:#93c5fd}}"
)


def sparkline(
    points: Iterable[Point],
    *,
    label: str,
    width: int = 120,
    height: int = 24,
    gap: float | None = None,
) -> str:
    """Return a line of the points as SVG, to be put into a page as it is.

        sparkline([(cell.start, cell.mean) for cell in history.read("hits", 3600)], label="hits")

    Its colour follows the reader's light or dark setting. Without points it is empty, and says so
    to screen readers.

    Args:
        points: times in seconds and values, in any order; what is no number is left out.
        label: what it shows, for screen readers; any text, escaped here.
        width: pixels.
        height: pixels.
        gap: seconds without a point after which the line is broken; never if None.

    Raises:
        ConfigurationError: if a size or the gap is not positive.
    """
    for name, size in (("width", width), ("height", height)):
        require(4 <= size <= 10_000, name, size, "from 4 to 10,000 pixels")
    require(gap is None or 0 < gap < math.inf, "gap", gap, "a positive number of seconds")
    series = in_order(points)
    path = _path(series, width, height, gap or math.inf)
    said = f"{label}: last {series[-1][1]:.4g}" if series else f"{label}: no data"
    # What XML can't hold is left out: it would make the whole page unreadable.
    said = escape("".join(each for each in said if each.isprintable()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}"><title>{said}</title>'
        f'<style>{_STYLE}</style><path class="spark" d="{path}"/></svg>'
    )


def _path(series: list[Point], width: int, height: int, gap: float) -> str:
    """Return the line's corners, a margin of two pixels around them."""
    if not series:
        return ""
    first, last = series[0][0], series[-1][0]
    low, high = min(v for _, v in series), max(v for _, v in series)

    def corner(point: Point) -> str:
        x = _share(point[0], first, last) * (width - 4) + 2
        y = (1 - _share(point[1], low, high)) * (height - 4) + 2
        return f"{x:.1f},{y:.1f}"

    # A stroke of no length: with round ends it is a dot, which a lone point shows as.
    parts = [f"M{corner(series[0])}h0"]
    for before, point in pairwise(series):
        broken = point[0] - before[0] > gap
        parts.append(f"M{corner(point)}h0" if broken else f"L{corner(point)}")
    return "".join(parts)


def _share(value: float, low: float, high: float) -> float:
    """Return how far from `low` to `high` a value is; the middle if they are one."""
    return (value - low) / (high - low) if high > low else 0.5
