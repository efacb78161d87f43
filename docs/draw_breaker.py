"""Draw the pictures of `explanation/breaker.md`: `python docs/draw_breaker.py`.

The recovery is a real run: a breaker before a dependency that fails for a while, on a clock that
jumps. Colours are of middling lightness, to be read on a light page and on a dark one.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mobius_infra.breaker import (
    Backoff,
    CircuitBreaker,
    CircuitOpenError,
    RampUp,
    Seconds,
    State,
)
from mobius_infra.testing import ManualClock

HERE = Path(__file__).parent / "explanation"
COLOURS = {
    State.CLOSED: "#2e7d32",
    State.OPEN: "#c62828",
    State.HALF_OPEN: "#b26a00",
    State.RECOVERING: "#1976d2",
    State.ISOLATED: "#6d4c8f",
}
TEXT = "#767676"
PER_SECOND, UNTIL, DOWN_FROM, DOWN_UNTIL, BAR = 40, 60.0, 10.0, 25.0, 0.5


@dataclass
class Run:
    """What happened: ends of calls by bar, and what the state became when."""

    bars: list[Counter[str]] = field(default_factory=list)
    states: list[tuple[float, State]] = field(default_factory=list)


async def recovery() -> Run:
    """Call a dependency that is down for a while, and note how each call ended."""
    clock, chance = ManualClock(), random.Random(7)  # noqa: S311 - a picture, not a secret
    breaker = CircuitBreaker(
        "upstream",
        consecutive_failures=None,
        failure_rate=0.5,
        window=Seconds(5.0),
        backoff=Backoff(1.0, 5.0),
        permits=2,
        successes=2,
        ramp_up=RampUp(15.0),
        clock=clock,
        draw=chance.random,
    )

    @breaker
    async def ask() -> None:
        down = DOWN_FROM <= clock.monotonic() < DOWN_UNTIL
        if chance.random() < (0.9 if down else 0.01):
            raise OSError

    run = Run(states=[(0.0, State.CLOSED)])
    # From the events: a circuit is half-open for no longer than its probe takes.
    breaker.events.subscribe(lambda _: run.states.append((clock.monotonic(), breaker.state)))
    for number in range(int(UNTIL * PER_SECOND)):
        if number % int(BAR * PER_SECOND) == 0:
            run.bars.append(Counter())
        try:
            await ask()
            end = "answered"
        except CircuitOpenError:
            end = "rejected"
        except OSError:
            end = "failed"
        run.bars[-1][end] += 1
        clock.tick(1 / PER_SECOND)
    return run


def svg(width: int, height: int, parts: list[str], title: str) -> str:
    """Return a picture made of `parts`."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{TEXT}">'
        f"<title>{title}</title>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def text(x: float, y: float, what: str, more: str = "") -> str:
    """Return a line of text."""
    return f'<text x="{x:g}" y="{y:g}" {more}>{what}</text>'


def rect(x: float, y: float, wide: float, high: float, colour: str) -> str:
    """Return a filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{colour}"/>'


def draw_recovery(run: Run) -> str:
    """Return the picture of a run: how calls ended, bar by bar, over the state of the circuit."""
    left, top, wide, high = 48.0, 44.0, 780.0, 200.0
    bottom, across, tall = top + high, wide / UNTIL, high / (PER_SECOND * BAR)
    kinds = {
        "answered": COLOURS[State.CLOSED], "failed": COLOURS[State.OPEN], "rejected": "#9e9e9e",
    }  # fmt: skip
    outage = (DOWN_UNTIL - DOWN_FROM) * across
    parts = [
        rect(left + DOWN_FROM * across, top - 8, outage, 4, COLOURS[State.OPEN]),
        text(left + DOWN_FROM * across, top - 14, "the dependency is down"),
    ]
    for number, bar in enumerate(run.bars):
        y = bottom
        for kind, colour in kinds.items():
            length = bar[kind] * tall
            y -= length
            if length:
                x = left + number * BAR * across + 0.5
                parts.append(rect(x, y, BAR * across - 1, length, colour))
    for share in (0, 0.5, 1):
        label = f"{share * PER_SECOND:g}/s"
        parts.append(text(left - 6, bottom - share * high + 4, label, 'text-anchor="end"'))
    ends = [at for at, _ in run.states[1:]] + [UNTIL]
    spans = list(zip(run.states, ends, strict=True))
    for (begin, state), end in sorted(spans, key=lambda span: span[0][0] - span[1]):
        # The longest first: those that took no time are drawn over them, as ticks.
        long = max((end - begin) * across, 2.5)
        parts.append(rect(left + begin * across, bottom + 10, long, 18, COLOURS[state]))
    for second in range(0, int(UNTIL) + 1, 10):
        x = left + second * across
        parts.append(text(x, bottom + 46, f"{second} s", 'text-anchor="middle"'))
    of_calls = [(f"call {kind}", colour) for kind, colour in kinds.items()]
    of_states = [(s.replace("_", "-"), COLOURS[s]) for s in State if s is not State.ISOLATED]
    for row, entries in enumerate((of_calls, of_states)):
        for column, (label, colour) in enumerate(entries):
            x, y = left + column * 150, bottom + 70 + row * 22
            parts.append(rect(x, y - 11, 13, 13, colour))
            parts.append(text(x + 19, y, label))
    return svg(860, 350, parts, "Calls and state of a circuit while its dependency is down")


def box(x: float, y: float, state: State, below: str) -> str:
    """Return a state."""
    name = state.replace("_", "-")
    return (
        f'<rect x="{x - 75:g}" y="{y - 26:g}" width="150" height="52" rx="10" '
        f'fill="{COLOURS[state]}"/>'
        + text(x, y - 2, name, 'text-anchor="middle" fill="#fff" font-weight="600"')
        + text(x, y + 15, below, 'text-anchor="middle" fill="#fff" font-size="11"')
    )


def arrow(path: str, x: float, y: float, label: str, anchor: str = "middle") -> str:
    """Return a change of state."""
    return (
        f'<path d="{path}" fill="none" stroke="{TEXT}" stroke-width="1.6" '
        'marker-end="url(#tip)"/>' + text(x, y, label, f'text-anchor="{anchor}"')
    )


def draw_states() -> str:
    """Return the diagram of the states."""
    tip = (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{TEXT}"/>'
        "</marker></defs>"
    )
    parts = [
        tip,
        arrow("M235 70 H531", 383, 60, "a rule: too many failed, or were slow"),
        arrow("M640 96 V242", 650, 173, "the pause is over", "start"),
        arrow("M570 244 V98", 560, 165, "a probe failed, was", "end"),
        text(560, 182, "slow or never returned", 'text-anchor="end"'),
        arrow("M531 270 H407", 469, 260, "probes"),
        text(469, 288, "succeeded", 'text-anchor="middle"'),
        arrow("M320 244 C330 170 420 105 529 88", 318, 180, "a rule", "end"),
        arrow("M255 270 C215 270 195 200 182 98", 222, 222, "the ramp-up", "start"),
        text(226, 239, "is over", 'text-anchor="start"'),
        arrow("M605 296 C560 380 130 390 140 98", 350, 366, "probes succeeded, and no ramp-up"),
        box(160, 70, State.CLOSED, "lets all through, counts"),
        box(606, 70, State.OPEN, "rejects"),
        box(606, 270, State.HALF_OPEN, "lets probes through"),
        box(330, 270, State.RECOVERING, "lets a share through"),
        box(880, 170, State.ISOLATED, "rejects"),
        text(880, 220, "isolate() from any state,", 'text-anchor="middle"'),
        text(880, 238, "reset() closes", 'text-anchor="middle"'),
    ]
    return svg(980, 384, parts, "The states of a circuit")


def pictures() -> dict[str, str]:
    """Return the pictures by the names of their files."""
    return {
        "breaker-recovery.svg": draw_recovery(asyncio.run(recovery())),
        "breaker-states.svg": draw_states(),
    }


if __name__ == "__main__":
    for name, picture in pictures().items():
        (HERE / name).write_text(picture, encoding="utf-8")
