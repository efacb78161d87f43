"""A worker process that does as it is told: one command a line, each answered by a line."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from mobius_infra.metrics import Workers
from mobius_infra.metrics._family import Family
from tests.metrics.families import counter, gauge, histogram, info, summary


class Numbers:
    """A source whose every number is how often something was added."""

    def __init__(self) -> None:
        self.added = 0

    async def collect_async(self) -> list[Family]:
        observed = (1.0,) * min(self.added, 5)
        return [
            counter(self.added),
            gauge(self.added),
            histogram(*observed),
            summary(*observed),
            info(("version", "1")),
        ]


class Count(Numbers):
    """One counter, whose value is how often it was collected."""

    async def collect_async(self) -> list[Family]:
        self.added += 1
        return [counter(self.added)]


def die_in_mid_write(path: Path, data: bytes) -> int:
    """Write half of it and be killed."""
    with path.open("wb", buffering=0) as file:
        file.write(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


async def write_until_killed(workers: Workers, numbers: Numbers) -> None:
    while True:
        numbers.added += 1
        await workers.write()
        print(numbers.added, flush=True)


def fork() -> int:
    """Fork a child that lives on; return its id once it runs."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(said, b"here")
        for fd in (0, 1, 2):
            os.close(fd)
        time.sleep(600)
        os._exit(0)
    os.read(heard, 4)
    return child


async def main(directory: str) -> None:
    numbers = Numbers()
    async with Workers(directory, numbers, interval=3600) as workers:
        print(workers._slot.number, flush=True)  # type: ignore[union-attr]
        while command := (await asyncio.to_thread(sys.stdin.readline)).split():
            match command:
                case ["add", number]:
                    numbers.added += int(number)
                case ["write"]:
                    await workers.write()
                case ["die"]:
                    Path.write_bytes = die_in_mid_write  # type: ignore[method-assign,assignment]
                    await workers.write()
                case ["always"]:
                    await write_until_killed(workers, numbers)
                case ["fork"]:
                    print(fork(), flush=True)
                    continue
                case ["end"]:
                    break
            print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
