"""What runs in a real control group: `cgroup_worker PROCS_FILE relieved|unrelieved|cpu`."""

import asyncio
import json
import os
import sys
from pathlib import Path

from mobius_infra.core import Cgroup
from mobius_infra.perf import MemoryMonitor

MIB = 1 << 20


async def fill(relieved: bool) -> dict[str, object]:
    """Ask for 400 MiB, and keep them until told to make room."""
    memory, held = MemoryMonitor(), list[bytes]()
    if relieved:
        memory.relieve("high", held.clear)
    for _ in range(100):
        held.append(b"x" * (4 * MIB))
        await memory.look()
    stats = memory.stats()
    return {"limit": stats.limit_bytes, "used": stats.used_bytes, "reliefs": stats.reliefs}


def burn() -> dict[str, object]:
    """Use the processor until there is no more of it."""
    group = Cgroup()
    began = group.throttled_seconds() or 0.0
    while (group.throttled_seconds() or 0.0) <= began:
        sum(range(100_000))
    return {"cpus": group.cpus(), "used": group.cpu_seconds()}


if __name__ == "__main__":
    _, procs, mode = sys.argv
    Path(procs).write_text(str(os.getpid()))
    print(json.dumps(burn() if mode == "cpu" else asyncio.run(fill(mode == "relieved"))))
