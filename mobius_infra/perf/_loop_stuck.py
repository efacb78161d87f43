"""Tasks that wait for what can't come."""

import asyncio
import gc
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

# Any, throughout: whatever tasks and futures give.
AnyTask = asyncio.Task[Any]


@dataclass(frozen=True, slots=True)
class StuckTask:
    """A task that will never go on.

    Attributes:
        task: its name.
        why: `cycle`: it waits for a task that waits, in the end, for itself, or for those who do;
            `unset`: it waits for a future that nobody else has, so nobody can set it.
        waits_for: the names of the tasks that it waits for; empty for a future.
        where: the line at which it waits.
    """

    task: str
    why: Literal["cycle", "unset"]
    waits_for: tuple[str, ...]
    where: str


def find_stuck_tasks(loop: asyncio.AbstractEventLoop | None = None) -> tuple[StuckTask, ...]:
    """Return the tasks of a loop, by default the running one, that are seen to wait in vain.

    For when a service stands still, or is suspected to: it goes through all objects once, which
    takes some 50 ms for a million. What it names is stuck, unless C code that the garbage
    collector can't see has the future. It does not name all: who holds a lock or ought to set an
    event is not known to asyncio. (Tasks in a ring can't be cancelled either: asyncio hands the
    cancellation around until it raises `RecursionError`.)
    """
    waiting = [(task, _waiter(task)) for task in asyncio.all_tasks(loop)]
    waits = {task: future for task, future in waiting if future is not None}
    del waiting  # nothing but `waits` may refer to the futures, or they seem to be somebody's
    edges = {task: _tasks_in(fut) for task, fut in waits.items()}
    ring = _in_vain(edges)
    found = [
        StuckTask(task.get_name(), "cycle", tuple(t.get_name() for t in edges[task]), _where(task))
        for task in ring
    ]
    alone = _unset(waits)
    found += [StuckTask(task.get_name(), "unset", (), _where(task)) for task in alone]
    return tuple(sorted(found, key=lambda each: each.task))


def _waiter(task: AnyTask) -> asyncio.Future[Any] | None:
    """Return what a task waits for. The attribute is asyncio's own, and old; it may go."""
    return getattr(task, "_fut_waiter", None)


def _tasks_in(future: asyncio.Future[Any]) -> list[AnyTask]:
    """Return the tasks that must end before a future does: itself, or those of a `gather`."""
    parts: Iterable[object] = getattr(future, "_children", (future,))
    return [each for each in parts if isinstance(each, asyncio.Task) and not each.done()]


def _in_vain(edges: dict[AnyTask, list[AnyTask]]) -> set[AnyTask]:
    """Return the tasks from which one only gets to tasks that wait: drop whoever has a way out."""
    left = set(edges)
    while True:
        free = {task for task in left if not any(other in left for other in edges[task])}
        if not free:
            return left
        left -= free


def _unset(waits: dict[AnyTask, asyncio.Future[Any]]) -> list[AnyTask]:
    """Return the tasks whose future nobody refers to but they themselves."""
    # A tuple, since that is what the call below passes on: a copy of it would be a referrer too.
    futures = tuple(future for future in waits.values() if type(future) is asyncio.Future)
    if not futures:
        return []
    own = {id(waits), id(futures)}
    for task in waits:
        own |= {id(task), *map(id, _chain(task))}
    alone = {id(future) for future in futures}
    for referrer in gc.get_referrers(*futures):
        if id(referrer) not in own and type(referrer).__name__ not in ("FutureIter", "frame"):
            alone -= set(map(id, gc.get_referents(referrer)))
    return [task for task, future in waits.items() if id(future) in alone]


def _chain(task: AnyTask) -> list[object]:
    """Return the coroutines of a task, from the outermost to the one that waits."""
    chain: list[object] = []
    each: object = task.get_coro()
    while each is not None:
        chain.append(each)
        each = getattr(each, "cr_await", None) or getattr(each, "gi_yieldfrom", None)
    return chain


def _where(task: AnyTask) -> str:
    frames = [frame for each in _chain(task) if (frame := getattr(each, "cr_frame", None))]
    if not frames:
        return "unknown"
    frame = frames[-1]
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
