"""Rules: what is read, what is alarming about it, and what the alert is called."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from mobius_infra.core import Component, ConfigurationError, require
from mobius_infra.health._alert_conditions import (
    Condition,
    Reading,
    require_names,
    require_seconds,
)
from mobius_infra.health._alert_step import Severity, Timing
from mobius_infra.health._burn import BURN_RATES, Burning, BurnRate

Readings = Reading | Mapping[str, Reading]
Source = Callable[[], Readings]
"""Read on the event loop at every look: it must not block. What it raises means: no reading."""

RESERVED: Final = ("alert", "severity")


def numbers_of(component: Component, field: str) -> Source:
    """Make a source of one field of a component's `stats()`.

    A field with a label gives a reading for each label value: use it with `Rule.by`.

    Raises:
        ConfigurationError: if there is no such field; says which there are.
    """
    _require_field(component, field)
    return lambda: getattr(component.stats(), field)


def totals_of(component: Component, *, good: str, bad: str) -> Source:
    """Make a source of two counters of a component's `stats()`, for an error budget.

    Raises:
        ConfigurationError: if there is no such field; says which there are.
    """
    _require_field(component, good)
    _require_field(component, bad)

    def read() -> Reading:
        stats = component.stats()
        return _total(getattr(stats, good)), _total(getattr(stats, bad))

    return read


def _total(value: float | Mapping[str, float]) -> float:
    return sum(value.values()) if isinstance(value, Mapping) else value


def _require_field(component: Component, name: str) -> None:
    known = [each.name for each in fields(component.stats()) if each.metadata]
    require(name in known, "field", name, f"one of {', '.join(known)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing to be told about.

    Attributes:
        name: unique; the label `alert` of its alerts.
        source: gives the reading; or readings by name, and then each has an alert of its own.
        condition: says when a reading is alarming.
        for_: seconds that it must be so before it fires.
        keep_firing_for: seconds that it must not be so before it resolves.
        severity: how bad it is.
        labels: to route, group and silence by.
        by: what the names of several readings are, such as `tier`: a label.
        summary: what it means and what to do, for whoever is woken.
        parents: rules whose alerts explain this one: while one is pending or firing, this one's
            are not told, but listed with the parent's. A parent hides nothing more severe.
        ask_again: asked before an alert of a child goes out; the source is read again after it.
            For what is looked at rarely, such as a check that runs every minute.
    """

    name: str
    source: Source
    condition: Condition
    for_: float = 0.0
    keep_firing_for: float = 0.0
    severity: Severity = Severity.WARNING
    labels: Mapping[str, str] = field(default_factory=dict)
    by: str | None = None
    summary: str = ""
    parents: tuple[str, ...] = ()
    ask_again: Callable[[], Awaitable[object]] | None = None

    def __post_init__(self) -> None:
        require(0 < len(self.name) <= 200, "name", self.name, "text of 1 to 200 characters")
        require_text("name", self.name)
        require_text("summary", self.summary)
        require(callable(self.source), "source", self.source, "a function without arguments")
        has_step = callable(getattr(self.condition, "step", None))
        require(has_step, "condition", self.condition, "a condition, such as Above(0.5)")
        require_seconds("for_", self.for_, zero=True)
        require_seconds("keep_firing_for", self.keep_firing_for, zero=True)
        known = self.severity in list(Severity)
        require(known, "severity", self.severity, f"one of {', '.join(Severity)}")
        object.__setattr__(self, "severity", Severity(self.severity))
        require_labels("labels", self.labels)
        for name in (*self.labels, self.by):
            require(name not in RESERVED, "labels", name, "other than alert and severity")
        require_names("parents", self.parents)

    @property
    def timing(self) -> Timing:
        """How patient it is."""
        return Timing(self.for_, self.keep_firing_for)

    def alert_id(self, series: str) -> str:
        """Return the id of the alert of one of its readings."""
        return self.name if self.by is None else f"{self.name} ({self.by}={series})"

    def series_of(self, labels: Mapping[str, str]) -> str:
        """Return which of its readings an alert with these labels is of."""
        return "" if self.by is None else labels.get(self.by, "")

    def labels_of(self, series: str) -> dict[str, str]:
        """Return the labels of the alert of one of its readings."""
        own = {} if self.by is None else {self.by: series}
        return {**self.labels, **own, "alert": self.name, "severity": self.severity.value}


def require_labels(name: str, labels: object) -> None:
    """Refuse what is no mapping from text to text."""
    allowed = "a mapping from text to text"
    if not isinstance(labels, Mapping):
        raise ConfigurationError(name, labels, allowed)
    for key, value in labels.items():
        require(isinstance(key, str) and isinstance(value, str) and key != "", name, key, allowed)
        require_text(name, key + value)


def require_text(name: str, text: str) -> None:
    """Refuse text that can't be stored and sent."""
    fit = not any("\ud800" <= each <= "\udfff" for each in text)
    require(fit, name, text, "text without halves of surrogate pairs")


def burn_rate_rules(
    name: str,
    source: Source,
    *,
    objective: float,
    rates: Iterable[BurnRate] = BURN_RATES,
    least: float = 0.0,
    labels: Mapping[str, str] | None = None,
    summary: str = "",
) -> list[Rule]:
    """Make a rule for each severity in a table of burn rates: the Site Reliability Workbook's.

    It fires while any row of its severity does. While one fires, those after it are listed with it
    and not told.

    Args:
        name: the rules are called after it and their severity.
        source: gives totals of good and bad events; see `totals_of` and `Totals`.
        objective: the share that must be good, such as 0.999.
        rates: the rows, the most severe first.
        least: bad events in a long window below which nothing is alarming.
        labels: of all of them.
        summary: of all of them.
    """
    rows: dict[Severity, list[BurnRate]] = {}
    for rate in rates:
        rows.setdefault(rate.severity, []).append(rate)
    rules: list[Rule] = []
    for severity, alike in rows.items():
        rule = Rule(
            name=f"{name} burns its error budget ({severity})",
            source=source,
            condition=Burning(objective, tuple(alike), least),
            severity=severity,
            labels=labels or {},
            summary=summary,
            parents=tuple(each.name for each in rules),
        )
        rules.append(rule)
    return rules


def parents_first(rules: Iterable[Rule]) -> list[Rule]:
    """Return the rules in an order in which parents come before their children.

    Raises:
        ConfigurationError: for two rules of one name, an unknown parent, or a circle.
    """
    by_name: dict[str, Rule] = {}
    for rule in rules:
        require(rule.name not in by_name, "name", rule.name, "a name that no other rule has")
        by_name[rule.name] = rule
    order: dict[str, Rule] = {}
    while len(order) < len(by_name):
        free = [
            rule
            for rule in by_name.values()
            if rule.name not in order and all(each in order for each in rule.parents)
        ]
        for rule in by_name.values():
            unknown = [each for each in rule.parents if each not in by_name]
            require(not unknown, "parents", unknown, f"names of rules (rule {rule.name!r})")
        circle = [name for name in by_name if name not in order]
        require(bool(free), "parents", circle, "free of circles")
        order.update((rule.name, rule) for rule in free)
    return list(order.values())
