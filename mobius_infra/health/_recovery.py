"""What is done about a check that is down: one action at a time, within a budget, then the next."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from mobius_infra.core import Backend, BackendError, Clock, Event, Lease
from mobius_infra.health._budget import Budget, Restarts
from mobius_infra.health._check_events import CheckDegraded, CheckRecovered
from mobius_infra.health._outcome import Outcome, describe
from mobius_infra.health._pauses import Pauses
from mobius_infra.health._probe import Probe
from mobius_infra.health._recovery_events import (
    RecoveryEscalated,
    RecoveryFailed,
    RecoveryHeld,
    RecoveryStarted,
    RecoverySucceeded,
)
from mobius_infra.health._reports import WELL, CheckReport
from mobius_infra.health._states import Evidence, Health

LEASE_MARGIN = 10.0
"""Seconds that a lease lasts beyond its action's time-out: for asking the check again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that can be done; `HealthMonitor.recover` documents each.

    Attributes:
        name: the function's.
        probe: runs it, bounded in time, never twice at once.
        timeout: seconds that it may take.
        budget: how often; for a fleet, only its `restarts` are used.
        pauses: before each attempt.
        dry_run: say it, don't do it.
        backend: where a fleet agrees on who does it; None: this process is alone.
    """

    name: str
    probe: Probe
    timeout: float
    budget: Budget
    pauses: Pauses
    dry_run: bool
    backend: Backend | None


class Recovery:
    """Mends one check, by its actions in turn.

    Args:
        source: names the monitor in events and keys.
        check: the check's name.
        look: has the check run now, and returns what is then known of it.
        clock: measures the pauses.
        draw: gives random numbers in [0, 1).
        emit: told of each step.
    """

    __slots__ = (
        "_actions", "_clock", "_draw", "_emit", "_given_up", "_held", "_look", "_source",
        "_task", "check",
    )  # fmt: skip

    def __init__(
        self,
        *,
        source: str,
        check: str,
        look: Callable[[], Awaitable[CheckReport]],
        clock: Clock,
        draw: Callable[[], float],
        emit: Callable[[Iterable[Event]], None],
    ) -> None:
        self._source = source
        self.check = check
        self._look = look
        self._clock = clock
        self._draw = draw
        self._emit = emit
        self._actions: list[Action] = []
        self._task: asyncio.Task[None] | None = None
        self._given_up = False
        self._held = ""

    def add(self, action: Action) -> None:
        """Add what is done when the actions before it have used up their restarts."""
        self._actions.append(action)

    def consider(self, report: CheckReport) -> None:
        """Begin to mend, if there is something to mend that is the check's own."""
        idle = self._task is None or self._task.done()
        if idle and not self._given_up and _needs_mending(report):
            self._task = asyncio.create_task(self._mend(), name=f"recovery of {self.check}")

    def hear(self, event: Event) -> None:
        """Hear what the monitor tells: a check that came up may be mended again."""
        if isinstance(event, CheckRecovered | CheckDegraded) and event.check == self.check:
            self._given_up = False

    def cancel(self) -> list["asyncio.Task[None]"]:
        """End what is under way; return the task to wait for."""
        if self._task is None or self._task.done():
            return []
        self._task.cancel()
        return [self._task]

    async def _mend(self) -> None:
        self._held = ""
        rung = attempt = turn = 0
        while rung < len(self._actions):
            action, turn = self._actions[rung], turn + 1
            await self._clock.sleep(action.pauses.before(turn, self._draw()))
            # What is known may be as old as the check's interval: nothing is done on its strength.
            report = await self._look()
            if not _needs_mending(report):
                return
            if report.said is not Health.DOWN or self._is_held(self._hanging(action)):
                continue
            async with self._alone(action) as (spent, reason):
                if self._is_held((action, reason)):
                    continue
                if spent:
                    attempt += 1
                    await self._try(action, attempt)
            if not spent:
                rung, turn = rung + 1, 0
                self._escalate(action, rung)
        self._given_up = True

    async def _try(self, action: Action, attempt: int) -> None:
        self._held = ""
        self._tell(RecoveryStarted, action, attempt=attempt)
        if action.dry_run:
            return
        outcome = await action.probe.ask()
        reason = "" if _is_done(outcome) else outcome.reason
        if not reason:
            report = await self._look()
            if report.said not in WELL:
                reason = f"it was done, but the check says {report.said}: {report.reason}"
        if reason:
            self._tell(RecoveryFailed, action, reason=reason, took=outcome.took)
        else:
            self._tell(RecoverySucceeded, action, took=outcome.took)

    def _hanging(self, wanted: Action) -> tuple[Action, str]:
        """Say why `wanted` must wait: an action that was given up still runs."""
        for each in self._actions:
            if each.probe.stuck:
                return wanted, f"{each.name} still runs after {each.timeout:g} s"
        return wanted, ""

    def _is_held(self, held: tuple[Action, str]) -> bool:
        action, reason = held
        if reason and reason != self._held:
            self._held = reason
            self._tell(RecoveryHeld, action, reason=reason)
        return bool(reason)

    @asynccontextmanager
    async def _alone(self, action: Action) -> AsyncIterator[tuple[bool, str]]:
        """Give whether a restart was taken, or why that can't be decided now.

        In a fleet, under a lease, and by what all its processes have spent, also before a restart.
        """
        if action.backend is None or action.dry_run:
            yield action.budget.spend(self._clock.monotonic()), ""
            return
        key = f"recovery:{self._source}:{self.check}"
        lease: Lease | None = None
        try:
            try:
                ttl = action.timeout + LEASE_MARGIN
                lease = await Lease.acquire(action.backend, key, ttl=ttl)
                if lease is None:
                    verdict = False, "another process is at it"
                elif reason := await self._overtaken(lease):
                    verdict = False, reason
                else:
                    spent = f"{key}:{action.name}"
                    verdict = await _spend(action.backend, spent, action.budget.restarts), ""
            except BackendError as error:
                reason = f"nobody can say whether another process is at it: {describe(error)}"
                verdict = False, reason
            yield verdict
        finally:
            # What hangs may still be at work: its lease runs out by itself, not before its time.
            if lease is not None and not action.probe.stuck:
                with suppress(BackendError):
                    await lease.release()

    async def _overtaken(self, lease: Lease) -> str:
        """Look once more under the lease: who had it before may just have mended it."""
        report = await self._look()
        if report.said is not Health.DOWN:
            return "it is no longer down"
        # The whole of its time is the action's, however long the look took.
        held = await Lease.acquire(lease.backend, lease.key, ttl=lease.ttl, owner=lease.owner)
        return "" if held else "another process is at it"

    def _escalate(self, action: Action, rung: int) -> None:
        to = self._actions[rung].name if rung < len(self._actions) else None
        self._tell(RecoveryEscalated, action, to=to)

    def _tell(self, kind: Callable[..., Event], action: Action, **facts: object) -> None:
        event = kind(
            source=self._source, at=self._clock.time(), check=self.check, action=action.name,
            dry_run=action.dry_run, **facts,
        )  # fmt: skip
        self._emit([event])


async def _spend(backend: Backend, key: str, restarts: Restarts) -> bool:
    """Take one of a fleet's restarts. Only who holds the lease does, so nobody is overwritten."""
    stored, now = await backend.get(key), await backend.now()
    allowed, spent = restarts.spend(_read_times(stored), now)
    if allowed:
        # Longer than they count: at the very end of the period the oldest still does.
        await backend.set(key, json.dumps(spent).encode(), ttl=restarts.period + 1)
    return allowed


def _read_times(stored: bytes | None) -> tuple[float, ...]:
    """Read what was stored; what can't be read counts as nothing spent."""
    try:
        return tuple(float(each) for each in json.loads(stored or b"[]"))
    except (ValueError, TypeError):
        return ()


def _needs_mending(report: CheckReport) -> bool:
    """Say whether a check is down by itself: mending a consequence mends nothing."""
    return report.known is Health.DOWN and not report.consequence_of


def _is_done(outcome: Outcome) -> bool:
    """Say whether an action ended well; it may return what it likes, but False."""
    return outcome.said is Health.UP or outcome.evidence is Evidence.NONSENSE
