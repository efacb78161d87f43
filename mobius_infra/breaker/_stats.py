"""A circuit's numbers."""

from dataclasses import dataclass

from mobius_infra.breaker._machine import Machine
from mobius_infra.core import Stats, counter, gauge, state


@dataclass(frozen=True, slots=True)
class BreakerStats(Stats):
    """A circuit's numbers."""

    state: str = state("State of the circuit")
    successes: int = counter("Calls that succeeded")
    failures: int = counter("Calls that failed")
    neutral: int = counter("Calls that say nothing: cancelled, ignored, rejected further in")
    slow: int = counter("Calls that took longer than slow_after, however they ended")
    overdue: int = counter("Probes that did not return in time")
    rejected: int = counter("Calls that were rejected")
    would_reject: int = counter("Calls that would have been, but for shadow mode")
    opened: int = counter("Times that the circuit opened")
    would_open: int = counter("Times that it would have, but for shadow mode")
    window_calls: int = gauge("Calls in the window")
    window_failures: int = gauge("Failures in the window")
    window_slow: int = gauge("Slow calls in the window")
    probes: int = gauge("Probes that are out")


def stats_of(machine: Machine, now: float) -> BreakerStats:
    """Return the numbers as they are `now`."""
    calls, failures, slow = machine.window.counts(now)
    return BreakerStats(
        state=machine.visible.value,
        successes=machine.successes,
        failures=machine.failures,
        neutral=machine.neutral,
        slow=machine.slow,
        overdue=machine.overdue,
        rejected=machine.rejected,
        would_reject=machine.would_reject,
        opened=machine.opened,
        would_open=machine.would_open,
        window_calls=calls,
        window_failures=failures,
        window_slow=slow,
        probes=machine.probes,
    )
