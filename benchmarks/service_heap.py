"""A service with a million objects, in a process of its own: how long its requests take.

    python -m benchmarks.service_heap default|tuned REQUESTS

Half of the heap is what a start leaves (modules, tables, templates): it stays. The other half is a
cache whose oldest entries make room for new ones, so that old objects die and new ones grow old
all the time. Each request brings an entry of some 4,000 objects; one in ten leaves a ring.
"""

import asyncio
import json
import sys
import time
from collections import OrderedDict
from contextlib import nullcontext
from typing import Any

from mobius_infra.perf import GcTuner

ENTRY = 2_000
ENTRIES = 125


def entry(number: int) -> list[dict[str, Any]]:
    return [{"id": number, "at": [at, str(at)]} for at in range(ENTRY)]


async def serve(mode: str, requests: int) -> dict[str, Any]:
    tables = [entry(-1) for _ in range(ENTRIES)]
    cache = OrderedDict((number, entry(number)) for number in range(ENTRIES))
    tuner = GcTuner(full_every=2, patience=10, interval=0.25)
    seconds = []
    async with tuner if mode == "tuned" else nullcontext():
        if mode == "tuned":
            tuner.settle()
        began = time.perf_counter()
        for number in range(ENTRIES, ENTRIES + requests):
            start = time.thread_time()  # the machine's other work is no pause of ours
            cache[number] = made = entry(number)
            cache.popitem(last=False)
            if number % 10 == 0:
                made.append({"itself": made})
            seconds.append(time.thread_time() - start)
            await asyncio.sleep(0.002 if number % 20 == 0 else 0)
        whole = time.perf_counter() - began
    seconds.sort()
    assert len(tables) == ENTRIES
    return {
        "p50": seconds[len(seconds) // 2],
        "p99": seconds[int(len(seconds) * 0.99)],
        "worst": seconds[-1],
        "whole": whole,
        "report": tuner.report() if mode == "tuned" else "",
        "idle": tuner.stats().idle,
        "forced": tuner.stats().forced,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(serve(sys.argv[1], int(sys.argv[2])))))
