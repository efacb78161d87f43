"""Whether a task is being cancelled, also where Python does not take a request back that it made.

A task group whose task fails cancels its own task, to get it out of the block. If that waited at
the block's end already, Python before 3.13 does not take the request back (gh-116720), and the task
looks cancelled ever after. Whoever asks `cancelling()` would make one attempt and no other.
"""

import asyncio
import sys
from typing import Any


def must_end(error: BaseException | None = None, cancelling: int = 0) -> bool:
    """Say whether the present task is being cancelled, whatever was made of that further in.

    Args:
        error: what ended a call just now, if it failed.
        cancelling: requests to cancel the task that were there before.
    """
    task = asyncio.current_task()
    if task is None or task.cancelling() <= cancelling:
        return False
    if sys.version_info < (3, 13):
        chain: list[BaseException] = []
        while error is not None and error not in chain:
            _take_back(task, error)
            chain.append(error)
            error = error.__context__
    return task.cancelling() > cancelling


# Any: the frames' locals, and what a group keeps to itself.
def _take_back(task: asyncio.Task[Any], error: BaseException) -> None:
    """Take back, once, what the groups that `error` came through asked of `task`."""
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_code.co_name not in {"__aexit__", "_aexit"}:
            continue
        group: Any = frame.f_locals.get("self")
        if (
            isinstance(group, asyncio.TaskGroup)
            and group._parent_task is task  # type: ignore[attr-defined]
            and group._parent_cancel_requested  # type: ignore[attr-defined]
            and frame.f_locals["et"] is None  # else it was asked in the block, and taken back
        ):
            group._parent_cancel_requested = False  # type: ignore[attr-defined]
            task.uncancel()
