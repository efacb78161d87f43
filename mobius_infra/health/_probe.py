"""One run of a check, bounded in time, whatever the check does."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from mobius_infra.core import Clock, ConfigurationError, require_async
from mobius_infra.health._countdown import Countdown
from mobius_infra.health._outcome import Outcome, read_answer, read_error
from mobius_infra.health._states import Evidence, Health
from mobius_infra.health._threads import Threads

Check = Callable[[], Awaitable[object]] | Callable[[], object]

TURNS = 3
"""Turns of the loop that a cancelled check is given to end in, before it counts as left behind."""


class Probe:
    """A function that is asked how something is.

    It never runs twice at the same time: one that goes on after its time-out is left behind, and
    not started again before it has ended. What it returns then is ignored.

    Args:
        name: of the check, for its thread.
        check: async, or sync: then it is run in a thread.
        timeout: seconds after which it is cancelled.
        slow: seconds after which a good answer counts as degraded; None: never.
        clock: measures both.
        threads: where a sync check is run.
    """

    __slots__ = (
        "_check", "_clock", "_left", "_name", "_slow", "_started", "_threaded", "_threads",
        "_timeout",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        check: Check,
        *,
        timeout: float,
        slow: float | None,
        clock: Clock,
        threads: Threads,
    ) -> None:
        self._name = name
        self._check = check
        self._timeout = timeout
        self._slow = slow
        self._clock = clock
        self._threads = threads
        self._threaded = not _is_async(check)
        self._left: asyncio.Future[object] | None = None
        self._started = 0.0

    @property
    def stuck(self) -> bool:
        """Whether it still runs though it was given up."""
        return self._left is not None

    @property
    def running_for(self) -> float:
        """Seconds since it was last started."""
        return self._clock.monotonic() - self._started

    async def ask(self) -> Outcome:
        """Run it once. Raises nothing but the caller's own cancellation."""
        if self._left is not None:
            reason = f"still running after {self.running_for:.3g} s; it was not started again"
            return Outcome(Health.UNKNOWN, Evidence.STUCK, reason)
        if self._threaded and self._threads.full:
            reason = f"not run: {self._threads.hanging} threads hang in other checks"
            return Outcome(Health.UNKNOWN, Evidence.CAPPED, reason)
        started = self._started = self._clock.monotonic()
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake(_: object = None) -> None:
            if not woken.done():
                woken.set_result(None)

        try:
            running = self._start()
        except RuntimeError as error:  # the system gives no more threads
            return Outcome(Health.UNKNOWN, Evidence.CAPPED, str(error))
        countdown = Countdown(self._clock, self._timeout, wake)
        running.add_done_callback(self._ended)
        running.add_done_callback(wake)
        try:
            await woken
            now = self._clock.monotonic()
            outcome = self._judge(running, now - started, countdown.lag(now))
            if not running.done():
                await self._stop(running)
        finally:
            countdown.stop()
            if not running.done():
                self._leave(running)
        return outcome

    def _start(self) -> "asyncio.Future[object]":
        if self._threaded:
            return self._threads.start(self._check, f"check {self._name}")
        return asyncio.ensure_future(_guarded(self._check))

    def _judge(self, running: "asyncio.Future[object]", took: float, lag: float) -> Outcome:
        late = took > self._timeout or not running.done()
        if late and lag >= self._timeout / 2:
            reason = f"the event loop stood still for {lag:.3g} s of its {self._timeout:g} s"
            return Outcome(Health.UNKNOWN, Evidence.BLOCKED, reason, took)
        # What the loop took away is not the thing's fault: an answer may have lain there in time.
        if not running.done() or took - lag > self._timeout:
            reason = f"no answer within {self._timeout:g} s"
            return Outcome(Health.DOWN, Evidence.TIMEOUT, reason, took)
        if running.cancelled():
            reason = "something else cancelled it"
            return Outcome(Health.UNKNOWN, Evidence.CANCELLED, reason, took)
        error = running.exception()
        outcome = read_answer(running.result(), took) if error is None else read_error(error, took)
        if self._slow is not None and outcome.said is Health.UP and took - lag > self._slow:
            reason = f"it took {took:.3g} s; more than {self._slow:g} s is slow"
            return Outcome(Health.DEGRADED, Evidence.ANSWER, reason, took)
        return outcome

    async def _stop(self, running: "asyncio.Future[object]") -> None:
        """Give a cancelled check a moment to end in; a thread can't even be cancelled."""
        if not self._threaded:
            running.cancel()
            for _ in range(TURNS):
                await asyncio.sleep(0)

    def _leave(self, running: "asyncio.Future[object]") -> None:
        self._left = running
        if not isinstance(running, asyncio.Task):
            self._threads.abandon(running)
        elif not running.cancelling():
            running.cancel()

    def _ended(self, running: "asyncio.Future[object]") -> None:
        self._left = None
        if not running.cancelled():
            running.exception()  # read, or asyncio logs that nobody did


# SystemExit in a task ends the event loop, with everything in it: here it is only an answer.
async def _guarded(check: Callable[[], object]) -> object:
    try:
        answer: object = await check()  # type: ignore[misc]  # `_is_async` has looked
    except SystemExit as error:
        raise RuntimeError(f"it raised {error!r}") from error
    return answer


def _is_async(check: Check) -> bool:
    try:
        require_async(check, by="check")  # type: ignore[arg-type]  # what is asked
    except ConfigurationError:
        return False
    return True


def require_check(check: object, name: str) -> None:
    """Refuse what can't be called without arguments for one answer.

    Raises:
        ConfigurationError: naming the check.
    """
    inner = inspect.unwrap(check) if callable(check) else check
    wanted = "a function, async or not, that takes nothing and returns once"
    if (
        not callable(check)
        or inspect.isasyncgenfunction(inner)
        or inspect.isgeneratorfunction(inner)
    ):
        raise ConfigurationError(f"the function of check {name!r}", check, wanted)
    try:
        inspect.signature(check).bind()
    except TypeError:
        raise ConfigurationError(f"the function of check {name!r}", check, wanted) from None
    except ValueError:  # a built-in that does not say what it takes
        return
