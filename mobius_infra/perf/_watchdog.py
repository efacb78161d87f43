"""Who holds up the event loop: seen from another thread, while it happens."""

import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable
from types import FrameType

log = logging.getLogger("mobius_infra")

Stack = tuple[str, ...]

MOST_SAMPLES = 50
"""Stacks taken of one block: enough to tell where it was, however long it lasts."""
DEEPEST = 30
"""Lines kept of a stack, the innermost."""


class Watchdog:
    """Looks at a loop's stack while the loop is late.

    The loop says `beat` when it runs, and when it will again. A thread says `look`. All that they
    share is plain attributes, each written by one of the two, and `turn`, by which the thread
    sees that the loop has gone on while its stack was read.

    Args:
        name: of the loop, for the log.
        slow: seconds late from which on it is held up.
        hang: seconds late after which it is logged, since the loop itself can't tell any more.
    """

    __slots__ = (
        "_hang", "_looked", "_name", "_samples", "_slow", "_still", "_thread", "_told", "depth",
        "due", "turn",
    )  # fmt: skip

    def __init__(self, name: str, *, slow: float, hang: float, thread: int, now: float) -> None:
        self._name = name
        self._slow = slow
        self._hang = hang
        self._thread = thread
        self._samples: tuple[int, Counter[Stack]] = (0, Counter())
        self._looked = now
        self._still = 0.0
        self._told = -1
        self.turn = 0
        self.due = now
        self.depth = 0

    def beat(self, due: float, depth: int) -> tuple[Counter[Stack], float]:
        """Begin a new turn; return what was seen in the last, and for how long nobody looked.

        Args:
            due: when the next one is.
            depth: frames that are below whatever the loop calls.
        """
        (turn, samples), still = self._samples, self._still
        seen = samples if turn == self.turn else Counter[Stack]()
        self.turn += 1
        self.due, self.depth, self._still = due, depth, 0.0
        return seen, still

    def look(self, now: float, expected: float) -> None:
        """Take the loop's stack, if it is late. Called in the thread.

        Args:
            now: monotonic seconds.
            expected: seconds since the last look, if nothing held up this thread too.
        """
        turn = self.turn
        asleep = now - self._looked - expected
        self._looked = now
        late = now - self.due
        if late < self._slow / 4:
            return
        if asleep >= self._slow / 2:
            # This thread stood still too: a collection, C code that keeps the interpreter's lock,
            # a stopped or throttled process.
            self._still = max(self._still, asleep)
        of, samples = self._samples
        if of != turn:
            samples = Counter[Stack]()
        if sum(samples.values()) >= MOST_SAMPLES and late < self._hang:
            return
        frame = sys._current_frames().get(self._thread)
        stack = read_stack(frame, self.depth)
        del frame
        if turn != self.turn:  # the loop went on meanwhile: it may be the stack of another callback
            return
        samples[stack] += 1
        self._samples = turn, samples
        if late >= self._hang and self._told != turn:
            self._told = turn
            where = "\n  ".join(stack) or "no Python code: it does not get to run"
            log.error("event loop %r hangs for %.1f s in\n  %s", self._name, late, where)


def frames_below(frame: FrameType | None) -> int:
    """Count the frames that a callback is called from."""
    depth = 0
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return depth


def read_stack(frame: FrameType | None, below: int) -> Stack:
    """Return the lines of a stack, outermost first, without the loop's own `below` at its foot.

    Empty if the loop is in none of its callbacks: it waits, or for its turn on a processor.
    """
    lines: list[str] = []
    while frame is not None:
        code = frame.f_code
        lines.append(f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}")
        frame = frame.f_back
    mine = lines[: max(0, len(lines) - below)][:DEEPEST]
    return tuple(reversed(mine))


def serve(stop: threading.Lock, patience: float, dog: Watchdog, now: Callable[[], float]) -> None:
    """Look until `stop` is released: the thread's function. It knows no loop, and keeps none alive.

    Each look is `patience` after the loop was due: before, there is nothing to see.
    """
    wait = patience
    while not stop.acquire(timeout=wait):
        dog.look(now(), wait)
        wait = max(dog.due - now(), 0.0) + patience
