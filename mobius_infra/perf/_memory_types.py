"""Which objects become more: counted when asked for, by a sample."""

import gc
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Draw = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Grown:
    """What became more.

    Attributes:
        what: a type, or a line of code.
        before: objects or bytes then.
        now: objects or bytes now.
    """

    what: str
    before: int
    now: int

    @property
    def by(self) -> int:
        """How many more."""
        return self.now - self.before

    def __str__(self) -> str:
        return f"{self.what}: {self.before:,} -> {self.now:,}"


def count_types(most: int = 100_000, draw: Draw = random.random) -> dict[str, int]:
    """Count the objects that the garbage collector tracks, by type.

    Above `most` objects the numbers are estimates from so many, one drawn from each of equal
    parts. Numbers and strings are not tracked by themselves, nor is what was frozen. In a thread
    it holds up others for some 10 ms for a million objects, while they are listed.
    """
    objects = gc.get_objects()
    stride = max(1, -(-len(objects) // most))
    counts: Counter[type] = Counter()
    for start in range(0, len(objects), stride):
        # Not each n-th: objects are in the order of their making, which may repeat each n too.
        at = start + int(draw() * stride)
        if at < len(objects):
            counts[type(objects[at])] += 1
    del objects
    names: Counter[str] = Counter()
    for kind, number in counts.items():
        names[f"{kind.__module__}.{kind.__qualname__}"] += number * stride
    return dict(names)


def grown(before: Mapping[str, int], now: Mapping[str, int], top: int = 10) -> tuple[Grown, ...]:
    """Return what grew most, most first."""
    every = (Grown(what, before.get(what, 0), number) for what, number in now.items())
    return tuple(sorted((x for x in every if x.by > 0), key=lambda x: -x.by)[:top])


def line_bytes() -> dict[str, int]:
    """Return the bytes that tracemalloc has noted, by the line that asked for them."""
    snapshot = tracemalloc.take_snapshot()
    return {str(each.traceback): each.size for each in snapshot.statistics("lineno")}
