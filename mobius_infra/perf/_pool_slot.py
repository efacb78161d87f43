"""One connection of a pool, and who has it."""

import asyncio
import sys
from math import inf
from types import FrameType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

DEPTH = 12
"""Calls of a borrower's stack that are kept: enough to find the place, and cheap."""

NO_TASK = "no task"


class Slot(Generic[T]):
    """A connection. Times are the clock's monotonic ones.

    Attributes:
        connection: what `connect` returned.
        expires: when its lifetime ends.
        fresh_until: until when it may be lent without a check, once it is idle.
        since: when it was lent, or given back.
        borrower: the task that it was lent to.
        stack: where that was, if this one was traced.
        reported: the `since` of which it was said that it may have been lost.
    """

    __slots__ = (
        "borrower", "connection", "expires", "fresh_until", "reported", "since", "stack",
    )  # fmt: skip

    def __init__(self, connection: T, expires: float, now: float) -> None:
        self.connection = connection
        self.expires = expires
        self.fresh_until = now
        self.since = now
        self.borrower: asyncio.Task[Any] | None = None  # Any: whatever it returns
        self.stack: tuple[tuple[str, int, str], ...] = ()
        self.reported = -inf

    def note_borrower(self, number: int, trace_every: int) -> None:
        """Note who has it: called by the pool's `acquire`.

        Args:
            number: of the borrowing, counted from 1.
            trace_every: note the stack of one borrowing in so many; 0: of none.
        """
        self.borrower = asyncio.current_task()
        traced = trace_every > 0 and number % trace_every == 0
        self.stack = stack_of_borrower(3) if traced else ()


def name_of(task: "asyncio.Task[Any] | None") -> str:
    """Return what to call a borrower."""
    return NO_TASK if task is None else task.get_name()


def in_loop() -> bool:
    """Say whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def present_borrower() -> str:
    """Return the running task's name, for an error."""
    try:
        return name_of(asyncio.current_task())
    except RuntimeError:  # outside of an event loop
        return NO_TASK


def stack_of_borrower(skip: int) -> tuple[tuple[str, int, str], ...]:
    """Return file, line and function of the calls that led here, innermost first.

    Only numbers and names are kept: frames would keep every local variable alive.

    Args:
        skip: innermost frames to leave out.
    """
    frame: FrameType | None = sys._getframe(skip)
    found: list[tuple[str, int, str]] = []
    while frame is not None and len(found) < DEPTH:
        found.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    return tuple(found)


def shown(stack: tuple[tuple[str, int, str], ...]) -> tuple[str, ...]:
    """Return a stack for people, innermost call last."""
    return tuple(f"{file}:{line} in {name}" for file, line, name in reversed(stack))
