"""What the blocks of `async with` hold, of an object that many tasks enter at once."""

import asyncio
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Entered(Generic[T]):
    """What the blocks that run now came with: permits, or timers.

    A block is not told what it came with, so each task has a stack of its own.
    """

    __slots__ = ("_stacks",)

    def __init__(self) -> None:
        self._stacks: dict[asyncio.Task[Any] | None, list[T]] = {}

    def push(self, held: T) -> None:
        """Remember what the present task has entered with."""
        self._stacks.setdefault(asyncio.current_task(), []).append(held)

    def pop(self) -> T:
        """Return what the present task entered with last.

        A block inside an async generator may be left by another task than entered it: the event
        loop closes a forgotten one. It takes what came with a task that has ended.
        """
        task, stacks = asyncio.current_task(), self._stacks
        if task not in stacks:
            ended = (each for each in stacks if each is None or each.done())
            task = next(ended, next(iter(stacks)))
        stack = stacks[task]
        held = stack.pop()
        if not stack:
            del stacks[task]
        return held
