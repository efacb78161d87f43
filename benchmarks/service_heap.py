"""A service with a million objects, in a process of its own: how long its requests take.

    python -m benchmarks.service_heap default|tuned|usual REQUESTS [closed|open]

Half of the heap is what a start leaves (modules, tables, templates): it stays. The other half is a
cache whose oldest entries make room for new ones, so that old objects die and new ones grow old
all the time. Each request brings an entry of some 4,000 objects; one in ten leaves a ring.

Closed: a request comes when the one before it is answered, so a collection at an idle moment falls
between two, and nobody waits for it. Open: requests come when they come (a Poisson process that
keeps the service busy for half of the time with the default settings), and one counts from then:
whoever comes during a collection waits. All is processor time, since the machine's other work is
no pause of ours; the gaps between requests are added to it.

Tuned: with a full collection every two seconds, so that there are some in a short run. Usual: with
the settings that one has without giving any.
"""

import asyncio
import json
import random
import sys
import time
from collections import OrderedDict
from contextlib import nullcontext
from typing import Any

from mobius_infra.perf import GcTuner

ENTRY = 2_000
ENTRIES = 125
GAP = 0.01


def entry(number: int) -> list[dict[str, Any]]:
    return [{"id": number, "at": [at, str(at)]} for at in range(ENTRY)]


class Closed:
    """Requests that come when the one before is answered."""

    def __init__(self) -> None:
        self._number = 0

    async def next(self) -> float:
        """Wait for the next request; return when it came, in processor time."""
        self._number += 1
        await asyncio.sleep(0.002 if self._number % 20 == 0 else 0)
        return time.thread_time()

    def now(self) -> float:
        """Return the processor time."""
        return time.thread_time()


class Open:
    """Requests that come when they come, `GAP` seconds after each other on average."""

    def __init__(self) -> None:
        self._chance = random.Random(1)
        self._idle = 0.0
        self._due: float | None = None  # until the heap is built

    async def next(self) -> float:
        """Wait for the next request; return when it came."""
        last = self.now() if self._due is None else self._due
        self._due = due = last + self._chance.expovariate(1 / GAP)
        await asyncio.sleep(max(due - self.now(), 0))
        # What the collector used meanwhile has passed already.
        self._idle += max(due - self.now(), 0)
        return due

    def now(self) -> float:
        """Return the processor time, and the gaps in which there was nothing to do."""
        return time.thread_time() + self._idle


async def serve(mode: str, requests: int, source: Closed | Open) -> dict[str, Any]:
    tables = [entry(-1) for _ in range(ENTRIES)]
    cache = OrderedDict((number, entry(number)) for number in range(ENTRIES))
    tuner = GcTuner(full_every=2, patience=10, interval=0.25) if mode == "tuned" else GcTuner()
    seconds = []
    async with nullcontext() if mode == "default" else tuner:
        if mode != "default":
            tuner.settle()
        began = time.perf_counter()
        for number in range(ENTRIES, ENTRIES + requests):
            came = await source.next()
            cache[number] = made = entry(number)
            cache.popitem(last=False)
            if number % 10 == 0:
                made.append({"itself": made})
            seconds.append(source.now() - came)
        whole = time.perf_counter() - began
    seconds.sort()
    assert len(tables) == ENTRIES
    return {
        "p50": seconds[len(seconds) // 2],
        "p99": seconds[int(len(seconds) * 0.99)],
        "worst": seconds[-1],
        "whole": whole,
        "report": tuner.report() if mode != "default" else "",
        "idle": tuner.stats().idle,
        "forced": tuner.stats().forced,
    }


def main() -> None:
    _, mode, requests, *loop = sys.argv
    source = Open() if loop == ["open"] else Closed()
    print(json.dumps(asyncio.run(serve(mode, int(requests), source))))


if __name__ == "__main__":
    main()
