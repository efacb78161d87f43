"""Reads the rules' sources and asks their conditions: from a look at the world to verdicts."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from mobius_infra.health._alert_conditions import Condition, Memory, Reading
from mobius_infra.health._alert_engine import Seen
from mobius_infra.health._alert_step import Verdict, clean
from mobius_infra.health._alert_store import Report
from mobius_infra.health._rules import Rule

log = logging.getLogger("mobius_infra")

_MOST_SERIES: Final = 1000  # readings of one rule; a source with more has its labels wrong
_GONE: Final = Verdict(False, "its reading is gone")


@dataclass(slots=True)
class _Watched:
    """One rule, and the memories of its condition by series."""

    rule: Rule
    memories: dict[str, Memory]
    failed: str = ""
    said: bool = False


class Reader:
    """Reads every rule, parents before children.

    Args:
        rules: in that order.
    """

    __slots__ = ("_watched", "failures")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._watched = {rule.name: _Watched(rule, {}) for rule in rules}
        self.failures = 0

    def read(self, now: float, known: Mapping[str, Mapping[str, bool]]) -> dict[str, Seen]:
        """Return what is so, by alert.

        Args:
            now: in seconds.
            known: series by rule that must get a verdict even if the source gives none of them;
                and whether they are alarming as yet.
        """
        seen: dict[str, Seen] = {}
        for name in self._watched:
            seen |= self.read_rule(name, now, known.get(name, {}))
        return seen

    def read_rule(self, name: str, now: float, known: Mapping[str, bool]) -> dict[str, Seen]:
        """Return what is so of one rule, by alert."""
        watched = self._watched[name]
        rule, watched.failed = watched.rule, ""
        readings, failed = self._ask(watched)
        verdicts: dict[str, Verdict] = {}
        for series in dict.fromkeys([*readings, *watched.memories, *known]):
            gone = series not in readings and not getattr(rule.condition, "hears_silence", False)
            if known.get(series) and series not in watched.memories:
                watched.memories[series] = _resumed(rule.condition, now)
            verdict = self._judge(watched, series, now, readings.get(series), failed)
            if gone and verdict.active is None and not failed:
                # Else an alert of something that is no more would fire for ever.
                watched.memories.pop(series, None)
                verdict = _GONE
            verdicts[series] = verdict
        watched.said = bool(watched.failed)
        return {
            rule.alert_id(series): Seen(
                rule.alert_id(series), rule, series, rule.labels_of(series), verdict
            )
            for series, verdict in verdicts.items()
        }

    def failing(self) -> Mapping[str, str]:
        """Return which rules' sources or conditions raised when last read, and what."""
        return {name: each.failed for name, each in self._watched.items() if each.failed}

    def _ask(self, watched: _Watched) -> tuple[dict[str, Reading], str]:
        try:
            found = watched.rule.source()
            if watched.rule.by is None:
                if isinstance(found, Mapping):
                    raise TypeError("several readings, but the rule doesn't say what they are by")
                readings: dict[str, Reading] = {"": found}
            elif isinstance(found, Mapping):
                most = islice(found.items(), _MOST_SERIES)
                readings = {clean(str(series)): reading for series, reading in most}
                if len(found) > _MOST_SERIES:  # of the rest nothing is known
                    self._fail(watched, OverflowError(f"more than {_MOST_SERIES} readings"))
                    return readings, "OverflowError"
            else:
                raise TypeError("a single reading, but the rule is by a label")
        except Exception as error:  # noqa: BLE001 - the application's function may raise anything
            self._fail(watched, error)
            return ({"": None} if watched.rule.by is None else {}), type(error).__name__
        return readings, ""

    def _judge(
        self, watched: _Watched, series: str, now: float, reading: Reading, failed: str
    ) -> Verdict:
        memory = watched.memories.get(series)
        try:
            memory, verdict = watched.rule.condition.step(memory, now, reading)
            value = clean(verdict.value) if isinstance(verdict.value, str) else verdict.value
            active = None if verdict.active is None else bool(verdict.active)
            verdict = Verdict(active, clean(verdict.reason), value)
        except Exception as error:  # noqa: BLE001 - as may its condition
            self._fail(watched, error)
            return Verdict(None, f"the condition failed: {type(error).__name__}")
        watched.memories[series] = memory
        if failed and verdict.active is None:
            return Verdict(None, f"the source failed: {failed}")
        return verdict

    def _fail(self, watched: _Watched, error: Exception) -> None:
        # Only the type is shown: what an error says may be secret. The log is for those who may.
        self.failures += 1
        if not watched.said:
            log.warning("alert rule %r failed", watched.rule.name, exc_info=error)
        watched.said, watched.failed = True, type(error).__name__


def _resumed(condition: Condition, now: float) -> Memory:
    resumed: Callable[[float], Memory] | None = getattr(condition, "resumed", None)
    return None if resumed is None else resumed(now)


def add_reports(
    seen: dict[str, Seen], reports: Mapping[str, Report], rules: Mapping[str, Rule], now: float
) -> None:
    """Count as so what any other process of the fleet sees to be so."""
    for member, report in reports.items():
        for name, series, reason, value in report.active if report.until > now else ():
            rule = rules.get(name)
            if rule is None:
                continue
            id_ = rule.alert_id(series)
            if id_ not in seen or not seen[id_].verdict.active:
                verdict = Verdict(True, f"{reason} (at {member})", value)
                seen[id_] = Seen(id_, rule, series, rule.labels_of(series), verdict)
