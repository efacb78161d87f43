"""What is shown, as JSON: for probes, for programs, and for the page."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from mobius_infra.core import Clock, Component, Event, Events, samples
from mobius_infra.health._ledger import Availability, ErrorBudget
from mobius_infra.health._reports import CheckReport, Report
from mobius_infra.health._states import Health
from mobius_infra.health._uptime import WHOLE, WINDOWS, Uptime

VERSION = 1
_RECENT = 50  # events that are shown
_DAYS = 90
_STATUS = {Health.UP: "pass", Health.DEGRADED: "warn", Health.DOWN: "fail", Health.UNKNOWN: "fail"}

# Any, here and below: JSON.
Json = dict[str, Any]
Point = tuple[float, float | None]


class Monitored(Protocol):
    """Whatever says how a service and its parts are; `HealthMonitor` does."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def events(self) -> Events:
        """Where changes are told."""
        ...

    def report(self) -> Report:
        """Return what is known now, without looking anywhere."""
        ...


class Alerting(Protocol):
    """Whatever has alerts to show, and takes answers to them; `AlertManager` does."""

    def snapshot(self) -> Mapping[str, Any]:
        """Return alerts, incidents, silences and deliveries, as JSON can say them."""
        ...

    def acknowledge(self, alert: str, *, by: str, note: str = "") -> Awaitable[object] | object:
        """Take note that somebody is at it."""
        ...

    def silence(
        self, matchers: Mapping[str, str], *, until: float, by: str, comment: str = ""
    ) -> Awaitable[object] | object:
        """Send nothing of what matches, until then."""
        ...


class Charts(Protocol):
    """Numbers over time, for pictures."""

    def series(self) -> Sequence[str]:
        """Return the names of what there is."""
        ...

    def points(self, series: str, seconds: float) -> Sequence[Point]:
        """Return times, in seconds since the epoch, and values of the last so many seconds."""
        ...


class Document:
    """Knows all that is shown.

    Args:
        monitor: whose report is shown.
        components: whose numbers are shown, and whose events, from now on.
        title: of the page.
        uptime: whose figures are shown, if any.
        alerts: likewise.
        charts: likewise.
        objective: share of the time that each thing shall be up; for the error budget.
        clock: tells the time.
    """

    def __init__(
        self,
        monitor: Monitored,
        components: Iterable[Component],
        *,
        title: str,
        uptime: Uptime | None,
        alerts: Alerting | None,
        charts: Charts | None,
        objective: float,
        clock: Clock,
    ) -> None:
        self.monitor = monitor
        self.title = title
        self._components = tuple(components)
        self._uptime = uptime
        self._alerts = alerts
        self._charts = charts
        self._objective = objective
        self._clock = clock
        self._recent: deque[Event] = deque(maxlen=_RECENT)
        for told in (*(each.events for each in self._components), monitor.events):
            told.subscribe(self._recent.append)

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._clock.time()

    def sections(self) -> dict[str, Callable[[], Any]]:
        """Return what makes each part of the whole."""
        return {
            "health": lambda: health_of(self.monitor.report()),
            "components": lambda: [component_of(each) for each in self._components],
            "events": lambda: [event_of(each) for each in reversed(self._recent)],
            "alerts": lambda: None if self._alerts is None else self._alerts.snapshot(),
            "uptime": lambda: None if self._uptime is None else self._uptimes(self._uptime),
        }

    def whole(self) -> Json:
        """Return all of it."""
        found = {name: make() for name, make in self.sections().items()}
        head = {"version": VERSION, "title": self.title, "now": self.now()}
        return {**head, **found, "series": self.series(3_600.0)}

    def series(self, seconds: float) -> dict[str, list[Point]]:
        """Return the numbers of the last so many seconds, by name."""
        charts = self._charts
        if charts is None:
            return {}
        return {name: list(charts.points(name, seconds)) for name in charts.series()}

    def _uptimes(self, uptime: Uptime) -> Json:
        return {
            "objective": self._objective,
            "parts": [self._uptime_of(uptime, part) for part in (WHOLE, *uptime.parts)],
        }

    def _uptime_of(self, uptime: Uptime, part: str) -> Json:
        month = WINDOWS["30d"]
        figures = {name: uptime.availability(part, window) for name, window in WINDOWS.items()}
        budget = ErrorBudget.of(figures["30d"], self._objective, month)
        return {
            "part": part,
            "windows": {name: asdict(figure) for name, figure in figures.items()},
            "budget": asdict(budget),
            "days": [_day(day) for day in uptime.days(part, _DAYS)],
        }


def health_of(report: Report) -> Json:
    """Return a report as JSON."""
    return asdict(report)


def health_json(report: Report, *, well: bool, details: bool) -> Json:
    """Return `application/health+json` (draft-inadarei-api-health-check-06).

    Args:
        report: what is known.
        well: whether the answer's status is 200.
        details: whether to name the checks, and what they said.
    """
    status = _STATUS[report.state] if well else "fail"
    if not details:
        return {"status": status}
    return {
        "status": status,
        "state": report.state,
        "checks": {check.name: [_check(check)] for check in report.checks},
    }


def component_of(component: Component) -> Json:
    """Return a component's numbers; one that fails shows nothing but that it did."""
    head: Json = {"kind": type(component).__name__, "name": component.name}
    try:
        numbers = [sample._asdict() for sample in samples(component.stats())]
    except Exception as error:  # noqa: BLE001 - of one component: the others are shown
        return {**head, "numbers": [], "failed": type(error).__name__}
    return {**head, "numbers": numbers}


def event_of(event: Event) -> Json:
    """Return an event as JSON."""
    return {"event": type(event).__name__, **asdict(event)}


def _check(check: CheckReport) -> Json:
    found: Json = {
        "status": _STATUS[check.state],
        "componentType": "system" if check.critical else "component",
        "observedValue": check.took,
        "observedUnit": "s",
        "state": check.state,
    }
    if check.reason:
        found["output"] = check.reason
    if check.consequence_of:
        found["consequenceOf"] = check.consequence_of
    if check.checked_at is not None:
        found["time"] = check.checked_at
    return found


def _day(day: Availability) -> list[float]:
    return [round(each) for each in (day.up, day.down, day.unobserved, day.planned)]
