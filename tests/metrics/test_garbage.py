"""Collections are counted as Python counts them, by callbacks that can't hang or break anything."""

import gc
import sys
import threading
from collections.abc import Iterator

import pytest

from mobius_infra.core import ConfigurationError, Durations
from mobius_infra.metrics import GarbageCollector
from mobius_infra.testing import ManualClock


@pytest.fixture
def by_hand() -> Iterator[None]:
    """Let nothing be collected but what the test asks for."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("by_hand")
def test_collections_are_counted_as_python_counts_them() -> None:
    with GarbageCollector() as collector:
        before = gc.get_stats()
        gc.collect(0)
        for _ in range(50):
            Ring()
        gc.collect(2)
        gc.collect(2)
        after = gc.get_stats()
    gc.collect()
    stats = collector.stats()
    for number in range(3):
        for field, counts in (("collections", stats.collections), ("collected", stats.collected)):
            assert counts[str(number)] == after[number][field] - before[number][field]
    assert stats.collections["2"] == 2
    assert stats.collected["2"] >= 50
    assert stats.pauses["+Inf"] == 3
    assert repr(collector) == "GarbageCollector('gc', collections=3)"


def test_a_pause_is_from_the_beginning_to_the_end(manual_clock: ManualClock) -> None:
    collector = GarbageCollector(clock=manual_clock)
    told = {"generation": 1, "collected": 3, "uncollectable": 1}
    collector._called("stop", told)  # it was under way before
    for pause in (0.004, 0.03):
        collector._called("start", told)
        manual_clock.tick(pause)
        collector._called("stop", told)
    stats = collector.stats()
    assert stats.pause_seconds == {"0": 0, "1": pytest.approx(0.034), "2": 0}
    assert (stats.collections["1"], stats.collected["1"], stats.uncollectable["1"]) == (2, 6, 2)
    assert (stats.pauses["0.0025"], stats.pauses["0.005"], stats.pauses["+Inf"]) == (0, 1, 2)
    assert stats.longest_pause_seconds == pytest.approx(0.03)


def test_it_is_called_only_while_it_is_entered() -> None:
    before = list(gc.callbacks)
    collector = GarbageCollector()
    for _ in range(2):
        with collector:
            assert len(gc.callbacks) == len(before) + 1
            with pytest.raises(ConfigurationError, match="entered once at a time"):
                collector.__enter__()
        assert gc.callbacks == before
    with pytest.raises(ZeroDivisionError), collector:
        _ = 1 // 0
    assert gc.callbacks == before
    with collector:
        gc.callbacks[:] = before  # somebody else does it
    assert gc.callbacks == before
    with pytest.raises(ConfigurationError, match="name"):
        GarbageCollector("")


def test_collections_between_any_two_steps_break_nobody_who_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A collection at every allocation, in several threads that read and that add."""
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    errors: list[BaseException] = []
    durations = Durations()

    def work() -> None:
        try:
            for _ in range(300):
                durations.add(0.01)
                counts = list(collector.stats().pauses.values())
                assert counts == sorted(counts)
                [[] for _ in range(10)]
        except BaseException as error:
            errors.append(error)

    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    try:
        with GarbageCollector() as collector:
            gc.set_threshold(1)
            sys.setswitchinterval(1e-6)
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
    finally:
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []
    assert unraisable == []
    stats = collector.stats()
    assert stats.pauses["+Inf"] == sum(stats.collections.values()) > 100
