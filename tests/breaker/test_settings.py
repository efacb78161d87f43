"""Settings: what is refused, and what files can say."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from mobius_infra.breaker import (
    Backoff,
    BreakerConfig,
    Calls,
    CircuitBreaker,
    Outcome,
    RampUp,
    Rules,
    Seconds,
)
from mobius_infra.breaker._policy import CodeOptions, Options
from mobius_infra.core import ConfigurationError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        *(({"failure_rate": bad}, "failure_rate") for bad in (0.0, -0.1, 1.1, NAN, INF, True, "1")),
        *(
            ({"slow_rate": bad, "slow_after": 1.0}, "slow_rate")
            for bad in (0.0, 1.5, NAN, True)
        ),
        *(
            ({"slow_rate": 0.5, "slow_after": bad}, "slow_after")
            for bad in (0, -1.0, NAN, INF, True, None)
        ),
        ({"slow_after": 1.0}, "slow_after"),
        ({"failure_rate": None, "consecutive_failures": None}, "failure_rate"),
        *(({"consecutive_failures": bad}, "consecutive_failures") for bad in (0, -1, 1.5, True)),
        ({"window": 20}, "window"),
        ({"window": None}, "window"),
        ({"minimum_calls": 21}, "minimum_calls"),
        ({"minimum_calls": 0}, "minimum_calls"),
        ({"window": Calls(5)}, "minimum_calls"),
        ({"backoff": 1.0}, "backoff"),
        ({"permits": 0}, "permits"),
        ({"permits": True}, "permits"),
        ({"successes": 0}, "successes"),
        *(({"probe_timeout": bad}, "probe_timeout") for bad in (0, -1, NAN, INF, True)),
        ({"ramp_up": 10.0}, "ramp_up"),
        ({"failed_on": int}, "failed_on"),
        ({"failed_on": (ValueError, "x")}, "failed_on"),
        ({"failed_on": None}, "failed_on"),
        ({"ignored": 1}, "ignored"),
        ({"failed_if": 500}, "failed_if"),
        ({"retry_after": 5.0}, "retry_after"),
        ({"mode": "off"}, "mode"),
        ({"mode": None}, "mode"),
    ],
    ids=str,
)  # fmt: skip
def test_values_out_of_range_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CircuitBreaker(**{"name": "x", **options})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("make", "field"),
    [
        *((lambda bad=bad: Calls(bad), "calls") for bad in (0, -1, 2.5, True)),
        *((lambda bad=bad: Seconds(bad), "seconds") for bad in (0, -1.0, NAN, INF, True)),
        (lambda: Seconds(10.0, 0), "buckets"),
        *((lambda bad=bad: RampUp(bad), "over") for bad in (0, -1.0, NAN, INF)),
        *((lambda bad=bad: RampUp(1.0, bad), "start") for bad in (0, 1.1, NAN, -0.5)),
    ],
)
def test_the_small_objects_refuse_too(make: Callable[[], object], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.field == field


def test_a_refusal_names_field_value_and_range() -> None:
    with pytest.raises(ConfigurationError, match=r"failure_rate is 1\.5; it must be .*\(0, 1\]"):
        CircuitBreaker("x", failure_rate=1.5)


@pytest.mark.parametrize("func", [lambda: 1, 3, None, print])
def test_what_is_no_async_function_is_refused_at_decoration(func: Any) -> None:
    breaker: Callable[..., Any] = CircuitBreaker("x")
    with pytest.raises(ConfigurationError, match="async"):
        breaker(func)


def test_a_file_can_say_all_of_it() -> None:
    config = BreakerConfig.load({
        "name": "prices", "consecutive_failures": None, "failure_rate": 0.25, "slow_rate": 0.5,
        "slow_after": 2, "window": {"seconds": 30, "buckets": 6}, "minimum_calls": 7,
        "backoff": {"first": 0.5, "most": 10, "jitter": "equal"}, "permits": 2, "successes": 3,
        "probe_timeout": 5, "ramp_up": {"over": 20, "start": 0.2}, "mode": "shadow",
    })  # fmt: skip
    breaker = CircuitBreaker.from_config(config, ignored=LookupError)
    assert breaker.rules == Rules(
        consecutive_failures=None, failure_rate=0.25, slow_rate=0.5, slow_after=2.0,
        window=Seconds(30.0, 6), minimum_calls=7, backoff=Backoff(0.5, 10.0, jitter="equal"),
        permits=2, successes=3, probe_timeout=5.0, ramp_up=RampUp(20.0, 0.2),
    )  # fmt: skip
    assert (breaker.mode, breaker.name) == ("shadow", "prices")
    assert breaker.classify(LookupError()) is Outcome.NEUTRAL
    assert BreakerConfig.load({"name": "x", "window": {"calls": 50}}).window == Calls(50)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"window": 0}, "window"),
        ({"window": {"calls": 0}}, "window"),
        ({"backoff": {"first": -1}}, "backoff"),
        ({"backoff": {"frist": 1}}, "backoff"),
        ({"mode": "off"}, "mode"),
        ({"open_for": 1}, "open_for"),
    ],
)
def test_what_a_file_says_wrongly_is_refused_by_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BreakerConfig.load({"name": "x", **given})
    assert caught.value.field.startswith(field)


def test_every_way_to_give_an_option_knows_the_same_ones() -> None:
    """The constructor, the settings, the typed keywords and the rules don't drift apart."""
    parameters = inspect.signature(CircuitBreaker).parameters
    defaults = {name: each.default for name, each in parameters.items()}
    in_files = {name: each.default for name, each in BreakerConfig.model_fields.items()}
    assert in_files.keys() | CodeOptions.__annotations__.keys() == defaults.keys()
    assert Options.__annotations__.keys() == defaults.keys() - {"name"}
    del in_files["name"]
    assert in_files == {name: defaults[name] for name in in_files}
    ours = Rules()
    assert all(getattr(ours, name) == defaults[name] for name in Rules.__dataclass_fields__)
