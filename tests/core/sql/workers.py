"""What the processes do that share a SQLite file. Run as `python -m tests.core.sql.workers`."""

import asyncio
import sys

from mobius_infra.core import Outcome, Script, State, open_backend


def add(state: State | None, now: float, amount: int, /) -> Outcome[tuple[int]]:
    total = (state[0] if state else 0) + amount
    return [total], (total,), None


ADD = Script("add", add, "")  # no twin: SQL runs the step itself


async def count(url: str, times: int) -> None:
    """Add one, so many times."""
    async with open_backend(url) as backend:
        for _ in range(times):
            await backend.run(ADD, "counter", 1)


async def acknowledge(url: str, first: int) -> None:
    """Store number after number, and print each once it is stored, until killed."""
    async with open_backend(url) as backend:
        number = first
        while True:
            await backend.set(f"n{number}", str(number).encode())
            print(number, flush=True)
            number += 1


if __name__ == "__main__":
    what = {"count": count, "acknowledge": acknowledge}[sys.argv[1]]
    asyncio.run(what(sys.argv[2], int(sys.argv[3])))
