"""Draw what each algorithm lets through of the same arrivals: `python -m docs.pictures.ratelimit`.

The time is simulated, so the picture is the same each time. It is drawn by hand, as SVG: two
dozen rectangles need no plotting library.
"""

import asyncio
import random
from pathlib import Path

from mobius_infra.ratelimit import (
    GCRA,
    FixedWindow,
    LeakyBucket,
    LeakyQueue,
    Limit,
    RateLimitedError,
    RateLimiter,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)
from mobius_infra.testing import ManualClock

SECONDS, WIDTH, ROW, LEFT, RIGHT = 7.0, 900, 34, 170, 180
LIMITS: list[tuple[str, Limit]] = [
    ("TokenBucket", TokenBucket("10/second", burst=10)),
    ("LeakyBucket", LeakyBucket("10/second", capacity=10)),
    ("GCRA, no burst", GCRA("10/second")),
    ("LeakyQueue", LeakyQueue("10/second", capacity=10)),
    ("FixedWindow", FixedWindow("10/second")),
    ("SlidingWindowCounter", SlidingWindowCounter("10/second")),
    ("SlidingWindowLog", SlidingWindowLog("10/second")),
]


def arrivals() -> list[float]:
    """Return a trickle, a burst across the border of a second, silence, and a flood."""
    chance = random.Random(5)  # noqa: S311 - for a picture
    trickle = [chance.uniform(0.0, 0.9) for _ in range(6)]
    burst = [0.9 + 0.2 * number / 40 for number in range(40)]
    flood = [3.0 + 2.5 * number / 150 for number in range(150)]
    return sorted(trickle + burst + flood)


async def admitted(limit: Limit, times: list[float]) -> list[float]:
    """Return when calls go out that come at `times`."""
    clock = ManualClock(epoch=1_700_000_000.0)
    limiter = RateLimiter("picture", limit, clock=clock)
    out = []
    for time in times:
        clock.tick(max(time - clock.monotonic(), 0.0))
        try:
            # A queue tells how long to wait; the others let pass or refuse.
            permit = (
                await limiter.reserve(max_delay=9) if _queue(limit) else await limiter.acquire()
            )
        except RateLimitedError:
            continue
        out.append(time + permit.delay)
    return out


def _queue(limit: Limit) -> bool:
    return isinstance(limit, LeakyQueue)


def most_in_a_second(times: list[float]) -> int:
    """Return the most in any stretch of a second, one end included."""
    return max(sum(at <= each < at + 1 - 1e-5 for each in times) for at in times)


def row(name: str, times: list[float], number: int) -> str:
    """Return one line of the picture: a stroke for each call that goes out."""
    top = 30 + number * ROW
    scale = (WIDTH - LEFT - RIGHT) / SECONDS
    strokes = "".join(f"M{LEFT + at * scale:.1f} {top}v20" for at in times)
    return (
        f'<text x="{LEFT - 10}" y="{top + 14}" text-anchor="end">{name}</text>'
        f'<path d="{strokes}" stroke="#2266bb" stroke-opacity=".6"/>'
        f'<text x="{WIDTH - RIGHT + 20}" y="{top + 14}">{len(times)} in all, at most '
        f"{most_in_a_second(times)}/s</text>"
    )


async def draw() -> str:
    """Return the picture."""
    times = arrivals()
    rows = [row("arrivals", times, 0)]
    for number, (name, limit) in enumerate(LIMITS, start=1):
        rows.append(row(name, await admitted(limit, times), number))
    height = 60 + len(rows) * ROW
    scale = (WIDTH - LEFT - RIGHT) / SECONDS
    grid = "".join(
        f'<path d="M{LEFT + second * scale:.1f} 20V{height - 30}" stroke="#999" '
        f'stroke-dasharray="2 4"/><text x="{LEFT + second * scale:.1f}" y="{height - 14}" '
        f'text-anchor="middle">{second} s</text>'
        for second in range(int(SECONDS) + 1)
    )
    body = "\n".join([grid, *rows])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12" fill="#444">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(asyncio.run(draw()), encoding="utf-8")
