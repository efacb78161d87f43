"""One load for all who wait for the same key.

The load runs in a task of its own, so that a caller who is cancelled takes nobody with it. When
the last waiter has gone, the load is cancelled too, unless it goes on behind: then what it loads
is kept although nobody waits for it. Each waiter gets an exception of its own: one
object raised in many tasks would gather all their tracebacks.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from mobius_infra.cache._entry import MISSING
from mobius_infra.cache._errors import CacheCycleError

# The load on whose behalf the present task runs, if any: it tells a loader that asks for more
# from any other caller, so that waiting in a circle is seen before it begins.
_current: ContextVar["Flight | None"] = ContextVar("mobius_infra.cache.flight", default=None)


class Flight:
    """A load under way."""

    __slots__ = (
        "_task",
        "_waiters",
        "abandoned",
        "behind",
        "in_need",
        "invalidated",
        "key",
        "waits_for",
    )

    # Any: whatever the loader returns.
    def __init__(
        self, key: str, load: Callable[["Flight"], Awaitable[Any]], *, behind: bool = False
    ) -> None:
        self.key = key
        self.behind = behind  # it goes on although nobody waits
        self.in_need: Any = MISSING  # an old value that serves those who can't wait
        self.invalidated = False  # its result is for those who wait, and not to be stored
        self.abandoned = False  # nobody waits any more, and it is being cancelled
        self.waits_for: list[Flight] = []
        # A waiter gets a result or an error as a plain pair: an error set on a future whose task is
        # cancelled at that moment would be reported as never retrieved.
        self._waiters: list[asyncio.Future[tuple[Any, BaseException | None]]] = []
        self._task = asyncio.ensure_future(self._run(load))
        self._task.add_done_callback(self._land)

    async def _run(self, load: Callable[["Flight"], Awaitable[Any]]) -> Any:
        _current.set(self)
        return await load(self)

    async def join(self, cache: str) -> Any:
        """Wait for the load and return its result.

        Raises:
            CacheCycleError: if this load waits, through others, for whoever asks.
            Exception: whatever the loader raised.
        """
        behalf = _current.get()
        if behalf is not None:
            cycle = self._path_to(behalf)
            if cycle is not None:
                raise CacheCycleError(cache, (behalf.key, *(each.key for each in cycle)))
            behalf.waits_for.append(self)
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            result, error = await waiter
        finally:
            if behalf is not None:
                behalf.waits_for.remove(self)
            if waiter.cancelled() and waiter in self._waiters:
                self._waiters.remove(waiter)
                if not self._waiters and not self.behind:
                    self.abandoned = True
                    self._task.cancel()
        if error is not None:
            raise error
        return result

    def answer(self, value: Any) -> None:
        """Let those who wait now have `value`, and go on behind."""
        self.behind = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result((value, None))
        self._waiters.clear()

    def when_done(self, call: Callable[[], object]) -> None:
        """Call `call` when the load has ended, however."""
        self._task.add_done_callback(lambda _: call())

    async def cancel(self) -> None:
        """Give the load up, and wait for its end."""
        self.abandoned = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _path_to(self, other: "Flight") -> list["Flight"] | None:
        if self is other:
            return [self]
        for each in self.waits_for:
            path = each._path_to(other)
            if path is not None:
                return [self, *path]
        return None

    def _land(self, task: "asyncio.Task[Any]") -> None:
        waiters = [each for each in self._waiters if not each.done()]
        if task.cancelled():
            for waiter in waiters:
                waiter.cancel()
            return
        error = task.exception()
        for number, waiter in enumerate(waiters):
            if error is None:
                waiter.set_result((task.result(), None))
            else:
                waiter.set_result((None, error if number == 0 else own_instance(error)))


def own_instance(error: BaseException) -> BaseException:
    """Return a copy of `error` with a traceback of its own; itself, if it can't be copied."""
    try:
        copied = copy.copy(error)
    except Exception:  # noqa: BLE001 - whatever a foreign exception's copying may raise
        return error
    if type(copied) is not type(error):
        return error
    copied.__traceback__ = None
    copied.__cause__ = error.__cause__
    copied.__suppress_context__ = error.__suppress_context__
    return copied
