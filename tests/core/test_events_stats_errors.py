"""Events are heard by all, numbers describe themselves, errors carry their fields."""

import logging
import pickle
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest

from mobius_infra.core import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    CodecError,
    Config,
    ConfigurationError,
    Event,
    Events,
    MissingExtraError,
    MobiusError,
    Rejected,
    Sample,
    Stats,
    counter,
    gauge,
    import_extra,
    samples,
    state,
)


def test_every_listener_hears_an_event_though_one_raises(caplog: pytest.LogCaptureFixture) -> None:
    events, heard = Events(), list[Event]()

    def broken(event: Event) -> None:
        raise RuntimeError("broken listener")

    events.subscribe(broken)
    events.subscribe(heard.append)
    event = Event(source="prices", at=1.0)
    with caplog.at_level(logging.ERROR):
        events.emit(event)
    assert heard == [event]
    assert "broken listener" in caplog.text


def test_a_listener_may_leave_while_it_is_called_and_twice_is_harmless() -> None:
    events, heard = Events(), list[str]()

    def once(event: Event) -> None:
        heard.append("once")
        leave()

    leave = events.subscribe(once)
    events.subscribe(lambda event: heard.append("always"))
    events.emit(Event(source="a", at=0.0))
    events.emit(Event(source="a", at=0.0))
    leave()
    assert heard == ["once", "always", "always"]
    assert len(events) == 1
    assert repr(events) == "Events(listeners=1)"


def test_events_can_not_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Event(source="a", at=0.0).source = "b"  # type: ignore[misc]  # what is tested


@dataclass(frozen=True, slots=True)
class Numbers(Stats):
    hits: Mapping[str, int] = counter("Found, by tier", label="tier")
    size: int = gauge("Held")
    mode: str = state("Mode")
    note: str = ""


def test_samples_read_each_declared_field_and_no_other() -> None:
    assert list(samples(Numbers({"memory": 3, "redis": 1}, 7, "open"))) == [
        Sample("hits", "counter", "Found, by tier", {"tier": "memory"}, 3),
        Sample("hits", "counter", "Found, by tier", {"tier": "redis"}, 1),
        Sample("size", "gauge", "Held", {}, 7),
        Sample("mode", "state", "Mode", {}, "open"),
    ]


def test_a_number_that_is_not_known_has_no_sample() -> None:
    read = list(samples(Numbers({}, None, "open")))  # type: ignore[arg-type]
    assert [each.name for each in read] == ["mode"]


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (
            ConfigurationError("rate", 2, "at most 1"),
            {"field": "rate", "value": 2, "allowed": "at most 1"},
        ),
        (
            MissingExtraError("x", "redis", "redis"),
            {"feature": "x", "package": "redis", "extra": "redis"},
        ),
        (
            BackendError("redis://h", "get", "no"),
            {"backend": "redis://h", "operation": "get", "reason": "no"},
        ),
        (
            BackendTimeoutError("b", "get", "1 s"),
            {"backend": "b", "operation": "get", "reason": "1 s"},
        ),
        (CodecError("json", "damaged"), {"codec": "json", "reason": "damaged"}),
        (
            Rejected("full", name="bulkhead", retry_after=1.5),
            {"name": "bulkhead", "retry_after": 1.5},
        ),
    ],
)
def test_errors_carry_their_fields_through_pickle(
    error: MobiusError, fields: dict[str, Any]
) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert {name: again.fields()[name] for name in fields} == fields


def test_errors_can_be_caught_by_what_they_mean_to_python() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(MissingExtraError, ImportError)
    assert issubclass(BackendTimeoutError, TimeoutError)
    assert issubclass(BackendTimeoutError, BackendUnavailableError)


def test_a_missing_package_names_the_extra_and_our_own_mistakes_do_not_hide() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'mobius-infra\[perf\]'"):
        import_extra("surely_not_installed", feature="speed", extra="perf")
    with pytest.raises(ModuleNotFoundError) as caught:
        import_extra("mobius_infra.not_there", feature="speed", extra="perf")
    assert not isinstance(caught.value, MissingExtraError)


class Settings(Config):
    ttl: float
    size: int = 3


def test_a_config_is_loaded_or_refused_by_field() -> None:
    assert Settings.load({"ttl": 1}) == Settings(ttl=1.0, size=3)
    for data, field in (({"ttl": "x"}, "ttl"), ({}, "ttl"), ({"ttl": 1, "sizes": 2}, "sizes")):
        with pytest.raises(ConfigurationError) as caught:
            Settings.load(data)
        assert caught.value.field == field
