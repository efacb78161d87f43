"""Draw the pictures of `docs/explanation/overload.md`: `python -m benchmarks.draw_overload`.

What is drawn is the overload that `tests/ratelimit/test_simulation.py` holds to its figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ratelimit import overload
from tests.ratelimit.overload import GUARDS, Limited, World, simulate

FOLDER = Path(__file__).parents[1] / "docs" / "explanation"
COLOURS = ["#9ca3af", "#2563eb", "#16a34a", "#d97706", "#dc2626"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 330, 230, 46, 40, 28

Line = list[tuple[float, float]]


@dataclass
class Panel:
    """One diagram: lines in a box with two axes."""

    title: str
    across: str
    lines: dict[str, Line]
    xs: Sequence[float]
    ys: Sequence[float]

    def draw(self, left: float) -> list[str]:
        right, low = left + WIDTH, TOP + HEIGHT

        def x(value: float) -> float:
            return left + WIDTH * (value - self.xs[0]) / (self.xs[-1] - self.xs[0])

        def y(value: float) -> float:
            inside = min(max(value, self.ys[0]), self.ys[-1])
            return low - HEIGHT * (inside - self.ys[0]) / (self.ys[-1] - self.ys[0])

        svg = [_text(left, TOP - 12, self.title, weight="bold")]
        for value in self.ys:
            svg.append(f'<path d="M{left} {y(value):.1f}H{right}" stroke="#e5e7eb"/>')
            svg.append(_text(left - 6, y(value) + 4, f"{value:g}", anchor="end"))
        svg += [_text(x(value), low + 16, f"{value:g}", anchor="middle") for value in self.xs]
        svg.append(_text((left + right) / 2, low + 33, self.across, anchor="middle"))
        for colour, line in zip(COLOURS, self.lines.values(), strict=False):
            points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
            shape = f'<polyline points="{points}" fill="none" stroke="{colour}"'
            svg.append(f'{shape} stroke-width="2" stroke-linejoin="round"/>')
        return svg


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{text}</text>'


def save(name: str, panels: Sequence[Panel]) -> None:
    """Write the panels side by side, with one legend of all their lines."""
    body: list[str] = []
    for number, panel in enumerate(panels):
        body += panel.draw(LEFT + number * (WIDTH + LEFT + 14))
    width = len(panels) * (WIDTH + LEFT + 14) + 10
    legend = TOP + HEIGHT + BOTTOM + 20
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    at = float(LEFT)
    for colour, label in zip(COLOURS, names, strict=False):
        body.append(f'<path d="M{at} {legend - 4}h18" stroke="{colour}" stroke-width="3"/>')
        body.append(_text(at + 24, legend, label))
        at += 44 + 6.4 * len(label)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {legend + 14}"'
    font = 'font-family="sans-serif" font-size="12" fill="#374151"'
    white = '<rect width="100%" height="100%" fill="#ffffff"/>'
    svg = "\n".join([f"{head} {font}>", white, *body, "</svg>", ""])
    (FOLDER / name).write_text(svg)


def draw_overload() -> None:
    """Goodput and latency against the load, for each guard."""
    loads = [quarter / 4 for quarter in range(2, 17)]
    results = {name: {load: simulate(name, load) for load in loads} for name in GUARDS}
    unloaded = results["unguarded"][0.5].p99
    goodput = {
        name: [(load, result.goodput) for load, result in each.items()]
        for name, each in results.items()
    }
    p99 = {
        name: [(load, result.p99 / unloaded) for load, result in each.items()]
        for name, each in results.items()
    }
    ticks = [0.5, 1, 2, 3, 4]
    offered = "offered load, in times of the capacity"
    save(
        "overload.svg",
        [
            Panel(
                "Answered in time, share of capacity",
                offered,
                goodput,
                ticks,
                [0, 0.25, 0.5, 0.75, 1],
            ),
            Panel(
                "p99 of admitted calls, in times of unloaded", offered, p99, ticks, [0, 1, 2, 3, 4]
            ),
        ],
    )


def draw_finding() -> None:
    """The limit over time, while the server loses workers and gets them back."""
    workers: Line = []
    limits: dict[str, Line] = {"workers": workers}
    for name in ("Gradient2", "Vegas", "Aimd"):
        line: Line = []
        limits[name] = line
        world = World(2.0, seconds=115)
        GUARDS[name](world)
        assert isinstance(world.guard, Limited)
        limiter = world.guard.limiter
        for second in range(1, 120):
            world.after(second, lambda now=second, to=line, of=limiter: to.append((now, of.limit)))
        world.after(40, world.lose, 6)
        world.after(80, world.lose, -6)
        world.run()
    full, few = overload.WORKERS, overload.WORKERS - 6
    workers += [(0, full), (40, full), (40, few), (80, few), (80, full), (120, full)]
    save(
        "finding.svg",
        [
            Panel(
                "Limit, and workers behind it", "seconds", limits, [0, 40, 80, 120], [0, 10, 20, 30]
            )
        ],
    )


if __name__ == "__main__":
    draw_overload()
    draw_finding()
