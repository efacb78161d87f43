"""Lines in a file are whole, bounded, and never cost their caller anything."""

import asyncio
import errno
import json
import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Event
from mobius_infra.metrics import ExportFailed, JsonLines, JsonLinesStats, from_json, to_json
from mobius_infra.metrics._rotating import RotatingFile
from mobius_infra.testing import ManualClock
from tests.metrics.families import counter
from tests.metrics.worker import Count

ROOT = Path(__file__).parents[2]


SIZE = len(to_json([counter(1)], at=1_700_000_000.0)) + 1
"""Bytes of a line of `Count` by a manual clock, while it has one digit."""

THREE = 3 * SIZE + 1
"""Room for three lines, and to end one that was torn."""


def read(path: Path) -> list[object]:
    """The values in a file, without lines that are no JSON."""
    found: list[object] = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line)["families"][0]["series"][0]["value"])
        except ValueError:
            found.append("torn")
    return found


def lines(path: Path, clock: ManualClock, **options: int) -> JsonLines:
    return JsonLines(path, Count(), clock=clock, **options)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "metrics.jsonl"


async def test_a_line_is_written_at_each_interval_and_at_the_end(
    path: Path, manual_clock: ManualClock
) -> None:
    async with JsonLines(path, Count(), interval=60, clock=manual_clock) as out:
        for at in (1, 2):
            await manual_clock.advance(60)
            await out._beside.run(bool)  # comes after the line, in the same thread
            assert read(path) == list(range(1, at + 1))
    assert read(path) == [1, 2, 3]
    first, *_ = path.read_bytes().splitlines()
    assert from_json(first).at == manual_clock.time() - 60
    assert from_json(first).families == (counter(1),)
    assert out.stats() == JsonLinesStats(3, 0, {"too long": 0, "no room": 0}, 0, 0)
    assert repr(out) == f"JsonLines({str(path)!r}, written=3)"


async def test_files_are_bounded_in_size_and_number(path: Path, manual_clock: ManualClock) -> None:
    out = lines(path, manual_clock, max_bytes=THREE, backups=2)
    for _ in range(11):
        await out.write()
    kept = {each.name.removeprefix(path.name): read(each) for each in path.parent.iterdir()}
    assert kept == {"": [10, 11], ".1": [7, 8, 9], ".2": [4, 5, 6]}
    assert all(each.stat().st_size <= THREE for each in path.parent.iterdir())
    assert out.stats().rotations == 3


async def test_without_backups_a_full_file_is_begun_anew(
    path: Path, manual_clock: ManualClock
) -> None:
    out = lines(path, manual_clock, max_bytes=SIZE + 1, backups=0)
    for _ in range(3):
        await out.write()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert read(path) == [3]


@given(
    there=st.sets(st.integers(0, 4)),
    backups=st.integers(0, 4),
)
def test_rotation_loses_the_oldest_only_and_only_for_want_of_room(
    tmp_path_factory: pytest.TempPathFactory, there: set[int], backups: int
) -> None:
    """Whatever gaps a killed rotation left."""
    path = tmp_path_factory.mktemp("rotation") / "lines"
    names = [path, *(path.with_name(f"lines.{number}") for number in range(1, 5))]
    for each in there | {0}:
        names[each].write_bytes(b"%d\n" % each)
    RotatingFile(path, 3, backups, fsync=False).append(b"new")
    assert path.read_bytes() == b"new"
    kept = [int(name.read_bytes()) for name in names[1:] if name.exists()]
    full = set(range(backups + 1)) <= there | {0}
    gone = [backups] if full else []
    assert kept == [each for each in sorted(there | {0}) if each not in gone]


async def test_the_next_writer_begins_on_a_fresh_line(
    path: Path, manual_clock: ManualClock
) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"version":1,"at":17')
    await lines(path, manual_clock).write()
    assert read(path) == ["torn", 1]


def test_a_process_killed_in_mid_line_spoils_no_other(path: Path) -> None:
    """Again and again, at a moment of the system's choice; each goes on where one was killed."""
    program = (
        "import asyncio, sys\n"
        "from mobius_infra.metrics import JsonLines\n"
        "from tests.metrics.worker import Count\n"
        "async def main():\n"
        "    out = JsonLines(sys.argv[1], Count(), max_bytes=5_000, backups=3)\n"
        "    while True:\n"
        "        await out.write()\n"
        "        print(out.stats().written, flush=True)\n"
        "asyncio.run(main())\n"
    )
    said = 0
    for round_ in range(2):
        command = [sys.executable, "-c", program, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(40 + round_):
                said = int(process.stdout.readline())
            process.kill()
            said = int((process.stdout.read().split() or [str(said)])[-1])
        last: list[object] = [*read(path.with_name(f"{path.name}.1")), *read(path)]
        whole = [each for each in last if each != "torn"]
        assert whole[-1] in (said, said + 1)
        assert said - 20 in whole


@pytest.mark.parametrize("half", [False, True])
async def test_a_full_disk_leaves_whole_lines_and_is_made_up_for(
    path: Path, manual_clock: ManualClock, half: bool
) -> None:
    """The kernel itself takes a part of a line, then no more."""
    out = lines(path, manual_clock)
    events: list[Event] = []
    out.events.subscribe(events.append)
    await out.write()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE + SIZE // 2 * half, before[1]))
        await out.write()
        await out.write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.stat().st_size == SIZE
    assert (out.stats().failures, out.stats().waiting) == (2, 2)
    [event] = events
    assert isinstance(event, ExportFailed)
    assert "File too large" in event.reason
    await out.write()
    assert read(path) == [1, 2, 3, 4]
    assert (out.stats().written, out.stats().waiting) == (4, 0)


async def test_what_a_full_disk_took_and_kept_does_not_spoil_the_next_line(
    path: Path, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write, tried = lines(path, manual_clock), os.write, list[bytes]()

    def full(file: int, data: bytes = b"") -> int:
        tried.append(data)
        if len(tried) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, bytes(data)[:50])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(os, "ftruncate", full)
        await out.write()
    assert path.stat().st_size == 50
    await out.write()
    assert read(path) == ["torn", 1, 2]


async def test_lines_that_wait_are_bounded(path: Path, manual_clock: ManualClock) -> None:
    path.mkdir(parents=True)  # no file can be written there
    out = lines(path, manual_clock, max_bytes=THREE)
    for _ in range(5):
        await out.write()
    stats = out.stats()
    assert (stats.failures, stats.waiting) == (5, 3)
    assert stats.dropped == {"too long": 0, "no room": 2}
    path.rmdir()
    await out.write()
    assert read(path) == [4, 5, 6]


async def test_a_line_longer_than_a_file_is_dropped(path: Path, manual_clock: ManualClock) -> None:
    out = lines(path, manual_clock, max_bytes=SIZE - 1)
    await out.write()
    assert not path.exists()
    assert out.stats().dropped == {"too long": 1, "no room": 0}
    assert out.stats().failures == 0


async def test_numbers_that_cannot_be_collected_are_counted(
    path: Path, manual_clock: ManualClock
) -> None:
    numbers, events = Count(), list[Event]()
    out = JsonLines(path, numbers, clock=manual_clock)
    out.events.subscribe(events.append)
    numbers.added = "broken"  # type: ignore[assignment]
    await out.write()
    numbers.added = 0
    await out.write()
    assert read(path) == [1]
    assert (out.stats().failures, out.stats().written, len(events)) == (1, 1, 1)
    numbers.added = "broken again"  # type: ignore[assignment]
    await out.write()
    await out.write()
    assert (out.stats().failures, len(events)) == (3, 2)


async def test_who_moves_the_file_away_does_no_harm(path: Path, manual_clock: ManualClock) -> None:
    out = lines(path, manual_clock)
    await out.write()
    path.rename(path.with_name("kept"))
    await out.write()
    path.unlink()
    await out.write()
    assert (read(path.with_name("kept")), read(path)) == ([1], [3])


@pytest.mark.parametrize("fsync", [True, False])
async def test_lines_are_forced_to_the_disk_if_that_is_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, fsync: bool
) -> None:
    forced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda file: forced.append(os.readlink(f"/proc/self/fd/{file}"))
    )
    await JsonLines(path, Count(), fsync=fsync).write()
    assert forced == ([str(path), str(path.parent)] if fsync else [])


async def test_what_was_begun_by_one_who_gave_up_is_finished_before_the_last_line(
    path: Path, manual_clock: ManualClock
) -> None:
    out = lines(path, manual_clock)
    async with out:
        for _ in range(5):
            given_up = asyncio.create_task(out.write())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            given_up.cancel()
    # Who was cancelled early wrote none.
    found = [each for each in read(path) if isinstance(each, int)]
    assert found == sorted(found)
    assert found[-1] == 6
    assert not out.stats().failures


@pytest.mark.parametrize(
    ("field", "value"),
    [("interval", 0), ("interval", math.nan), ("interval", -1), ("max_bytes", 0),
     ("max_bytes", 1.5), ("max_bytes", True), ("backups", -1), ("backups", False)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(path: Path, field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        JsonLines(path, Count(), **{field: value})  # type: ignore[arg-type]


async def test_it_is_entered_once_at_a_time(path: Path) -> None:
    out = JsonLines(path, Count())
    async with out:
        with pytest.raises(ConfigurationError, match="entered once"):
            await out.__aenter__()
    async with out:
        pass
    assert out.stats().written == 2
