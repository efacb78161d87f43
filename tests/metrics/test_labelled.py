"""Labels, and what happens when there are too many of them."""

import logging
from collections import Counter as Tally

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Event
from mobius_infra.metrics import CardinalityExceeded, HeavyHitters, MetricsCollector
from mobius_infra.testing import ManualClock
from tests.metrics.reading import OPEN_METRICS, read


@pytest.fixture
def metrics(manual_clock: ManualClock) -> MetricsCollector:
    return MetricsCollector("bot", clock=manual_clock)


def test_values_come_in_order_or_by_name_and_become_text(metrics: MetricsCollector) -> None:
    orders = metrics.counter("orders", "doc", labels=["kind", "size"])
    same = orders.labels("book", 1)
    assert orders.labels("book", "1") is same
    assert orders.labels("book", size=1) is same
    assert orders.labels(size=1, kind="book") is same
    assert orders.labels("book", [1]) is orders.labels("book", "[1]")  # a value without a hash
    assert orders.labels("book", True) is orders.labels("book", "True")
    assert len(orders) == 3


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), {}), (("a",), {}), (("a", "b", "c"), {}), ((), {"kind": "a"}),
        ((), {"kind": "a", "size": 1, "x": 2}), (("a",), {"kind": "b"}), (("a", "b"), {"size": 1}),
    ],
)  # fmt: skip
def test_other_labels_than_were_declared_are_refused(
    metrics: MetricsCollector, values: tuple[str, ...], named: dict[str, object]
) -> None:
    orders = metrics.counter("orders", "doc", labels=["kind", "size"])
    for ask in (orders.labels, orders.remove):
        with pytest.raises(ConfigurationError, match=r"the labels of orders.*these: kind, size"):
            ask(*values, **named)
    assert len(orders) == 0


def test_past_the_bound_the_other_series_takes_over(
    metrics: MetricsCollector, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    metrics.events.subscribe(events.append)
    orders = metrics.counter("orders", "doc", labels=["kind", "user"], max_series=5)
    for user in range(1_000):
        orders.labels("book", user).inc()
        orders.labels("book", 0).inc()  # a known one keeps working
    found = read(metrics, OPEN_METRICS)
    values = {at: v for at, v in found.items() if at[0] == "orders_total"}
    assert len(values) == 5
    assert values["orders_total", "kind=book", "service=bot", "user=0"] == 1_001
    assert values["orders_total", "kind=other", "service=bot", "user=other"] == 996
    assert sum(values.values()) == 2_000  # no total is lost
    assert events == [
        CardinalityExceeded(
            source="bot", at=metrics._clock.time(), metric="orders", max_series=5,
            labels=(("kind", "book"), ("user", "4")),
        )
    ]  # fmt: skip
    assert caplog.text.count("metric orders has its 5 series") == 1
    assert found["mobius_series_overflows_total", "metric=orders", "service=bot"] == 996


def test_a_value_that_is_called_other_shares_the_series(metrics: MetricsCollector) -> None:
    orders = metrics.counter("orders", "doc", labels=["kind"], max_series=2)
    own = orders.labels("other")
    assert orders.labels("b") is own
    found = [at for at in read(metrics, OPEN_METRICS) if at[0] == "orders_total"]
    assert len(found) == 1


def test_a_histograms_budget_is_buckets_times_children(metrics: MetricsCollector) -> None:
    seconds = metrics.histogram(
        "seconds", "doc", labels=["user"], buckets=[1, 2, 3], max_series=6 * 10
    )
    for user in range(100):
        seconds.labels(user).observe(1)
    series = [at for at in read(metrics) if at[0].startswith("seconds_")]
    assert len(series) == 60
    assert seconds.cardinality().series == 60


def test_the_report_names_the_label_and_the_values_that_caused_it(
    metrics: MetricsCollector,
) -> None:
    metrics.gauge("calm", "doc")
    orders = metrics.counter("orders", "doc", labels=["kind", "user"], max_series=20)
    for number in range(2_000):
        orders.labels("book", "robot" if number % 4 == 0 and number > 100 else number).inc()
    worst = metrics.cardinality()[0]
    assert (worst.metric, worst.series, worst.limit) == ("orders", 20, 20)
    assert worst.values == {"kind": 2, "user": 20}  # it is the user
    top = worst.heaviest[0]
    assert top.item == ("book", "robot")
    assert top.count - top.error <= 475 <= top.count
    assert worst.overflowed == 1_981


def test_overflowing_by_an_event_listener_that_counts_does_not_recurse(
    metrics: MetricsCollector,
) -> None:
    """Told once, before anything of the listener's could overflow it again."""
    orders = metrics.counter("orders", "doc", labels=["kind"], max_series=2)
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        orders.labels("from the listener").inc()

    metrics.events.subscribe(listen)
    for kind in "abc":
        orders.labels(kind).inc()
    assert len(heard) == 1
    assert sum(each.value for each in orders.series()) == 4


def test_events_of_components_are_bounded_too(
    manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = MetricsCollector(max_series=10, clock=manual_clock)
    caplog.set_level(logging.CRITICAL)
    for number in range(100):
        metrics._count(Event(source=f"s{number}", at=0.0))
    found = {at: v for at, v in read(metrics).items() if at[0] == "mobius_events_total"}
    assert len(found) == 10
    assert sum(found.values()) == 100


def test_a_series_can_be_forgotten(metrics: MetricsCollector) -> None:
    rooms = metrics.histogram("rooms", "doc", labels=["at"], max_series=10_000)
    rooms.labels("a").observe(float("nan"))
    rooms.remove("a")
    rooms.remove(at="never there")
    assert len(rooms) == 0
    assert metrics.stats().refused == 1  # that does not run backwards


def test_a_metric_without_series_is_there(metrics: MetricsCollector) -> None:
    metrics.counter("orders", "doc", labels=["kind"])
    assert "# TYPE orders counter" in metrics.render(OPEN_METRICS)[1].decode()
    (family,) = [each for each in metrics.collect() if each.name == "orders"]
    assert family.series == ()


class TestHeavyHitters:
    @given(st.lists(st.integers(0, 20), max_size=300), st.integers(1, 8))
    def test_whatever_came_more_often_than_its_share_is_there(
        self, items: list[int], capacity: int
    ) -> None:
        hitters = HeavyHitters[int](capacity)
        for item in items:
            hitters.add(item)
        true, top = Tally(items), hitters.top()
        assert len(top) <= capacity
        found = {heavy.item for heavy in top}
        assert {item for item, n in true.items() if n > len(items) / capacity} <= found
        for heavy in top:
            assert heavy.count - heavy.error <= true[heavy.item] <= heavy.count
        assert sum(heavy.count for heavy in top) == len(items)
        assert [heavy.count for heavy in top] == sorted((h.count for h in top), reverse=True)

    @pytest.mark.parametrize("capacity", [0, -1, 1.5, True])
    def test_it_has_room(self, capacity: int) -> None:
        with pytest.raises(ConfigurationError, match="capacity"):
            HeavyHitters[str](capacity)

    def test_repr(self) -> None:
        hitters = HeavyHitters[str](2)
        hitters.add("a")
        assert repr(hitters) == "HeavyHitters(capacity=2, held=1)"
