"""Numbers of components, as Prometheus reads them."""

import gc
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from mobius_infra.breaker import CircuitBreaker
from mobius_infra.cache import Cache
from mobius_infra.core import (
    Component,
    ConfigurationError,
    Event,
    Events,
    Stats,
    counter,
    gauge,
    state,
)
from mobius_infra.metrics import MetricsCollector
from mobius_infra.testing import ManualClock
from tests.metrics.reading import OPEN_METRICS, read


@dataclass(frozen=True, slots=True)
class PumpStats(Stats):
    pumped: object = counter("Litres")
    by_valve: Mapping[str, float] = counter("Litres, by valve", label="valve")
    level: object = gauge("Metres")
    mode: str = state("on or off")


class Pump:
    """A component whose numbers a test sets."""

    def __init__(self, name: str = "p", *, events: Events | None = None) -> None:
        self.name = name
        self.events = Events() if events is None else events
        self.pumped: object = 0
        self.level: object = 1.5
        self.mode = "off"
        self.valves: dict[str, float] = {}
        self.error: Exception | None = None
        self.heard: list[object] = []

    def stats(self) -> PumpStats:
        if self.error is not None:
            raise self.error
        return PumpStats(self.pumped, dict(self.valves), self.level, self.mode)


PUMPED = "mobius_pump_pumped_total", "name=p"
LEVEL = "mobius_pump_level", "name=p"


@pytest.mark.parametrize("accept", [None, "text/plain", OPEN_METRICS])
async def test_a_components_numbers_are_read_when_somebody_looks(accept: str | None) -> None:
    collector, cache = MetricsCollector(), Cache("prices")
    other = Cache("users")
    collector.watch(cache, other)
    await cache.set("k", 1)
    await cache.get("k")
    found = read(collector, accept)
    assert found["mobius_cache_hits_total", "name=prices", "tier=memory"] == 1
    assert found["mobius_cache_hits_total", "name=users", "tier=memory"] == 0
    assert found["mobius_cache_entries", "name=prices"] == 1


def test_the_format_is_negotiated() -> None:
    collector = MetricsCollector()
    assert collector.render(None)[0].startswith("text/plain")
    assert "openmetrics" in collector.render("application/openmetrics-text")[0]


def test_a_state_is_one_sample_for_each_state_seen() -> None:
    collector, breaker = MetricsCollector("bot"), CircuitBreaker("up")
    collector.watch(breaker)
    read(collector)
    breaker.isolate()
    found = read(collector)
    name, at = "mobius_circuit_breaker_state", ("name=up", "service=bot")
    assert found[name, *at, "state=closed"] == 0
    assert found[name, *at, "state=isolated"] == 1


def test_states_are_bounded_and_the_present_one_is_always_there() -> None:
    collector, pump = MetricsCollector(), Pump()
    collector.watch(pump)
    for number in range(100):
        pump.mode = f"m{number}"
        found = {at: value for at, value in read(collector).items() if "mode" in at[0]}
    assert len(found) == 32
    assert [at[-1] for at, value in found.items() if value] == ["state=m99"]


def test_events_are_counted() -> None:
    collector, breaker = MetricsCollector(), CircuitBreaker("up")
    collector.watch(breaker)
    breaker.isolate()
    breaker.reset()
    found = read(collector)
    assert found["mobius_events_total", "event=CircuitIsolated", "source=up"] == 1
    assert found["mobius_events_total", "event=CircuitClosed", "source=up"] == 1


def test_events_that_several_components_push_from_one_place_are_counted_once() -> None:
    collector, events = MetricsCollector(), Events()
    first, second = Pump("a", events=events), Pump("b", events=events)
    collector.watch(first, second, first)
    at = "mobius_events_total", "event=Event", "source=a"
    events.emit(Event(source="a", at=0.0))
    assert read(collector)[at] == 1
    collector.unwatch(first)
    events.emit(Event(source="a", at=0.0))
    assert read(collector)[at] == 2  # the other still listens there
    collector.unwatch(second)
    assert len(events) == 0


def test_who_is_watched_again_is_heard_again() -> None:
    collector, pump = MetricsCollector(), Pump()
    gc.disable()  # it would remove what is left of the first time
    try:
        for _ in range(3):
            collector.watch(pump)
            pump.events.emit(Event(source="p", at=0.0))
            collector.unwatch(pump)
    finally:
        gc.enable()
    assert read(collector)["mobius_events_total", "event=Event", "source=p"] == 3


class TestCountersNeverRunBackwards:
    def test_when_a_component_is_rebuilt(self) -> None:
        collector, old = MetricsCollector(), Pump()
        old.pumped, old.valves = 5, {"a": 2, "b": 1}
        collector.watch(old)
        assert read(collector)[PUMPED] == 5
        del old
        new = Pump()
        new.pumped, new.valves = 1, {"a": 1}
        collector.watch(new)
        found = read(collector)
        assert found[PUMPED] == 6
        assert found["mobius_pump_by_valve_total", "name=p", "valve=a"] == 3

    def test_when_it_starts_over(self) -> None:
        collector, pump = MetricsCollector(), Pump()
        collector.watch(pump)
        seen = []
        for pump.pumped in [5, 7, 0, 2, 1, 4]:
            seen.append(read(collector)[PUMPED])
        assert seen == [5, 7, 7, 9, 10, 13]

    def test_when_it_is_rebuilt_after_it_started_over(self) -> None:
        collector, pump = MetricsCollector(), Pump()
        collector.watch(pump)
        for pump.pumped in [5, 1]:
            read(collector)
        collector.unwatch(pump)
        assert PUMPED not in read(collector)
        collector.watch(pump)
        assert read(collector)[PUMPED] == 6 + 1  # a new watch counts from its zero

    def test_when_the_old_one_still_lives(self, caplog: pytest.LogCaptureFixture) -> None:
        collector, old, new = MetricsCollector(), Pump(), Pump()
        old.pumped, old.level, new.pumped, new.level = 5, 1.0, 1, 2.0
        collector.watch(old)
        read(collector)
        collector.watch(new)
        assert "two live components are pump 'p'" in caplog.text
        found = read(collector)
        assert (found[PUMPED], found[LEVEL]) == (6, 2.0)
        old.pumped = 9
        assert read(collector)[PUMPED] == 10
        del old
        assert read(collector)[PUMPED] == 10

    def test_when_one_of_two_by_one_name_is_broken(self) -> None:
        collector, one, two = MetricsCollector(), Pump(), Pump()
        one.pumped, two.pumped = 5, 3
        collector.watch(one, two)
        assert read(collector)[PUMPED] == 8
        one.error = RuntimeError()
        assert PUMPED not in read(collector)
        one.error = None
        assert read(collector)[PUMPED] == 8

    @pytest.mark.parametrize("dies", [True, False])
    def test_when_one_goes_in_the_middle_of_a_scrape(self, dies: bool) -> None:
        collector, first, old, new = MetricsCollector(), Pump("first"), Pump(), Pump()
        old.pumped, new.pumped = 5, 1
        collector.watch(first, old, new)
        assert read(collector)[PUMPED] == 6
        scrape = collector._watched.families()
        next(scrape)  # the first has been read
        if dies:
            del old
        else:
            next(scrape)  # and the old one too
            collector.unwatch(old)
        found = [family for family in scrape if family and family.name == "mobius_pump_pumped"]
        (family,) = found
        assert {dict(each.labels)["name"]: each.value for each in family.series}["p"] == 6

    async def test_when_scrapes_overlap(self, manual_clock: ManualClock) -> None:
        """What an older scrape read is not taken for a component that started over."""
        collector = MetricsCollector(clock=manual_clock)
        pump, names = Pump(), [Pump(f"p{n}") for n in range(3)]

        class Slow(Pump):
            def stats(self) -> PumpStats:
                first = super().stats()
                if self.pumped == 1:
                    self.pumped = 2
                    read(collector)  # a whole scrape, while this one is under way
                return first

        slow = Slow()
        slow.pumped = 1
        collector.watch(slow, pump, *names)
        at = "mobius_slow_pumped_total", "name=p"
        assert read(collector)[at] == 2
        assert read(collector)[at] == 2


def test_gauges_go_with_their_object() -> None:
    collector, pump = MetricsCollector(), Pump()
    collector.watch(pump)
    assert read(collector)[LEVEL] == 1.5
    del pump
    assert not any("pump" in at[0] for at in read(collector))
    assert repr(collector) == "MetricsCollector('', components=0, metrics=0)"


def test_an_object_whose_listeners_refer_to_it_goes_too() -> None:
    collector, pump = MetricsCollector(), Pump()
    pump.events.subscribe(pump.heard.append)
    pump.heard.append(pump)
    collector.watch(pump)
    read(collector)
    del pump
    gc.collect()
    assert LEVEL not in read(collector)


def test_what_nobody_holds_is_told(caplog: pytest.LogCaptureFixture) -> None:
    collector = MetricsCollector()
    collector.watch(Pump())
    assert LEVEL not in read(collector)
    assert "watch it with keep=True" in caplog.text
    collector.watch(Pump(), keep=True)
    gc.collect()
    assert read(collector)[LEVEL] == 1.5


def test_what_can_not_be_referred_to_weakly_is_held_until_unwatched() -> None:
    class Slotted:
        __slots__ = ("events", "name")

        def __init__(self) -> None:
            self.name, self.events = "s", Events()

        def stats(self) -> PumpStats:
            return PumpStats(1, {}, 2.0, "on")

    collector, slotted = MetricsCollector(), Slotted()
    collector.watch(slotted)
    events = slotted.events
    assert read(collector)["mobius_slotted_level", "name=s"] == 2
    collector.unwatch(slotted)
    collector.unwatch(slotted)  # as often as one likes
    assert not any("slotted" in at[0] for at in read(collector))
    assert len(events) == 0


def test_names_of_components_gone_are_remembered_up_to_a_bound() -> None:
    collector = MetricsCollector()
    for number in range(1_100):
        pump = Pump(f"p{number}")
        pump.pumped = 1
        collector.watch(pump)
        collector.collect()
        collector.unwatch(pump)
    first, last = Pump("p0"), Pump("p1099")
    collector.watch(first, last)
    found = read(collector)
    assert found["mobius_pump_pumped_total", "name=p0"] == 0
    assert found["mobius_pump_pumped_total", "name=p1099"] == 1


class TestABrokenComponent:
    def test_does_not_hide_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        collector, broken, cache = MetricsCollector(), Pump(), Cache("prices")
        broken.error = RuntimeError("no numbers today")
        collector.watch(broken, cache)
        for times in (1, 2, 3):
            found = read(collector)
            assert found["mobius_cache_entries", "name=prices"] == 0
            assert found["mobius_scrape_failures_total", "source=pump p"] == times
            assert LEVEL not in found
        assert caplog.text.count("no numbers today") == 1  # told once, counted each time

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("pumped", -1), ("pumped", float("nan")), ("pumped", float("inf")), ("pumped", "5"),
            ("pumped", None), ("level", "high"), ("level", object()), ("valves", {"a": -1}),
        ],
    )  # fmt: skip
    def test_is_one_that_gives_no_numbers(self, field: str, value: object) -> None:
        collector, pump, well = MetricsCollector(), Pump(), Pump("well")
        setattr(pump, field, value)
        collector.watch(pump, well)
        found = read(collector, OPEN_METRICS)
        assert found["mobius_pump_level", "name=well"] == 1.5
        missing = [at for at in found if at[1:] == ("name=p",)]
        if value is not None:  # a number that is not known may be left out alone
            assert not missing
            assert found["mobius_scrape_failures_total", "source=pump p"] == 1

    def test_cancellation_passes(self) -> None:
        collector, pump = MetricsCollector(), Pump()
        collector.watch(pump)
        pump.error = KeyboardInterrupt()  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            collector.collect()

    def test_of_two_kinds_in_one_name_the_second_is_left_out(self) -> None:
        @dataclass(frozen=True, slots=True)
        class OtherStats(Stats):
            level: int = counter("Not a gauge")

        class Other(Pump):
            def stats(self) -> OtherStats:  # type: ignore[override]
                return OtherStats(3)

        Other.__name__ = "Pump"
        collector, pump, other = MetricsCollector(), Pump(), Other("q")
        collector.watch(pump, other)
        found = read(collector, OPEN_METRICS)
        assert found[LEVEL] == 1.5
        assert found["mobius_scrape_failures_total", "source=pump q"] == 1


def test_names_of_any_text_are_exported_as_what_prometheus_can_read() -> None:
    class Odd(Pump):
        pass

    Odd.__name__ = "Söder"

    collector, pump = MetricsCollector("b\r\0t"), Odd('a"\\\n\ud800')
    pump.valves = {"x\0": 1, "x\r": 2, "y" * 999: 3}
    collector.watch(pump)
    read(collector)
    found = read(collector, OPEN_METRICS)
    label = 'name=a"\\\n\ufffd'
    assert found["mobius_s_der_level", label, "service=b\ufffd\ufffdt"] == 1.5
    valves = [at for at in found if at[0] == "mobius_s_der_by_valve_total"]
    # The two that became one text are one series, of both.
    assert [found[at] for at in valves] == [3, 3]
    assert max(len(at[-1]) for at in valves) == len("valve=") + 256


def test_a_label_that_the_collector_has_itself_is_exported_by_another_name() -> None:
    @dataclass(frozen=True, slots=True)
    class NamedStats(Stats):
        rooms: Mapping[str, int] = gauge("Rooms", label="name")
        sizes: Mapping[str, int] = field(
            default_factory=lambda: {"s": 4}, metadata={"kind": "gauge", "doc": "d", "label": "a-b"}
        )

    class House(Pump):
        def stats(self) -> NamedStats:  # type: ignore[override]
            return NamedStats({"attic": 2})

    collector, house = MetricsCollector(), House("h")
    collector.watch(house)
    found = read(collector)
    assert found["mobius_house_rooms", "exported_name=attic", "name=h"] == 2
    assert found["mobius_house_sizes", "a_b=s", "name=h"] == 4


def test_scrapes_and_rebuilds_in_threads_lose_nothing() -> None:
    """prometheus-client's own HTTP server scrapes in threads."""
    collector, errors, seen = MetricsCollector(), list[Exception](), list[float]()
    done = threading.Event()

    def scrape() -> None:
        try:
            while not done.is_set():
                collector.collect()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=scrape) for _ in range(3)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        pump = Pump()
        collector.watch(pump)
        for _ in range(60):
            pump.pumped = 1
            seen.append(read(collector).get(PUMPED, -1))
            old, pump = pump, Pump()
            collector.watch(pump)
            del old
    finally:
        done.set()
        sys.setswitchinterval(before)
        for each in threads:
            each.join()
    assert errors == []
    assert seen == list(range(1, 61))


def test_python_without_its_global_lock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(ConfigurationError, match="free-threaded"):
        MetricsCollector()


def test_its_own_numbers() -> None:
    collector = MetricsCollector("bot")
    component: Component = collector
    assert component.name == "bot"
    orders = collector.counter("orders", "Orders", labels=["kind"], max_series=2)
    orders.labels("a").inc()
    orders.labels("b").inc()
    collector.histogram("h", "H").observe(float("nan"))
    stats = collector.stats()
    assert (stats.declared, stats.label_sets, stats.overflowed, stats.refused) == (2, 3, 1, 1)
    collector.watch(collector)
    found = read(collector)
    at = "mobius_metrics_collector_declared", "name=bot", "service=bot"
    assert found[at] == 2


def test_repr() -> None:
    collector = MetricsCollector("bot")
    collector.gauge("g", "G")
    assert repr(collector) == "MetricsCollector('bot', components=0, metrics=1)"
