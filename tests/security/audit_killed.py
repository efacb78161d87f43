"""A program: kills processes that write one trail, and prints what became of it, as JSON.

python audit_killed.py DIRECTORY ROUNDS WRITERS SEED
"""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from mobius_infra.security import AuditLog, Key, TrailRepaired, verify_trail
from mobius_infra.security._audit_segment import lines_of, segments

KEY = Key.parse("s7Vt3yq1uUOZ0kH4mXb2nWcE8pJr6LdFgA9iQxTzYoM=")


async def write(path: Path, said: int, writer: str) -> None:
    """Record for ever, and say each time what was acknowledged."""

    async def task(number: int) -> None:
        count = 0
        while True:
            count += 1
            action = f"{writer}:{number}:{count}"
            place = await audit.record(action, details={"filler": "x" * (count % 200)})
            os.write(said, f"{place} {action}\n".encode())

    async with AuditLog(path, [KEY], max_bytes=4_096, checkpoint_every=20) as audit:
        await asyncio.gather(*(task(number) for number in range(4)))


def begin(path: Path, writer: str) -> tuple[int, BinaryIO]:
    out, said = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(out)
            asyncio.run(write(path, said, writer))
        finally:
            os._exit(3)
    os.close(said)
    return child, os.fdopen(out, "rb")


async def reopen(path: Path) -> int:
    repaired: list[object] = []
    audit = AuditLog(path, [KEY])
    audit.events.subscribe(lambda event: repaired.append(isinstance(event, TrailRepaired)))
    async with audit:
        await audit.record("reopened")
    return sum(map(bool, repaired))


def main(path: Path, rounds: int, writers: int, seed: int) -> None:
    draw, acknowledged = random.Random(seed), dict[int, str]()
    repaired = 0
    for number in range(rounds):
        begun = [begin(path, f"{number}:{writer}") for writer in range(writers)]
        for child, said in begun:
            lines = [said.readline() for _ in range(draw.randrange(1, 40))]
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            for line in [*lines, *said]:
                place, _, action = line.decode().strip().partition(" ")
                if line.endswith(b"\n"):
                    acknowledged[int(place)] = action
            said.close()
        repaired += asyncio.run(reopen(path))
    report = verify_trail(path, [KEY])
    there = [json.loads(line) for each in segments(path) for line in lines_of(each)]
    lost = [n for n, action in acknowledged.items() if there[n].get("action") != action]
    answer = {
        "acknowledged": len(acknowledged),
        "lost": lost,
        "problems": report.problems,
        "size": report.size,
        "there": len(there),
        "repaired": report.repaired - repaired,
        "files": len(segments(path)),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
