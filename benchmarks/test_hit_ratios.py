"""Hit ratios of the policies, beside the best that is possible.

Traces of one's own: put `*.trace.gz` (text, one key a line) or `*.trace.xz` (big-endian 32-bit
integers) into a folder and name it in `MOBIUS_TRACES`. Without it, traces are made: a Zipf
distribution, one whose favourites change, loops, scans over a working set, and a zigzag.
"""

import array
import gzip
import heapq
import lzma
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from mobius_infra.cache import MemoryTier
from mobius_infra.cache._policy import POLICIES


def read(path: Path) -> list[int]:
    """Read a trace from a file."""
    if path.suffix == ".xz":
        numbers = array.array("I")
        numbers.frombytes(lzma.decompress(path.read_bytes()))
        numbers.byteswap()
        return list(numbers)
    lines = gzip.decompress(path.read_bytes()).decode().split()
    return [int(line) for line in lines if line != "*"]


def zipf(count: int, exponent: float, seed: int = 1) -> Iterator[int]:
    chance = random.Random(seed)
    weights = [1 / (rank + 1) ** exponent for rank in range(10_000)]
    yield from chance.choices(range(10_000), weights, k=count)


def made() -> dict[str, list[int]]:
    """Make traces."""
    chance = random.Random(2)
    changing = [key + 3_000 * (number // 15_000) for number, key in enumerate(zipf(60_000, 0.9))]
    working_set = [
        key for number in range(30_000) for key in (chance.randrange(400), 10_000 + number)
    ]
    return {
        "zipf 0.7": list(zipf(60_000, 0.7)),
        "zipf 1.0": list(zipf(60_000, 1.0)),
        "changing favourites": changing,
        "loop": list(range(1_500)) * 40,
        "scans": working_set,
        "zigzag": [*range(1_500), *range(1_499, -1, -1)] * 20,
    }


def found() -> dict[str, list[int]]:
    folder = os.environ.get("MOBIUS_TRACES")
    if folder is None:
        return made()
    return {
        path.name.partition(".")[0]: read(path) for path in sorted(Path(folder).glob("*.trace.*"))
    }


def best(trace: list[int], capacity: int) -> float:
    """Return the hit ratio of who knows the future (Belády, 1966)."""
    following = [0] * len(trace)
    seen: dict[int, int] = {}
    for at in range(len(trace) - 1, -1, -1):
        following[at] = seen.get(trace[at], len(trace))
        seen[trace[at]] = at
    held: dict[int, int] = {}
    farthest: list[tuple[int, int]] = []
    hits = 0
    for at, key in enumerate(trace):
        if key in held:
            hits += 1
        elif len(held) >= capacity:
            while True:
                negative, victim = heapq.heappop(farthest)
                if held.get(victim) == -negative:
                    del held[victim]
                    break
        held[key] = following[at]
        heapq.heappush(farthest, (-following[at], key))
    return hits / len(trace)


def ratio(policy: str, trace: list[int], capacity: int) -> float:
    """Return the hit ratio of a memory tier."""
    memory = MemoryTier(capacity, policy=policy)
    hits = 0
    names = {key: str(key) for key in set(trace)}
    for key in trace:
        name = names[key]
        entry = memory.entries.get(name)
        if entry is None:
            memory.put(name, key)
        else:
            hits += 1
            if not entry.visited:
                memory.note(entry)
    return hits / len(trace)


def test_hit_ratios(record_figure: Callable[[str, str], None]) -> None:
    """Printed: each policy's hit ratio as a share of the best, and its mean."""
    shares: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for name, trace in found().items():
        distinct = len(set(trace))
        for part in (0.05, 0.1, 0.25):
            capacity = max(1, int(distinct * part))
            optimum = best(trace, capacity)
            row = []
            for policy, mine in shares.items():
                mine.append(ratio(policy, trace, capacity) / optimum)
                row.append(f"{mine[-1]:5.2f}")
            record_figure(f"{name}, {capacity}", " ".join(row))
    record_figure("policies", " ".join(shares))
    for policy, mine in shares.items():
        record_figure(f"{policy}, mean share of the best", f"{sum(mine) / len(mine):.3f}")
