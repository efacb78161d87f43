"""What is known, as snapshots: of one check, and of the whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from mobius_infra.health._states import Evidence, Health, Kind

WELL = (Health.UP, Health.DEGRADED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What is known of one check.

    Attributes:
        name: its name.
        kind: startup, readiness or liveness.
        state: how it is. What its runs add up to, made worse by what it depends on; unknown before
            the first, when the last that was any good is too long ago, and when a check that was
            well could not be looked at.
        known: the same from its own runs alone, and without the last of these reasons: one run
            that learned nothing must not take a process out of service.
        said: what the last run said, believed or not.
        critical: whether the whole is down when it is.
        reason: why it is not up, as the run said that the state rests on; empty while it is up.
            It may quote an exception: not for strangers.
        evidence: what the last word on it rests on.
        depends_on: checks without which it is down.
        uses: checks without which it is degraded.
        consequence_of: the roots of its trouble, if that is explained by what it depends on: it
            needs no alert of its own.
        flapping: whether its runs change their minds all the time.
        since: when it came into its state, in seconds since the epoch; None: never changed.
        checked_at: when its last run ended, in seconds since the epoch; None: never.
        took: seconds that it took.
        runs: how often it ran, or real traffic spared it the run.
        failures: how many of these said down.
    """

    name: str
    kind: Kind = Kind.READINESS
    state: Health = Health.UNKNOWN
    known: Health = Health.UNKNOWN
    said: Health = Health.UNKNOWN
    critical: bool = True
    reason: str = ""
    evidence: Evidence = Evidence.NONE
    depends_on: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    consequence_of: tuple[str, ...] = ()
    flapping: bool = False
    since: float | None = None
    checked_at: float | None = None
    took: float = 0.0
    runs: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of the whole.

    Attributes:
        state: down if a critical check is; else unknown if one of them is; else degraded if any
            is not up; else unknown if any is.
        started: whether all startup checks have passed, and all critical ones have been looked at.
        ready: whether it may be given work: it has started, is not being drained, and no critical
            check is down or too long without an answer.
        alive: False only if a liveness check is down: then the process must be killed.
        checks: each of them, in the order of declaration.
    """

    state: Health
    started: bool
    ready: bool
    alive: bool
    checks: tuple[CheckReport, ...]

    @classmethod
    def of(cls, checks: Iterable[CheckReport], *, draining: bool = False) -> Self:
        """Derive the whole from its checks."""
        every = tuple(checks)
        critical = [each for each in every if each.critical]
        started = all(_has_begun(each) for each in critical)
        fit = all(each.known in WELL and each.state is not Health.DOWN for each in critical)
        dead = any(each.kind is Kind.LIVENESS and each.known is Health.DOWN for each in every)
        ready = started and fit and not draining
        return cls(_whole(critical, every), started, ready, not dead, every)


def _has_begun(check: CheckReport) -> bool:
    if check.kind is Kind.STARTUP:
        return check.known in WELL
    return check.checked_at is not None or check.evidence is Evidence.DEPENDENCIES


def _whole(critical: list[CheckReport], every: tuple[CheckReport, ...]) -> Health:
    states = {each.state for each in critical}
    for worst in (Health.DOWN, Health.UNKNOWN):
        if worst in states:
            return worst
    states = {each.state for each in every}
    if Health.DOWN in states or Health.DEGRADED in states:
        return Health.DEGRADED
    return Health.UNKNOWN if Health.UNKNOWN in states else Health.UP
