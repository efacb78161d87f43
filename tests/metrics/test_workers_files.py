"""The files of workers hold what they should, and nothing else, whatever fails."""

import asyncio
import errno
import fcntl
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics import MetricsCollector, Workers, WorkersStats, _slots
from mobius_infra.metrics._family import Family
from mobius_infra.metrics._slots import Slot
from mobius_infra.testing import ManualClock
from tests.metrics.families import counter, gauge
from tests.metrics.looking import look, worker
from tests.metrics.worker import Numbers

AGE = "mobius_workers_age_seconds"


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_fork_made_while_a_lock_was_held_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor that a fork inherits is one that was duplicated."""
    opened, forked = _slots._open, list[int]()

    def open_and_fork(path: Path) -> int:
        found = opened(path)
        forked.append(os.dup(found))
        return found

    async with Workers(tmp_path, Numbers()):
        pass
    monkeypatch.setattr(_slots, "_open", open_and_fork)
    try:
        for _ in range(2):
            async with asyncio.timeout(10), Workers(tmp_path, Numbers()) as workers:
                assert repr(workers).endswith("slot=0)")
                await look(tmp_path)
    finally:
        for each in forked:
            os.close(each)


async def test_no_slot_changes_hands_while_somebody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the file of one would be taken for another's."""
    held, inherit, alone = _slots._is_held, Slot._inherit, list[str]()

    def note(what: str) -> None:
        with (tmp_path / "lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone.append(what)

    def noted_held(directory: Path, number: int) -> bool:
        note("look")
        return held(directory, number)

    def noted_inherit(self: Slot) -> None:
        note("take")
        inherit(self)

    monkeypatch.setattr(_slots, "_is_held", noted_held)
    monkeypatch.setattr(Slot, "_inherit", noted_inherit)
    async with Workers(tmp_path, Numbers()):
        await look(tmp_path)
    assert alone == ["take", "look"]


async def test_who_lives_is_not_asked_by_process_id(tmp_path: Path) -> None:
    """All of these have the id of this process, which lives."""
    one, other = Workers(tmp_path, Numbers()), Workers(tmp_path, Numbers())
    async with one:
        async with other:
            assert (await look(tmp_path))["waiting"].keys() == set()
            await one.write()
            await other.write()
            assert (await look(tmp_path))["waiting"].keys() == {worker(0), worker(1)}
        assert (await look(tmp_path))["waiting"].keys() == {worker(0)}
        assert (repr(one), repr(other)) == (
            f"Workers({str(tmp_path)!r}, slot=0)",
            f"Workers({str(tmp_path)!r}, slot=None)",
        )


async def test_many_generations_make_no_more_files_than_workers_at_once(tmp_path: Path) -> None:
    for _ in range(6):
        one, other = Numbers(), Numbers()
        async with Workers(tmp_path, one), Workers(tmp_path, other):
            one.added, other.added = 2, 1
    assert len(list(tmp_path.iterdir())) == 5  # two files, two locks, and the one of all
    assert (await look(tmp_path))["orders"] == {(): 18}


async def test_series_of_the_dead_are_bounded(tmp_path: Path) -> None:
    class Users(Numbers):
        async def collect_async(self) -> list[Family]:
            return [counter(1, (("user", str(self.added)),))]

    users = Users()
    for _ in range(12):
        async with Workers(tmp_path, users, max_series=3):
            users.added += 1
    orders = (await look(tmp_path))["orders"]
    assert len(orders) == 4
    assert sum(orders.values()) == 12  # type: ignore[arg-type]
    assert orders[(("user", "other"),)] == 9


async def test_the_gauges_of_the_dead_are_not_taken_for_their_successors(tmp_path: Path) -> None:
    async with Workers(tmp_path, Numbers()):
        pass
    async with Workers(tmp_path, Numbers()):
        assert (await look(tmp_path))["waiting"] == {}


async def test_who_is_scraped_tells_its_own_numbers_of_the_moment(tmp_path: Path) -> None:
    one, other = Numbers(), Numbers()
    one.added = 5
    async with Workers(tmp_path, one):
        pass
    async with Workers(tmp_path, one) as scraped, Workers(tmp_path, other) as second:
        other.added = 2
        await second.write()
        other.added = one.added = 50
        found = {family.name: family for family in await scraped.collect()}
        assert found["orders"] == counter(50 + 2 + 5)
        assert [series.value for series in found["waiting"].series] == [50, 2]
        assert scraped.stats().alive == 2


async def test_snapshots_are_written_at_each_interval(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    numbers = Numbers()
    async with Workers(tmp_path, numbers, interval=5, clock=manual_clock) as workers:
        for at in (1, 2):
            numbers.added = at
            await manual_clock.advance(5)
            await workers.collect()  # comes after the snapshot, in the same thread
            assert (await look(tmp_path))["orders"] == {(): at}
            await asyncio.sleep(0)
            assert workers.stats().written == at
    [family] = [each for each in await Workers(tmp_path).collect() if each.name == "orders"]
    assert family == counter(2)


async def test_the_age_of_a_snapshot_is_told(tmp_path: Path, manual_clock: ManualClock) -> None:
    def workers() -> Workers:
        return Workers(tmp_path, Numbers(), interval=3600, clock=manual_clock)

    async with workers() as scraped, workers():
        manual_clock.tick(7)
        [age] = [each for each in await scraped.collect() if each.name == AGE]
        assert [series.value for series in age.series] == [0, 7]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[: data[:-1].rindex(b"\n") + 1],
        lambda data: data.replace(b'"version":1', b'"version":2'),
        lambda data: b"\0" * len(data),
    ],
    ids=["empty", "torn", "short", "another version", "zeros"],
)
async def test_a_damaged_file_is_left_out_counted_and_healed(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    one, other = Numbers(), Numbers()
    one.added = other.added = 1
    async with Workers(tmp_path, one) as scraped, Workers(tmp_path, other) as second:
        await second.write()
        path = tmp_path / "1.json"
        path.write_bytes(damage(path.read_bytes()))
        assert counter(1) in await scraped.collect()
        assert scraped.stats().failures == {"write": 0, "read": 1, "render": 0}
        await second.write()
        assert counter(2) in await scraped.collect()


async def test_what_is_no_file_is_left_out_and_counted(tmp_path: Path) -> None:
    numbers = Numbers()
    (tmp_path / "7.json").mkdir()
    async with Workers(tmp_path, numbers) as workers:
        numbers.added = 3
        assert counter(3) in await workers.collect()
        assert workers.stats().failures["read"] == 1


async def test_a_damaged_file_does_not_hinder_the_next_worker(tmp_path: Path) -> None:
    (tmp_path / "0.json").write_bytes(b"\0")
    numbers = Numbers()
    async with Workers(tmp_path, numbers):
        numbers.added = 3
    assert (await look(tmp_path))["orders"] == {(): 3}


async def test_a_snapshot_that_fails_is_counted_and_the_next_one_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = Numbers()
    async with Workers(tmp_path, numbers) as workers:
        numbers.added = 1
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", full)
            await workers.write()
            patch.setattr(numbers, "collect_async", lambda: 1 / 0)
            await workers.write()
        assert (await look(tmp_path))["orders"] == {}
        assert workers.stats() == WorkersStats(0, {"write": 2, "read": 0, "render": 0}, 0, 0)
    assert (await look(tmp_path))["orders"] == {(): 1}


async def test_a_directory_that_cannot_be_written_fails_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        async with Workers(tmp_path / "file", Numbers()):
            pass
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            async with Workers(tmp_path, Numbers()):
                pass
    async with Workers(tmp_path, Numbers()) as workers:  # the slot was not kept
        assert repr(workers).endswith("slot=0)")


async def test_who_is_cancelled_while_it_takes_a_slot_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking, go_on = asyncio.Event(), threading.Event()
    loop, take = asyncio.get_running_loop(), Slot.take

    def slow(self: Slot, at: float) -> None:
        loop.call_soon_threadsafe(taking.set)
        go_on.wait()
        take(self, at)

    monkeypatch.setattr(Slot, "take", slow)
    entering = asyncio.create_task(Workers(tmp_path, Numbers()).__aenter__())
    await taking.wait()
    entering.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await entering
    monkeypatch.setattr(Slot, "take", take)
    async with Workers(tmp_path, Numbers()) as workers:
        assert repr(workers).endswith("slot=0)")


async def test_a_kind_that_changed_is_left_out_and_counted(tmp_path: Path) -> None:
    class Newer(Numbers):
        async def collect_async(self) -> list[Family]:
            return [gauge(9, name="orders")]

    async with Workers(tmp_path, Newer()) as scraped, Workers(tmp_path, Numbers()) as second:
        await second.write()
        found = {family.name: family for family in await scraped.collect()}
        assert found["orders"].kind == "gauge"
        assert scraped.stats().clashes == 1


async def test_a_directory_that_is_not_there_has_no_numbers(tmp_path: Path) -> None:
    assert (await look(tmp_path / "none")) == {AGE: {}}


@pytest.mark.parametrize(
    ("field", "value"),
    [("interval", 0), ("interval", math.nan), ("interval", math.inf), ("max_series", 0),
     ("max_series", True), ("max_series", 1.5)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(tmp_path: Path, field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Workers(tmp_path, Numbers(), **{field: value})  # type: ignore[arg-type]


async def test_it_is_entered_once_and_with_numbers(tmp_path: Path) -> None:
    workers = Workers(tmp_path, Numbers())
    async with workers:
        with pytest.raises(ConfigurationError, match="entered once"):
            await workers.__aenter__()
    async with workers:
        pass
    with pytest.raises(ConfigurationError, match="metrics"):
        await Workers(tmp_path).__aenter__()


async def test_a_system_without_such_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_slots.sys, "platform", "win32")  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="flock"):
        Slot(tmp_path, 1).take(0)


@pytest.mark.parametrize("accept", [None, "application/openmetrics-text; version=1.0.0"])
async def test_a_scrape_of_all_is_read_by_prometheus_own_parsers(
    tmp_path: Path, accept: str | None
) -> None:
    def of(number: int) -> MetricsCollector:
        metrics = MetricsCollector("bot")
        metrics.counter("orders", "Orders", labels=["kind"]).labels("book\n").inc(number)
        metrics.gauge("waiting", "Waiting").set(number)
        metrics.histogram("took_seconds", "Took").observe(number)
        metrics.summary("size_bytes", "Size").observe(number)
        metrics.info("build", "Runs").set(version="1")
        return metrics

    async with Workers(tmp_path, of(3)) as scraped, Workers(tmp_path, of(4)) as second:
        await second.write()
        content_type, body = await scraped.render(accept)
    parse = openmetrics if "openmetrics" in content_type else prometheus
    read = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }
    service = ("service", "bot")
    assert read["orders_total", (("kind", "book\n"), service)] == 7
    assert [read["waiting", (service, ("worker", each))] for each in "01"] == [3, 4]
    assert read["took_seconds_bucket", (("le", "5.0"), service)] == 2
    assert read["size_bytes_count", (service,)] == 2
    assert read["build_info", (service, ("version", "1"))] == 1
    assert scraped.stats().failures["render"] == 0
