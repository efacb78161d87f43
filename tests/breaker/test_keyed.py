"""A breaker for each key, bounded in number."""

from typing import Any, assert_type

import pytest

from mobius_infra.breaker import (
    BreakerConfig,
    CircuitClosed,
    CircuitEvent,
    CircuitOpened,
    CircuitOpenError,
    KeyedBreaker,
    Outcome,
    State,
)
from mobius_infra.core import ConfigurationError
from mobius_infra.testing import ManualClock
from tests.breaker.support import DependencyError, Told


def make(clock: ManualClock, **options: Any) -> KeyedBreaker:
    given = {"key": "host", "consecutive_failures": 2, "failure_rate": None, **options}
    return KeyedBreaker("fetch", clock=clock, draw=lambda: 0.0, **given)


def open_circuit(per_host: KeyedBreaker, key: str) -> None:
    for _ in range(2):
        breaker = per_host.breaker(key)
        breaker.settle(breaker.admit(), Outcome.FAILURE)
    assert per_host.breaker(key).state is State.OPEN


async def test_one_keys_failures_open_its_circuit_alone(manual_clock: ManualClock) -> None:
    per_host = make(manual_clock)
    heard: list[Any] = []
    per_host.events.subscribe(heard.append)

    @per_host
    async def fetch(host: str, *, path: str = "/") -> str:
        if host == "down":
            raise DependencyError
        return host + path

    for _ in range(2):
        with pytest.raises(DependencyError):
            await fetch("down")
    with pytest.raises(CircuitOpenError, match="circuit 'fetch' for 'down' is open") as caught:
        await fetch("down")
    assert caught.value.key == "down"
    assert_type(await fetch("up", path="/x"), str)
    manual_clock.tick(1)
    per_host.breaker("down").settle(per_host.breaker("down").admit(), Outcome.SUCCESS)
    told = [(type(each), each.key) for each in heard]
    assert (told[0], told[-1]) == ((CircuitOpened, "down"), (CircuitClosed, "down"))
    assert all(isinstance(each, CircuitEvent) and each.source == "fetch" for each in heard)
    stats = per_host.stats()
    assert (stats.keys, stats.open_keys, stats.successes, stats.failures) == (2, 0, 2, 2)
    assert (stats.rejected, stats.opened) == (1, 1)


async def test_a_key_is_a_parameter_a_template_or_a_function(manual_clock: ManualClock) -> None:
    for key, expected in (
        ("host", "a:443"),
        ("{host}:{port}", "a%3A443:80"),
        (lambda host, port=80: f"{host}/{port}", "a:443/80"),
    ):
        per_host = make(manual_clock, key=key)

        @per_host
        async def fetch(host: str, port: int = 80) -> None:
            raise DependencyError

        for _ in range(2):
            with pytest.raises(DependencyError):
                await fetch("a:443")
        assert per_host.open_keys() == {expected: State.OPEN}
        assert str(per_host.breaker(expected).explain()).startswith(f"fetch[{expected}] is open")

    with pytest.raises(ConfigurationError, match="port"):

        @make(manual_clock, key="port")
        async def other(host: str) -> None: ...


def test_the_closed_circuit_unused_for_longest_is_forgotten_and_its_numbers_are_kept(
    manual_clock: ManualClock,
) -> None:
    per_host = make(manual_clock, most=3)
    for key in ("a", "b", "c"):
        breaker = per_host.breaker(key)
        breaker.settle(breaker.admit(), Outcome.FAILURE)
    kept = per_host.breaker("a")  # used again
    per_host.breaker("d")
    assert per_host.breaker("a") is kept
    stats = per_host.stats()
    assert (stats.keys, stats.forgotten, stats.failures) == (3, 1, 3)
    assert per_host.breaker("b").stats().failures == 0  # a new one


def test_one_that_is_not_closed_is_never_forgotten(manual_clock: ManualClock) -> None:
    per_host = make(manual_clock, most=3)
    open_circuit(per_host, "down")
    per_host.breaker("by hand").isolate()
    for number in range(100):
        per_host.breaker(f"host {number}")
    assert per_host.open_keys() == {"down": State.OPEN, "by hand": State.ISOLATED}
    assert per_host.stats().keys == 3
    manual_clock.tick(1)
    breaker = per_host.breaker("down")
    breaker.settle(breaker.admit(), Outcome.SUCCESS)
    assert per_host.open_keys() == {"by hand": State.ISOLATED}
    per_host.breaker("x")
    per_host.breaker("y")
    assert per_host.breaker("down") is not breaker  # closed, so it could be


def test_when_none_is_closed_further_keys_go_through_unguarded_and_are_counted(
    manual_clock: ManualClock,
) -> None:
    per_host = make(manual_clock, most=2)
    open_circuit(per_host, "a")
    open_circuit(per_host, "b")
    for _ in range(5):
        breaker = per_host.breaker("c")
        breaker.settle(breaker.admit(), Outcome.FAILURE)
    stats = per_host.stats()
    assert (stats.keys, stats.open_keys, stats.unguarded) == (2, 2, 5)
    per_host.breaker("c").isolate()  # what somebody does by hand is done
    with pytest.raises(CircuitOpenError):
        per_host.breaker("c").admit()


def test_a_forgotten_circuit_comes_back_when_its_calls_in_flight_fail(
    manual_clock: ManualClock,
) -> None:
    per_host = make(manual_clock, most=1)
    breaker = per_host.breaker("a")
    flying = [breaker.admit(), breaker.admit()]
    per_host.breaker("b")
    assert per_host.breaker("a") is not breaker
    for permit in flying:
        breaker.settle(permit, Outcome.FAILURE)
    assert per_host.breaker("a") is breaker
    assert per_host.open_keys() == {"a": State.OPEN}
    assert per_host.stats().keys == 1


def test_each_remembered_circuit_joins_the_fleet_and_nothing_else_does(
    manual_clock: ManualClock,
) -> None:
    fleet = Told()
    joined: list[str | None] = []
    fleet.on_join = lambda breaker: joined.append(breaker.key)
    per_host = make(manual_clock, most=2, fleet=fleet)
    open_circuit(per_host, "a")
    open_circuit(per_host, "b")
    per_host.breaker("c")
    assert joined == ["a", "b"]


def test_shadow_circuits_are_kept_too(manual_clock: ManualClock) -> None:
    per_host = make(manual_clock, mode="shadow")
    for _ in range(3):
        breaker = per_host.breaker("a")
        breaker.settle(breaker.admit(), Outcome.FAILURE)
    assert per_host.open_keys() == {"a": State.OPEN}
    assert per_host.breaker("a").state is State.CLOSED
    assert per_host.stats().would_reject == 1


def test_it_is_built_from_settings_and_refuses_bad_ones(manual_clock: ManualClock) -> None:
    config = BreakerConfig.load({"name": "fetch", "consecutive_failures": 3})
    per_host = KeyedBreaker.from_config(config, key="host", most=5, clock=manual_clock)
    assert per_host.breaker("a").rules.consecutive_failures == 3
    assert repr(per_host) == "KeyedBreaker('fetch', keys=1)"
    for options, field in (({"most": 0}, "most"), ({"failure_rate": 2.0}, "failure_rate")):
        with pytest.raises(ConfigurationError) as caught:
            make(manual_clock, **options)
        assert caught.value.field == field
    with pytest.raises(TypeError, match="no_such"):
        make(manual_clock, no_such=1)


def test_no_number_is_lost_or_doubled_when_a_forgotten_circuit_comes_back(
    manual_clock: ManualClock,
) -> None:
    per_host = make(manual_clock, most=1)
    breaker = per_host.breaker("a")
    for _ in range(3):
        breaker.settle(breaker.admit(), Outcome.SUCCESS)
    flying = [breaker.admit(), breaker.admit()]
    per_host.breaker("b")
    other = per_host.breaker("a")  # a new one, that will have to make room
    other.settle(other.admit(), Outcome.SUCCESS)
    for permit in flying:
        breaker.settle(permit, Outcome.FAILURE)
    stats = per_host.stats()
    assert (stats.successes, stats.failures, stats.opened, stats.keys) == (4, 2, 1, 1)
    assert stats.forgotten == 3
    breaker.reset()
    per_host.breaker("c")
    stats = per_host.stats()
    assert (stats.successes, stats.failures, stats.opened) == (4, 2, 1)
