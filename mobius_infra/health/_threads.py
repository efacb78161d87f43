"""Threads for checks that block. One that hangs can't be stopped, only counted."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context


class Threads:
    """Runs each sync check in a thread of its own, that does not hold up the end of the process.

    A pool would: the interpreter waits for a pool's threads, and one hanging check would keep the
    process from ending, as well as take a thread away from the others.

    Args:
        most_hanging: threads that may hang before no more are begun.
    """

    __slots__ = ("hanging", "most_hanging")

    def __init__(self, most_hanging: int) -> None:
        self.most_hanging = most_hanging
        self.hanging = 0

    @property
    def full(self) -> bool:
        """Whether so many hang that no more are begun."""
        return self.hanging >= self.most_hanging

    def start(self, func: Callable[[], object], name: str) -> "asyncio.Future[object]":
        """Run `func` in a thread; the future is done when the thread is at its end.

        Cancelling the future stops nothing.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[object] = loop.create_future()
        context = copy_context()

        def tell(result: object, error: BaseException | None) -> None:
            if ended.done():
                return
            if error is None:
                ended.set_result(result)
            else:
                ended.set_exception(error)

        def work() -> None:
            result: object = None
            error: BaseException | None = None
            try:
                result = context.run(func)
            except StopIteration as stop:  # a future refuses it
                error = RuntimeError(f"it raised {stop!r}")
            except BaseException as raised:  # noqa: BLE001 - SystemExit too is a check's answer
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                loop.call_soon_threadsafe(tell, result, error)

        threading.Thread(target=work, name=name, daemon=True).start()
        return ended

    def abandon(self, ended: "asyncio.Future[object]") -> None:
        """Count a thread as hanging until it ends."""
        self.hanging += 1
        ended.add_done_callback(self._came_back)

    def _came_back(self, ended: "asyncio.Future[object]") -> None:
        self.hanging -= 1
