"""Real traffic counts; probes are for when it is quiet."""

from contextlib import suppress

import pytest

from mobius_infra.breaker import CircuitBreaker
from mobius_infra.core import ConfigurationError
from mobius_infra.health import Evidence, Health, HealthMonitor, Traffic, traffic_of
from mobius_infra.testing import ManualClock
from tests.health.support import Dependency, report_of


class Calls:
    def __init__(self) -> None:
        self.good = self.bad = 0

    def counts(self) -> tuple[int, int]:
        return self.good, self.bad


async def test_while_real_calls_tell_enough_nobody_asks(
    monitor: HealthMonitor, manual_clock: ManualClock
) -> None:
    probe, calls = Dependency(manual_clock), Calls()
    monitor.check("db", every=10, jitter=0, traffic=Traffic(calls.counts, 5))(probe.check)
    async with monitor:
        await manual_clock.advance(5)
        calls.good += 100
        await manual_clock.advance(10)
        assert report_of(monitor, "db").evidence is Evidence.TRAFFIC
        calls.good, calls.bad = calls.good + 8, calls.bad + 2
        await manual_clock.advance(10)
        report = report_of(monitor, "db")
        assert (report.state, report.reason) == ("degraded", "2 of the last 10 calls failed")
        calls.bad += 5
        await manual_clock.advance(10)
        assert report_of(monitor, "db").state is Health.DOWN
        assert probe.asked == [0]
        calls.good += 4  # too few
        await manual_clock.advance(10)
        assert probe.asked == [0, 40]
        assert report_of(monitor, "db").state is Health.UP


async def test_counts_that_go_back_were_begun_anew(monitor: HealthMonitor) -> None:
    probe, calls = Dependency(), Calls()
    calls.good = 1_000
    monitor.check("db", traffic=Traffic(calls.counts))(probe.check)
    await monitor.run("db")
    calls.good, calls.bad = 0, 20
    assert (await monitor.run("db")).state is Health.DOWN


async def test_counts_that_can_not_be_read_leave_it_to_the_check(monitor: HealthMonitor) -> None:
    def broken() -> tuple[int, int]:
        raise OSError

    probe = Dependency()
    monitor.check("db", traffic=Traffic(broken))(probe.check)
    assert (await monitor.run("db")).state is Health.UP
    assert probe.calls == 1


async def test_a_breakers_calls_count(monitor: HealthMonitor) -> None:
    breaker, probe = CircuitBreaker("db"), Dependency()
    monitor.check("db", traffic=Traffic(traffic_of(breaker), calls=3))(probe.check)

    @breaker
    async def query(fails: bool) -> None:
        if fails:
            raise OSError

    for fails in (False, True, True):
        with suppress(OSError):
            await query(fails)
    assert (await monitor.run("db")).reason == "2 of the last 3 calls failed"
    assert probe.calls == 0


def test_counters_that_are_not_there_are_named() -> None:
    with pytest.raises(ConfigurationError, match="'wins'; it must be one of failures, neutral"):
        traffic_of(CircuitBreaker("db"), successes="wins")
