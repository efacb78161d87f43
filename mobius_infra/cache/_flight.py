"""One load for all who wait for the same key.

The load runs in a task of its own, so that a caller who is cancelled takes nobody with it. When
the last waiter has gone, the load is cancelled too, unless it goes on behind: then what it loads
is kept although nobody waits for it. Each waiter gets an exception of its own: one
object raised in many tasks would gather all their tracebacks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from mobius_infra.cache._errors import CacheCycleError
from mobius_infra.core import own_instance

# The load on whose behalf the present task runs, if any: it tells a loader that asks for more
# from any other caller, so that waiting in a circle is seen before it begins.
_current: ContextVar["Flight | None"] = ContextVar("mobius_infra.cache.flight", default=None)


class Old(NamedTuple):
    """A value that has ended, and may serve those who can't wait.

    Attributes:
        value: the value.
        tags: what invalidates it.
        until: it may serve until then.
    """

    value: Any  # Any: whatever was stored
    tags: tuple[str, ...]
    until: float


class Flight:
    """A load under way."""

    __slots__ = (
        "_outcome",
        "_task",
        "_waiters",
        "abandoned",
        "asked_at",
        "behind",
        "invalidated",
        "key",
        "old",
        "sequence",
        "waits_for",
    )

    # Any, in this class: whatever the loader returns.
    def __init__(self, key: str, sequence: int, asked_at: float, *, behind: bool = False) -> None:
        self.key = key
        self.sequence = sequence  # of the cache's marks, when it began
        self.asked_at = asked_at  # when that was
        self.behind = behind  # it goes on although nobody waits
        self.old: Old | None = None
        self.invalidated = False  # its result is for those who wait, and not to be stored
        self.abandoned = False  # nobody waits any more, and it is being cancelled
        self.waits_for: list[Flight] = []
        # A waiter gets a result or an error as a plain pair: an error set on a future whose task is
        # cancelled at that moment would be reported as never retrieved.
        self._waiters: list[asyncio.Future[tuple[Any, BaseException | None]]] = []
        self._outcome: tuple[Any, BaseException | None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for it."""
        return bool(self._waiters)

    def storable(self) -> bool:
        """Say whether its result may still be stored."""
        return not self.invalidated and not self.abandoned

    def start(self, load: Callable[["Flight"], Awaitable[Any]]) -> None:
        """Load in a task of its own."""
        self._task = asyncio.ensure_future(self._run(load))

    async def _run(self, load: Callable[["Flight"], Awaitable[Any]]) -> None:
        _current.set(self)
        try:
            value = await load(self)
        except asyncio.CancelledError:
            for waiter in self._waiters:
                waiter.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is raised by those who wait
            self._fail(error)
        except BaseException as error:
            self._fail(error)
            raise
        else:
            self._outcome = (value, None)
            self.answer(value)

    def answer(self, value: Any) -> None:
        """Let those who wait now have `value`."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result((value, None))
        self._waiters.clear()

    def _fail(self, error: BaseException) -> None:
        self._outcome = (None, error)
        waiters = [each for each in self._waiters if not each.done()]
        for number, waiter in enumerate(waiters):
            waiter.set_result((None, error if number == 0 else own_instance(error)))
        self._waiters.clear()

    async def join(self, cache: str) -> Any:
        """Wait for the load and return its result.

        Raises:
            CacheCycleError: if this load waits, through others, for whoever asks.
            Exception: whatever the loader raised.
        """
        if self._outcome is not None:  # it ended before we came to wait
            value, failure = self._outcome
            if failure is not None:
                raise own_instance(failure)
            return value
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
                if not self._waiters and not self.behind and self._task is not None:
                    self.abandoned = True
                    self._task.cancel()
        if error is not None:
            raise error
        return result

    def when_done(self, call: Callable[[], object]) -> None:
        """Call `call` when the load that was started has ended, however."""
        if self._task is not None:
            self._task.add_done_callback(lambda _: call())

    async def cancel(self) -> None:
        """Give the load up, and wait for its end."""
        self.abandoned = True
        if self._task is not None:
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


def without_frames(error: BaseException) -> BaseException:
    """Return a copy of `error` that keeps no frame of the load alive; itself, if it can't be."""
    copied = own_instance(error)
    if copied is not error:
        copied.__cause__ = None
    return copied
