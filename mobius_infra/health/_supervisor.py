"""Background tasks that are restarted when they crash, within a budget. After OTP's supervisors."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, TypeVar, get_args

from mobius_infra.core import (
    Clock,
    Event,
    Events,
    MobiusError,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
    require_async,
    state,
)
from mobius_infra.health._budget import Budget, Restarts
from mobius_infra.health._outcome import describe
from mobius_infra.health._pauses import Pauses
from mobius_infra.health._refuse import require_seconds
from mobius_infra.health._states import Degraded, Health

Task = Callable[[], Awaitable[object]]
T = TypeVar("T", bound=Task)

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all"]

_RESTARTS = Restarts(intensity=3, period=60.0)
_PAUSES = Pauses(first=0.1, most=30.0)


class RestartsExhaustedError(MobiusError):
    """A supervisor's tasks crash too often: restarting is no cure.

    Attributes:
        name: the supervisor's.
        task: the one that crashed last.
        reason: of that crash.
    """

    def __init__(self, name: str, task: str, reason: str) -> None:
        super().__init__(f"supervisor {name!r} gave up restarting {task!r}: {reason}")
        self.name = name
        self.task = task
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent(Event):
    """Something happened to a supervised task.

    Attributes:
        task: its name.
    """

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCrashed(TaskEvent):
    """A task ended that should not have.

    Attributes:
        reason: what it raised, or that it returned.
        restart_in: seconds until it is started again; None: it is not.
    """

    reason: str
    restart_in: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStuck(TaskEvent):
    """A task that was cancelled did not end, and is left behind."""


@dataclass(frozen=True, slots=True)
class SupervisorStats(Stats):
    """A supervisor's numbers."""

    state: str = state("idle, running, failed or stopped")
    running: int = gauge("Tasks that run, or are about to again")
    crashes: int = counter("Times that a task ended that should not have")
    restarts: int = counter("Times that a task was started again")


@dataclass(slots=True, eq=False)
class _Child:
    name: str
    func: Task
    restart: Restart
    attempt: int = 0  # starts since it last ran for a whole period
    began: float = 0.0
    waiting: bool = False
    wanted: bool = False  # to be started again by somebody's hand


class Supervisor:
    """Keeps background tasks running.

    For example::

        supervisor = Supervisor("workers")

        @supervisor.task()
        async def poll() -> None: ...

        async with supervisor:
            ...

    A task that crashes is started again after a pause. When that happens more often than
    `restarts` allows, all tasks are cancelled and `RestartsExhaustedError` is raised: out of `run`,
    or out of the block, whose body is cancelled. A supervisor's `run` can itself be the task of
    another: then their budgets multiply.

    Args:
        name: labels its numbers, events and error.
        restarts: how often, for all its tasks together.
        strategy: `one_for_one` starts the crashed task again; `one_for_all` first cancels the
            others and starts them all.
        pauses: before a task is started again; the first again once it ran for a whole period.
        shutdown: seconds that cancelled tasks have to end in; then they are left behind.
        clock: measures all of it.
        draw: gives random numbers in [0, 1).

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    def __init__(
        self,
        name: str = "supervisor",
        *,
        restarts: Restarts = _RESTARTS,
        strategy: Strategy = "one_for_one",
        pauses: Pauses = _PAUSES,
        shutdown: float = 5.0,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        require(bool(name), "name", name, "a name for numbers, events and errors")
        known = get_args(Strategy)
        require(strategy in known, "strategy", strategy, "one of " + ", ".join(known))
        require_seconds("shutdown", shutdown)
        self.name = name
        self.events = Events()
        self._restarts = restarts
        self._strategy = strategy
        self._pauses = pauses
        self._shutdown = shutdown
        self._clock = clock or SystemClock()
        self._draw = draw
        self._children: dict[str, _Child] = {}
        self._tasks: dict[asyncio.Task[None], _Child] = {}
        self._state = "idle"
        self._crashed = self._restarted = 0
        self._group = asyncio.TaskGroup()
        self._main: asyncio.Task[None] | None = None

    def task(self, name: str | None = None, *, restart: Restart = "transient") -> Callable[[T], T]:
        """Register the decorated async function as a task; it is returned as it was.

        Args:
            name: for events; the function's own if None.
            restart: `permanent`: also when it returns; `transient`: when it raises; `temporary`:
                never.

        Raises:
            ConfigurationError: for a name that is taken, a kind that does not exist, a function
                that is not async, or while the supervisor runs.
        """
        known = get_args(Restart)
        require(restart in known, "restart", restart, "one of " + ", ".join(known))

        def register(func: T) -> T:
            require_async(func, by=f"{self!r}.task()")
            own = name or str(getattr(func, "__name__", type(func).__name__))
            require(own not in self._children, "name", own, "a name not yet taken")
            require(self._state != "running", f"task {own!r}", func, "added before it runs")
            self._children[own] = _Child(own, func, restart)
            return func

        return register

    async def run(self) -> None:
        """Run the tasks until they have all ended, or this is cancelled.

        Raises:
            RestartsExhaustedError: if they crash too often; by then all have been cancelled.
        """
        require(self._state != "running", f"supervisor {self.name!r}", "running", "run once")
        self._state, ended = "running", "failed"
        budget = Budget(self._restarts)
        try:
            for child in self._children.values():
                child.attempt = 0
                self._start(child, 0.0)
            while self._tasks:
                done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task in self._tasks:  # not swept up with another's crash meanwhile
                        await self._settle(task, self._tasks.pop(task), budget)
            ended = "stopped"
        except asyncio.CancelledError:
            ended = "stopped"
            raise
        finally:
            self._state = ended
            await self._stop(list(self._tasks))

    async def restart(self, task: str) -> None:
        """Cancel a task that runs, wait for its end, and have it started again.

        For a recovery, whose own budget then counts. One that will not end is not started beside
        itself: this waits until it has ended.

        Raises:
            ConfigurationError: if no such task runs.
        """
        running = {child.name: each for each, child in self._tasks.items()}
        known = ", ".join(sorted(running)) or "running"
        require(task in running, "task", task, known)
        child = self._tasks[running[task]]
        child.wanted = True
        running[task].cancel()
        await asyncio.wait([running[task]])

    async def check(self) -> Health | Degraded:
        """Say how it is, as a health check: `monitor.check("workers")(supervisor.check)`."""
        if self._state != "running":
            return Health.DOWN if self._state == "failed" else Health.UNKNOWN
        waiting = sorted(child.name for child in self._tasks.values() if child.waiting)
        return Degraded("to be started again: " + ", ".join(waiting)) if waiting else Health.UP

    def stats(self) -> SupervisorStats:
        """Return the numbers as they are now."""
        return SupervisorStats(
            state=self._state, running=len(self._tasks),
            crashes=self._crashed, restarts=self._restarted,
        )  # fmt: skip

    def _start(self, child: _Child, pause: float) -> None:
        child.waiting = pause > 0
        task = asyncio.create_task(self._live(child, pause), name=f"{self.name}: {child.name}")
        self._tasks[task] = child

    async def _live(self, child: _Child, pause: float) -> None:
        if pause > 0:
            await self._clock.sleep(pause)
        child.began, child.waiting = self._clock.monotonic(), False
        try:
            await child.func()
        except SystemExit as error:  # in a task it would end the event loop, with all in it
            raise RuntimeError(f"it raised {error!r}") from error

    async def _settle(self, task: "asyncio.Task[None]", child: _Child, budget: Budget) -> None:
        """Start a task again that ended, if it should be."""
        if child.wanted:
            child.wanted = False
            _read(task)
            self._restarted += 1
            self._start(child, 0.0)
            return
        error = None if task.cancelled() else task.exception()
        if child.restart == "permanent":
            reason = "it returned" if error is None else describe(error)
        elif error is not None:
            reason = describe(error)
        else:
            return
        self._crashed += 1
        if child.restart == "temporary":
            self._tell(TaskCrashed, child, reason=reason, restart_in=None)
            return
        now = self._clock.monotonic()
        if not budget.spend(now):
            self._tell(TaskCrashed, child, reason=reason, restart_in=None)
            raise RestartsExhaustedError(self.name, child.name, reason) from error
        if now - child.began >= self._restarts.period:
            child.attempt = 0
        child.attempt += 1
        pause = self._pauses.before(child.attempt, self._draw())
        self._tell(TaskCrashed, child, reason=reason, restart_in=pause)
        again = [child]
        if self._strategy == "one_for_all":
            others = dict(self._tasks)
            await self._stop(others)
            again += others.values()
        self._restarted += len(again)
        for each in again:
            self._start(each, pause)

    async def _stop(self, tasks: Iterable["asyncio.Task[None]"]) -> None:
        """Cancel tasks and wait until they have ended, but not for ever."""
        stopping = {task: self._tasks.pop(task) for task in tasks}
        if not stopping:
            return
        for task in stopping:
            task.cancel()
        alarm = asyncio.ensure_future(self._clock.sleep(self._shutdown))
        try:
            left = set(stopping)
            while left and not alarm.done():
                done, _ = await asyncio.wait({*left, alarm}, return_when=asyncio.FIRST_COMPLETED)
                left -= done
        finally:
            alarm.cancel()
        for task, child in stopping.items():
            if task.done():
                _read(task)
            else:
                task.add_done_callback(_read)
                self._tell(TaskStuck, child)

    def _tell(self, kind: Callable[..., Event], child: _Child, **facts: object) -> None:
        event = kind(source=self.name, at=self._clock.time(), task=child.name, **facts)
        self.events.emit(event)

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._main = self._group.create_task(self.run(), name=f"supervisor {self.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._main is not None:
            self._main.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            # One error is that error; only several at once need a group.
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from group.exceptions[0].__cause__
            raise

    def __repr__(self) -> str:
        return f"Supervisor({self.name!r}, {self._state}, tasks={len(self._children)})"


def _read(task: "asyncio.Task[None]") -> None:
    """Retrieve what a cancelled task still raised, or asyncio logs that nobody did."""
    if not task.cancelled():
        task.exception()
