"""A monitor's numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

from mobius_infra.core import Stats, counter, gauge, state
from mobius_infra.health._node import Node
from mobius_infra.health._reports import Report
from mobius_infra.health._states import Health


@dataclass(frozen=True, slots=True)
class MonitorStats(Stats):
    """A monitor's numbers."""

    state: str = state("State of the whole")
    runs: int = counter("Checks that were run, or spared by real traffic")
    failures: int = counter("Checks that failed")
    down: int = gauge("Checks that are down")
    degraded: int = gauge("Checks that are degraded")
    unknown: int = gauge("Checks of which nothing is known")
    flapping: int = gauge("Checks that change their minds all the time")
    stuck: int = gauge("Checks that still run though they were given up")
    hanging_threads: int = gauge("Threads that hang in checks")


def stats_of(report: Report, nodes: Iterable[Node], hanging_threads: int) -> MonitorStats:
    """Return the numbers as they are now."""
    states = [each.state for each in report.checks]
    return MonitorStats(
        state=report.state.value,
        runs=sum(each.runs for each in report.checks),
        failures=sum(each.failures for each in report.checks),
        down=states.count(Health.DOWN),
        degraded=states.count(Health.DEGRADED),
        unknown=states.count(Health.UNKNOWN),
        flapping=sum(each.flapping for each in report.checks),
        stuck=sum(each.probe is not None and each.probe.stuck for each in nodes),
        hanging_threads=hanging_threads,
    )
