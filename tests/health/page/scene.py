"""A service to look at: calm, in trouble, without anything, or with two hundred of everything."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mobius_infra.core import Events, Stats, counter, gauge, state
from mobius_infra.health import Uptime, status_app
from mobius_infra.health._app import StatusApp
from mobius_infra.health._check_events import CheckFailed
from mobius_infra.health._reports import CheckReport, Report
from mobius_infra.health._states import Evidence, Health, Kind
from mobius_infra.testing import ManualClock

Mood = Literal["calm", "incident", "empty", "many", "hostile"]

NOW = 1_764_000_000.0
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@dataclass(frozen=True, slots=True)
class PartStats(Stats):
    """Numbers such as components have."""

    state: str = state("How it is")
    hits: Mapping[str, int] = counter("Values found, by tier", label="tier")
    loads: int = counter("Values loaded")
    hit_rate: float = gauge("Share of hits")
    load_seconds: float = gauge("Seconds that a load takes")
    entries: int = gauge("Entries held")


class Part:
    """A component."""

    def __init__(self, name: str, how: str = "closed") -> None:
        self.name, self.how, self.events = name, how, Events()

    def stats(self) -> PartStats:
        return PartStats(self.how, {"memory": 128_402, "redis": 3_112}, 1_204, 0.973, 0.0412, 9_120)


class Monitor:
    """Says what the test wants it to say."""

    def __init__(self, checks: Sequence[CheckReport]) -> None:
        self.name, self.events = "health", Events()
        self.now = Report.of(checks)

    def report(self) -> Report:
        return self.now


class Alerts:
    """Keeps what was asked of it."""

    def __init__(self, alerts: list[dict[str, Any]]) -> None:
        self.alerts = alerts
        self.asked: list[tuple[object, ...]] = []

    def snapshot(self) -> Mapping[str, Any]:
        return {"alerts": self.alerts}

    async def acknowledge(self, alert: str, *, by: str, note: str = "") -> None:
        self.asked.append(("acknowledge", alert, by, note))
        for each in self.alerts:
            if each["id"] == alert:
                each["acknowledged_by"] = by

    def silence(
        self, matchers: Mapping[str, str], *, until: float, by: str, comment: str = ""
    ) -> None:
        self.asked.append(("silence", dict(matchers), by, comment))
        for each in self.alerts:
            if each["name"] == matchers["alert"]:
                each["silenced_until"] = until


class Charts:
    """An hour of numbers, one every ten seconds."""

    def __init__(self, names: Sequence[str], at: float) -> None:
        draw = random.Random(3)
        self.held: dict[str, list[tuple[float, float | None]]] = {}
        for name in names:
            value = 0.05 if "seconds" in name else 0.9 if "rate" in name else 120.0
            value = 210e6 if "bytes" in name else value
            points: list[tuple[float, float | None]] = []
            for index in range(360):
                value *= 1 + draw.uniform(-0.06, 0.06)
                points.append((at - 3_600 + 10 * index, min(value, 1) if "rate" in name else value))
            self.held[name] = points

    def series(self) -> list[str]:
        return list(self.held)

    def points(self, series: str, seconds: float) -> list[tuple[float, float | None]]:
        points = self.held[series]
        return points[-max(int(seconds // 10), 1) :]


def check(name: str, how: Health = Health.UP, **more: Any) -> CheckReport:
    return CheckReport(
        name=name, state=how, known=how, said=how, evidence=Evidence.ANSWER, since=NOW - 540,
        checked_at=NOW - 3, took=0.0041, runs=900, **more,
    )  # fmt: skip


def checks_of(mood: Mood) -> list[CheckReport]:
    if mood == "empty":
        return []
    if mood == "many":
        bad = {17: Health.DOWN, 58: Health.DEGRADED, 103: Health.UNKNOWN}
        return [
            check(f"service-{number:03}", bad.get(number, Health.UP), critical=number < 20)
            for number in range(200)
        ]
    ill = mood == "incident"
    down = Health.DOWN if ill else Health.UP
    names = ["telegram", "upstream", "database", "redis", "disk", "event loop"]
    if mood == "hostile":
        names = [f"{HOSTILE} {name}" for name in names]
    telegram, upstream, database, redis, disk, loop = names
    why = {"reason": "OSError: connection refused"} if ill else {}
    cause = {"consequence_of": (database,), "reason": f"{database} is down"} if ill else {}
    slow = {"reason": "answers in 1.8 s, 0.5 s is usual"} if ill else {}
    return [
        check("bot", down, depends_on=(telegram, "prices"), uses=(redis,), **cause),
        check("prices", down, depends_on=(database, upstream), uses=(redis,), **cause),
        check(telegram), check(database, down, **why),
        check(upstream, Health.DEGRADED if ill else Health.UP, critical=False, **slow),
        check(redis, critical=False), check(disk, critical=False),
        check(loop, kind=Kind.LIVENESS),
    ]  # fmt: skip


def alerts_of(mood: Mood) -> list[dict[str, Any]]:
    if mood not in ("incident", "hostile"):
        return []
    name = "database down" if mood == "incident" else HOSTILE
    return [
        {"id": "a1", "name": name, "severity": "critical", "state": "firing", "since": NOW - 510,
         "reason": "down for 8 min; 99.9 % over 30 days allows 43 min",
         "folded": ["prices down", "bot down", "error rate above 5 %"]},
        {"id": "a2", "name": "upstream slow", "severity": "warning", "state": "firing",
         "since": NOW - 300, "reason": "p99 is 1.8 s, more than 0.5 s for 5 min",
         "acknowledged_by": "Ada"},
        {"id": "a3", "name": "disk full in 3 h", "severity": "warning", "state": "pending",
         "since": NOW - 40, "reason": "grows by 1.2 GB an hour"},
    ]  # fmt: skip


async def uptime_of(checks: Sequence[CheckReport], mood: Mood) -> Uptime:
    """Return ninety days of history, made by looking once every six hours."""
    clock, draw = ManualClock(), random.Random(5)
    clock.set_time(NOW - 90 * 86_400)
    names = ["", *(each.name for each in checks[:12])]
    states: dict[str, str] = {}
    uptime = Uptime("scene", read=lambda: states, clock=clock)
    for step in range(90 * 4):
        for name in names:
            sick = draw.random() < (0.012 if name in ("", "database", "upstream") else 0.003)
            states[name] = "unknown" if step < 40 else "down" if sick else "up"
        uptime.observe(states)
        await clock.advance(300)
        uptime.observe(dict.fromkeys(names, "unknown" if step < 40 else "up"))
        await clock.advance(21_300)
    uptime.observe({each.name: each.state for each in checks[:12]} | {"": Report.of(checks).state})
    return uptime


class Scene:
    """A service, and the application that shows it."""

    def __init__(self, monitor: Monitor, alerts: Alerts, parts: list[Part], app: StatusApp) -> None:
        self.monitor, self.alerts, self.parts, self.app = monitor, alerts, parts, app


async def make_scene(mood: Mood, *, token: str | None = None) -> Scene:
    checks = checks_of(mood)
    monitor, alerts = Monitor(checks), Alerts(alerts_of(mood))
    count = {"empty": 0, "many": 200}.get(mood, 6)
    names = ["prices", "users", "upstream", "per-user", "slots", "outbound"]
    parts = [
        Part(names[number] if count == 6 else f"part-{number:03}",
             "open" if mood == "incident" and number == 2 else "closed")
        for number in range(count)
    ]  # fmt: skip
    if mood == "hostile":
        parts = [Part(HOSTILE)]
    clock = ManualClock()
    clock.set_time(NOW)
    wanted = [
        "requests_per_second", "latency_seconds", "hit_rate", "memory_bytes", "loop_lag_seconds",
        "limited_per_second",
    ]  # fmt: skip
    app = status_app(
        monitor,
        components=parts,
        uptime=None if mood == "empty" else await uptime_of(checks, mood),
        alerts=alerts,
        charts=None if mood == "empty" else Charts(wanted, NOW),
        token=token,
        title=HOSTILE if mood == "hostile" else "Price bot",
        interval=0.2,
    )
    # The page looks at a clock that stands still; the stream goes by the real one.
    app._document._clock = clock
    if mood != "empty":
        monitor.events.emit(
            CheckFailed(
                source="health",
                at=NOW - 540,
                check="database",
                check_kind=Kind.READINESS,
                before=Health.UP,
                reason="OSError: connection refused",
                evidence=Evidence.ERROR,
                consequence_of=(),
                flapping=False,
                lasted=86_000.0,
                down_for=0.0,
            )
        )
    return Scene(monitor, alerts, parts, app)
