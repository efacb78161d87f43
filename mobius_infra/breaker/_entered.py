"""Which permits the blocks of `async with breaker:` hold."""

import asyncio
from typing import Any

from mobius_infra.breaker._state import Permit


class Entered:
    """The permits of the blocks that run now, in many tasks at once.

    A block is not told which permit it came with, so each task has a stack of its own.
    """

    __slots__ = ("_stacks",)

    def __init__(self) -> None:
        self._stacks: dict[asyncio.Task[Any] | None, list[Permit]] = {}

    def push(self, permit: Permit) -> None:
        """Remember what the present task has entered with."""
        self._stacks.setdefault(asyncio.current_task(), []).append(permit)

    def pop(self) -> Permit:
        """Return what the present task entered with last.

        A block inside an async generator may be left by another task than entered it: the event
        loop closes a forgotten one. It takes the permit of a task that has ended.
        """
        task, stacks = asyncio.current_task(), self._stacks
        if task not in stacks:
            ended = (each for each in stacks if each is None or each.done())
            task = next(ended, next(iter(stacks)))
        stack = stacks[task]
        permit = stack.pop()
        if not stack:
            del stacks[task]
        return permit
