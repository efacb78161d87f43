"""A rule for each check of a monitor: of what breaks together, the root is told."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from mobius_infra.health._alert_conditions import Is
from mobius_infra.health._alert_step import Severity
from mobius_infra.health._monitor import HealthMonitor
from mobius_infra.health._reports import CheckReport
from mobius_infra.health._rules import Rule
from mobius_infra.health._states import Health

_SUSPECT: Final = "suspect"
"""A consequence of what is not believed to be down itself as yet: it isn't known which it is."""


def check_rules(
    monitor: HealthMonitor,
    *,
    for_: float = 0.0,
    keep_firing_for: float = 0.0,
    severity: Severity = Severity.CRITICAL,
    labels: Mapping[str, str] | None = None,
) -> list[Rule]:
    """Make a rule for each check and component that a monitor has now: alarming while it is down.

    What a check depends on is its rule's parent: while that is down, the check's alert is listed
    with it, not told; before a check's alert goes out, its parents are asked again. A check that
    is unknown neither fires nor resolves.

    Args:
        monitor: all of whose checks have been declared.
        for_: seconds that a check must be down before it is told, beside its own hysteresis.
        keep_firing_for: seconds that it must not be down before it resolves.
        severity: of all of them, since nothing hides what is more severe.
        labels: of all of them.
    """
    return [
        Rule(
            name=_rule(check.name),
            source=_state_of(monitor, place),
            condition=Is(Health.DOWN, unknown=(Health.UNKNOWN, _SUSPECT)),
            for_=for_,
            keep_firing_for=keep_firing_for,
            severity=severity,
            labels={**(labels or {}), "check": check.name},
            parents=tuple(map(_rule, (*check.depends_on, *check.uses))),
            ask_again=partial(monitor.run, check.name),
        )
        for place, check in enumerate(monitor.report().checks)
    ]


def _rule(check: str) -> str:
    return f"{check} is down"


def _state_of(monitor: HealthMonitor, place: int) -> Callable[[], str]:
    """Make a source of the state of one check, by its place in the order of declaration."""

    def read() -> str:
        checks = monitor.report().checks
        check = checks[place]
        if check.consequence_of and not _is_explained(check, checks):
            return _SUSPECT
        return check.state

    return read


def _is_explained(check: CheckReport, checks: tuple[CheckReport, ...]) -> bool:
    """Say whether any root of a check's trouble is down: then its alert has a parent."""
    return any(each.state is Health.DOWN for each in checks if each.name in check.consequence_of)
