"""One check, or one component without a check of its own, and what is known of it."""

from dataclasses import dataclass, field

from mobius_infra.core import require
from mobius_infra.health._flapping import FlapDetector, Flapping
from mobius_infra.health._graph import Edges, Own, Standing
from mobius_infra.health._hysteresis import Belief, Hysteresis
from mobius_infra.health._outcome import Outcome
from mobius_infra.health._passive import Listener
from mobius_infra.health._probe import Probe
from mobius_infra.health._refuse import require_seconds, require_share
from mobius_infra.health._reports import WELL, CheckReport
from mobius_infra.health._states import Evidence, Health, Kind

STALE_AFTER = 2.5
"""Intervals without a result after which nothing is known any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a node was declared; `HealthMonitor.check` documents each.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    name: str
    kind: Kind = Kind.READINESS
    critical: bool = True
    every: float = 30.0
    timeout: float = 1.0
    slow: float | None = None
    jitter: float = 0.1
    belief: Belief = field(default_factory=Belief)
    flapping: Flapping | None = None
    edges: Edges = field(default_factory=Edges)
    owned: bool = False

    def __post_init__(self) -> None:
        require_seconds("every", self.every)
        require_seconds("timeout", self.timeout)
        require_share("jitter", self.jitter)
        require(self.jitter < 1, "jitter", self.jitter, "a share below 1")
        if self.slow is not None:
            require_seconds("slow", self.slow)
            require(self.slow < self.timeout, "slow", self.slow, "less than timeout")

    @property
    def lifetime(self) -> float:
        """Seconds that a result is good for."""
        return STALE_AFTER * max(self.every, self.timeout)


@dataclass(slots=True, eq=False)
class Node:
    """A check, or a component that has none. `record` and `expire` are pure steps.

    `added` is when it was declared, on the monotonic clock, as are all times but the report's.
    """

    settings: Settings
    added: float
    probe: Probe | None = None
    listener: Listener | None = None
    hysteresis: Hysteresis = field(init=False)
    flaps: FlapDetector | None = field(init=False)
    standing: Standing = field(init=False)
    said: Health = Health.UNKNOWN
    evidence: Evidence = Evidence.NONE
    reason: str = ""
    stuck: bool = False  # and that was told
    blind: int = 0  # runs in a row that learned nothing
    began: float = float("-inf")  # the last run
    looks: int = 0  # runs that began
    pardoned: int | None = None  # how many had, when what it was blamed on recovered
    stale_at: float = float("inf")  # when what is known will be too old
    changed: float = field(init=False)  # into the present state
    left_up: float = field(init=False)
    since: float | None = None
    checked_at: float | None = None
    took: float = 0.0
    runs: int = 0
    failures: int = 0
    _report: CheckReport | None = None

    def __post_init__(self) -> None:
        self.hysteresis = Hysteresis(self.settings.belief)
        self.flaps = FlapDetector(self.settings.flapping) if self.settings.flapping else None
        self.standing = Standing(Health.UNKNOWN, Health.UNKNOWN, (), (self.settings.name,))
        self.changed = self.left_up = self.added
        if self.probe is None:
            self.evidence = Evidence.DEPENDENCIES

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    @property
    def retired(self) -> bool:
        """Whether it is a startup check that has passed: it is never run again."""
        return self.settings.kind is Kind.STARTUP and self.hysteresis.state in WELL

    @property
    def own(self) -> Own | None:
        """What it says of itself; None for a component."""
        if self.probe is None:
            return None
        state = self.hysteresis.state
        # A run that learned nothing takes away a good word, but never clears a bad one.
        if state in WELL and self.blind >= self.settings.belief.failures:
            state = Health.UNKNOWN
        return Own(state, self.said)

    def record(self, outcome: Outcome, now: float, at: float) -> bool:
        """Count a run that ended; return whether flapping began or ended with it.

        Args:
            outcome: what it said.
            now: on the monotonic clock.
            at: the same in seconds since the epoch.
        """
        self._report = None
        self.runs += outcome.evidence not in (Evidence.STUCK, Evidence.CAPPED)
        self.failures += outcome.said is Health.DOWN
        self.said, self.evidence = outcome.said, outcome.evidence
        self.checked_at, self.took = at, outcome.took
        turned = False
        if outcome.said is Health.UNKNOWN:
            self.blind += 1
        else:
            self.blind = 0
            self.hysteresis.record(outcome.said)
            self.stale_at = float("inf") if self.retired else now + self.settings.lifetime
            turned = self.flaps is not None and self.flaps.record(outcome.said)
        if outcome.reason:
            self.reason = outcome.reason
        elif self.hysteresis.state is Health.UP:
            self.reason = ""
        return turned

    def expire(self) -> None:
        """Forget what is too old."""
        self._report = None
        self.hysteresis.forget()
        self.said, self.evidence, self.stale_at = Health.UNKNOWN, Evidence.STALE, float("inf")
        self.reason = f"no result for {self.settings.lifetime:g} s"

    def stand(self, standing: Standing, now: float, at: float) -> None:
        """Take the state that all considered gives."""
        before, self.standing, self._report = self.standing, standing, None
        if standing.roots != before.roots:
            self.pardoned = None
        if standing.state is not before.state:
            if before.state is Health.UP or self.since is None:
                self.left_up = now
            self.changed, self.since = now, at

    def report(self) -> CheckReport:
        """Return what is known of it."""
        if self._report is None:
            self._report = self._make_report()
        return self._report

    def _make_report(self) -> CheckReport:
        settings, standing = self.settings, self.standing
        reason = self.reason
        if standing.roots and (not reason or self.hysteresis.state is Health.UP):
            reason = "because of " + ", ".join(standing.roots)
        return CheckReport(
            name=settings.name,
            kind=settings.kind,
            state=standing.state,
            known=standing.state if self.probe is None else self.hysteresis.state,
            said=self.said,
            critical=settings.critical,
            reason=reason,
            evidence=self.evidence,
            depends_on=settings.edges.depends_on,
            uses=settings.edges.uses,
            consequence_of=standing.roots,
            flapping=self.flaps is not None and self.flaps.flapping,
            since=self.since,
            checked_at=self.checked_at,
            took=self.took,
            runs=self.runs,
            failures=self.failures,
        )
