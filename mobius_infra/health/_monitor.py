"""The monitor: runs checks in the background and remembers what they said."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self, TypeVar

from mobius_infra.core import (
    Clock,
    Event,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
    require_async,
    state,
)

Check = Callable[[], Awaitable[object]]
C = TypeVar("C", bound=Check)


class Health(StrEnum):
    """How a thing is. `UNKNOWN` until it has been looked at."""

    UNKNOWN = "unknown"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailed(Event):
    """A check has gone down.

    Attributes:
        check: its name.
        reason: what it said.
    """

    check: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRecovered(Event):
    """A check has come up again.

    Attributes:
        check: its name.
        down_for: seconds that it was down.
    """

    check: str
    down_for: float


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What is known of one check.

    Attributes:
        name: its name.
        state: up, down, or not yet known.
        critical: whether the whole is down when it is.
        reason: what it said when it last failed; empty while it is up.
        checked_at: when it last ended, in seconds since the epoch; None: never.
        took: seconds that it took then.
        runs: how often it ran.
        failures: how often it failed.
    """

    name: str
    state: Health
    critical: bool
    reason: str
    checked_at: float | None
    took: float
    runs: int
    failures: int


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of the whole.

    Attributes:
        state: down if a critical check is; degraded if another is; unknown before all have run.
        checks: each of them, in the order of declaration.
    """

    state: Health
    checks: tuple[CheckReport, ...]


@dataclass(frozen=True, slots=True)
class MonitorStats(Stats):
    """A monitor's numbers."""

    state: str = state("State of the whole")
    runs: int = counter("Checks that were run")
    failures: int = counter("Checks that failed")
    down: int = gauge("Checks that are down")


class HealthMonitor:
    """Runs checks at their intervals, each on its own, and answers from what they said last.

    For example::

        monitor = HealthMonitor()

        @monitor.check("database", every=30, timeout=0.5)
        async def database() -> None:
            await pool.execute("select 1")

        async with monitor:
            ...

    A check fails by raising, by returning False, or by taking longer than its time-out; it is then
    cancelled. Asking for a report runs nothing.

    Args:
        name: labels its numbers and events.
        clock: measures all of it.
        draw: gives random numbers in [0, 1), so that checks of many processes spread.
    """

    def __init__(
        self,
        name: str = "health",
        *,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.events = Events()
        self._clock = clock or SystemClock()
        self._draw = draw
        self._checks: dict[str, _Watched] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def check(
        self,
        name: str,
        *,
        every: float = 30.0,
        timeout: float = 1.0,
        critical: bool = True,
        failures: int = 1,
        successes: int = 1,
    ) -> Callable[[C], C]:
        """Register the decorated async function as a check; it is returned as it was.

        Args:
            name: of the check, for reports.
            every: seconds between the end of one run and the beginning of the next, give or take
                a tenth.
            timeout: seconds after which a run is cancelled and has failed.
            critical: whether the whole is down when this is; else it is degraded.
            failures: in a row, until it counts as down.
            successes: in a row, until it counts as up again.

        Raises:
            ConfigurationError: for a value out of range, a name that is taken, or a function that
                is not async.
        """
        require(bool(name) and name not in self._checks, "name", name, "a name that is not taken")
        require(0 < every < float("inf"), "every", every, "a positive number of seconds")
        require(0 < timeout < float("inf"), "timeout", timeout, "a positive number of seconds")
        require(failures >= 1, "failures", failures, "at least 1")
        require(successes >= 1, "successes", successes, "at least 1")

        def register(check: C) -> C:
            require_async(check, by=f"check({name!r})")
            watched = _Watched(name, check, every, timeout, critical, failures, successes)
            self._checks[name] = watched
            return check

        return register

    def report(self) -> Report:
        """Return what the checks said when they last ran."""
        checks = tuple(each.report() for each in self._checks.values())
        if any(each.critical and each.state is Health.DOWN for each in checks):
            whole = Health.DOWN
        elif any(each.state is Health.DOWN for each in checks):
            whole = Health.DEGRADED
        elif any(each.state is Health.UNKNOWN for each in checks):
            whole = Health.UNKNOWN
        else:
            whole = Health.UP
        return Report(whole, checks)

    def stats(self) -> MonitorStats:
        """Return the numbers as they are now."""
        report = self.report()
        return MonitorStats(
            state=report.state.value,
            runs=sum(each.runs for each in report.checks),
            failures=sum(each.failures for each in report.checks),
            down=sum(each.state is Health.DOWN for each in report.checks),
        )

    async def run(self, name: str) -> CheckReport:
        """Run one check now, and return what is then known of it."""
        watched = self._checks[name]
        started = self._clock.monotonic()
        reason = await self._attempt(watched)
        now, at = self._clock.monotonic(), self._clock.time()
        watched.checked_at, watched.took = at, now - started
        before, down_since = watched.state, watched.down_since
        watched.record(reason, now)
        if before is not Health.DOWN and watched.state is Health.DOWN:
            event = CheckFailed(source=self.name, at=at, check=name, reason=watched.reason)
            self.events.emit(event)
        elif before is Health.DOWN and watched.state is Health.UP:
            down_for = now - down_since
            self.events.emit(CheckRecovered(source=self.name, at=at, check=name, down_for=down_for))
        return watched.report()

    async def _attempt(self, watched: "_Watched") -> str:
        """Run a check; return why it failed, or nothing."""
        running = asyncio.ensure_future(watched.check())
        alarm = asyncio.ensure_future(self._clock.sleep(watched.timeout))
        try:
            await asyncio.wait({running, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                return f"no answer within {watched.timeout:g} s"
            if running.cancelled():
                return "it was cancelled"
            error = running.exception()
            if error is not None:
                return f"{type(error).__name__}: {error}"
            return "it returned False" if running.result() is False else ""
        finally:
            for task in (running, alarm):
                task.cancel()
            # A check that refuses to be cancelled is left behind: it must not stop the others.
            await asyncio.sleep(0)
            running.add_done_callback(_forget)

    async def _keep_running(self, watched: "_Watched") -> None:
        while True:
            await self.run(watched.name)
            await self._clock.sleep(watched.every * (0.9 + 0.2 * self._draw()))

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._keep_running(each), name=f"health check {each.name}")
            for each in self._checks.values()
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    def __repr__(self) -> str:
        return f"HealthMonitor({self.name!r}, {self.report().state.value})"


@dataclass(slots=True)
class _Watched:
    """A check, and what is known of it. `record` is the pure step of its hysteresis."""

    name: str
    check: Check
    every: float
    timeout: float
    critical: bool
    failures_needed: int
    successes_needed: int
    state: Health = Health.UNKNOWN
    reason: str = ""
    checked_at: float | None = None
    took: float = 0.0
    runs: int = 0
    failures: int = 0
    down_since: float = 0.0
    streak: int = 0  # runs in a row that say other than the state

    def record(self, reason: str, now: float) -> None:
        """Count one run: failed for `reason`, or passed if that is empty."""
        self.runs += 1
        self.failures += bool(reason)
        said = Health.DOWN if reason else Health.UP
        if said is self.state:
            self.streak = 0
            self.reason = reason
            return
        self.streak += 1
        needed = self.failures_needed if reason else self.successes_needed
        # The first success is believed at once: nothing is known yet that it could contradict.
        if self.streak >= needed or (self.state is Health.UNKNOWN and not reason):
            self.state, self.streak, self.reason = said, 0, reason
            self.down_since = now

    def report(self) -> CheckReport:
        return CheckReport(
            self.name, self.state, self.critical, self.reason, self.checked_at, self.took,
            self.runs, self.failures,
        )  # fmt: skip


def _forget(task: "asyncio.Future[object]") -> None:
    """Retrieve what a cancelled check still had to say, so that nobody is told it was missed."""
    if not task.cancelled():
        task.exception()
