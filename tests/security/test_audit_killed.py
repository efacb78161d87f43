"""Whatever happens to who writes a trail: nothing acknowledged is lost, nothing half there."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.security import TrailError, _audit_segment, _audit_store, verify_trail
from mobius_infra.security._audit_chain import Codes
from mobius_infra.security._audit_checkpoint import Signer
from mobius_infra.security._audit_lock import alone
from mobius_infra.security._audit_segment import name_of, pack, segments
from mobius_infra.security._audit_store import Store

from .audit_support import KEY, RULES, body, entries, guarded, lines, opened, small_trail

SMALL = replace(RULES, max_bytes=1_500)


@pytest.mark.parametrize(("writers", "rounds"), [(1, 6), (2, 4)])
def test_killed_processes_lose_nothing_that_was_acknowledged(
    tmp_path: Path, writers: int, rounds: int
) -> None:
    program = Path(__file__).with_name("audit_killed.py")
    run = subprocess.run(
        [sys.executable, program, tmp_path, str(rounds), str(writers), "1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["acknowledged"] >= rounds * writers
    assert (found["lost"], found["problems"]) == ([], [])
    assert found["size"] == found["there"]
    assert found["files"] > 1


def test_a_torn_end_of_any_length_is_cut_off_and_told(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.append([body()] * 3, 1.0)
    file = tmp_path / name_of(0)
    whole = file.read_bytes()
    last = len(lines(tmp_path)[-1])
    for missing in range(1, last + 1):
        file.write_bytes(whole[: len(whole) - missing])
        with opened(tmp_path) as store:
            facts = store.facts
            store.append([body("after")], 2.0)
        report = verify_trail(tmp_path, [KEY])
        assert report.ok
        if missing == 1:  # nothing but the end of the line: the entry is whole
            assert (facts, report.repaired, report.size) == ([], 0, 5)
        elif missing == last:  # nothing is torn
            assert (facts, report.repaired, report.size) == ([], 0, 4)
        else:
            assert [(each.kind, each.entry, each.size) for each in facts] == [
                ("repaired", 3, last - missing)
            ]
            assert (report.repaired, report.size) == (1, 5)
            assert [each.type for each in entries(tmp_path)[-2:]] == ["repaired", "record"]


@pytest.mark.parametrize("tail", [b"\0" * 5_000, b"\xff", b"{", b"\r", b"x" * (3 << 20)])
def test_a_torn_end_is_cut_off_unless_it_is_longer_than_any_line(
    tmp_path: Path, tail: bytes
) -> None:
    small_trail(tmp_path)
    with (tmp_path / name_of(0)).open("ab") as file:
        file.write(tail)
    with opened(tmp_path) as store:
        store.append([body()], 1.0)
    assert verify_trail(tmp_path, [KEY]).ok == (len(tail) < 1 << 20)


class CrashError(BaseException):
    """The process is gone: nothing it does after that has an effect."""


class Dying:
    """The system's calls, until the process is killed at one of them."""

    changing = frozenset(
        ("write", "pwrite", "fsync", "fdatasync", "ftruncate", "link", "open", "close")
    )

    def __init__(self, after: int, draw: random.Random) -> None:
        self.left, self.draw = after, draw

    def unlinking(self) -> Callable[..., None]:
        def unlink(path: Path, missing_ok: bool = False) -> None:
            self.left -= 1
            if self.left > 0 and path.exists():
                os.unlink(path)

        return unlink

    def __getattr__(self, name: str) -> Any:
        if name not in self.changing:
            return getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0 and name == "write":
                os.write(args[0], bytes(args[1])[: self.draw.randrange(len(args[1]))])
            if self.left <= 0:
                raise CrashError
            return getattr(os, name)(*args, **options)

        return call


def test_a_crash_at_any_call_of_the_system_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(3)
    crashed, after = True, 0
    while crashed:
        after += 1
        crashed = False
        path = tmp_path / str(after)
        acknowledged: dict[int, str] = {}
        store = Store(path, Codes([KEY]), Signer(KEY), replace(SMALL, durable=True, keep=2.0))
        system = Dying(after, draw)
        monkeypatch.setattr(_audit_store, "os", system)
        monkeypatch.setattr(_audit_segment, "os", system)
        monkeypatch.setattr(Path, "unlink", system.unlinking())
        try:
            store.open(0.0)
            for number in range(8):
                written = store.append([body(f"{number}", filler="x" * 300)], number)
                acknowledged[written.first] = str(number)
        except CrashError:
            crashed = True
        finally:
            monkeypatch.undo()
        for file in (store._file, store._lock):
            if file >= 0:
                os.close(file)
        with opened(path, rules=SMALL) as again:
            again.append([body("again")], 20.0)
        assert verify_trail(path, [KEY]).ok, after
        found = {each.n: each.action for each in entries(path)}
        # Those whose file was dropped are gone by right.
        first = min(found)
        kept = {n: action for n, action in acknowledged.items() if n >= first}
        assert all(found[n] == action for n, action in kept.items()), after
    assert after > 30
    assert first > 0


@pytest.fixture
def full_disk() -> Iterator[Any]:
    """Give a function that bounds how large this process's files may grow, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size or soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_what_does_not_fit_on_the_disk_fails_and_later_records_work(
    tmp_path: Path, full_disk: Any
) -> None:
    with opened(tmp_path) as store:
        store.append([body()], 1.0)
        before = (tmp_path / name_of(0)).read_bytes()
        for room in (0, 1, 100, 400):
            full_disk(len(before) + room)
            with pytest.raises(OSError, match="too large"):
                store.append([body(), body(), body(filler="x" * 300)], 1.0)
            assert (tmp_path / name_of(0)).read_bytes() == before
        full_disk(None)
        assert store.append([body("fits")], 1.0).first == 2
    assert verify_trail(tmp_path, [KEY]).ok


@pytest.mark.parametrize("call", ["write", "fdatasync", "fsync", "open", "link"])
def test_a_failing_call_fails_its_group_and_no_other(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any, **_options: Any) -> Any:
        raise OSError(errno.EIO, "I/O error")

    rules = replace(SMALL, durable=True, max_bytes=300)
    acknowledged, failed = [], 0
    with opened(tmp_path, rules=rules) as store:
        for number in range(20):
            if number % 3 == 2:
                monkeypatch.setattr(os, call, broken)
            try:
                acknowledged.append(store.append([body(str(number))], 1.0).first)
            except OSError:
                failed += 1
            finally:
                monkeypatch.undo()
    assert failed == (6 if call in ("write", "fdatasync") else failed)
    assert len(acknowledged) + failed == 20
    assert verify_trail(tmp_path, [KEY]).ok
    found = [each.n for each in entries(tmp_path) if each.type == "record"]
    assert found == acknowledged


def test_a_tail_that_can_not_be_cut_off_at_once_is_cut_off_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(file: int, data: bytes) -> int:
        if len(data) > 50:
            return real(file, data[:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken(*_args: object) -> None:
        raise OSError(errno.EIO, "I/O error")

    real = os.write
    with opened(tmp_path) as store:
        monkeypatch.setattr(os, "write", half)
        monkeypatch.setattr(os, "ftruncate", broken)
        with pytest.raises(OSError, match="No space"):
            store.append([body(filler="x" * 40)], 1.0)
        monkeypatch.undo()
        store.append([body("after")], 1.0)
        assert [each.kind for each in store.facts] == ["repaired"]
    assert verify_trail(tmp_path, [KEY]).ok
    assert [each.type for each in entries(tmp_path)] == ["segment", "repaired", "record"]


def test_two_that_write_take_turns_over_files_that_either_begins(tmp_path: Path) -> None:
    with opened(tmp_path, rules=SMALL) as one, opened(tmp_path, rules=SMALL) as other:
        draw = random.Random(1)
        for number in range(100):
            draw.choice([one, other]).append([body(str(number))] * draw.randrange(3), 1.0)
            if number % 10 == 0:
                one.pack()
        assert not one.facts or all(each.kind == "rotated" for each in one.facts)
    assert len(segments(tmp_path)) > 3
    report = verify_trail(tmp_path, [KEY])
    assert report.ok
    actions = [each.action for each in entries(tmp_path) if each.type == "record"]
    assert actions == sorted(actions, key=int)


def test_who_locks_a_file_that_was_removed_locks_the_new_one(tmp_path: Path) -> None:
    with guarded(), opened(tmp_path) as one:
        (tmp_path / "current").unlink()
        with opened(tmp_path) as other:
            for number in range(6):
                (one if number % 2 else other).append([body(str(number))], 1.0)
            before = os.fstat(one._lock).st_ino
            assert before == os.fstat(other._lock).st_ino
    assert verify_trail(tmp_path, [KEY]).ok
    assert [each.action for each in entries(tmp_path)[1:]] == list("012345")


def test_what_is_dropped_while_it_is_compressed_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = replace(RULES, max_bytes=100, keep=10.0)
    with opened(tmp_path, rules=rules) as store:
        for at in (0.0, 1.0, 2.0):
            store.append([body()], at)
        first = segments(tmp_path)[0]

        def meanwhile(file: int) -> None:
            monkeypatch.undo()
            store.append([body()], 50.0)
            real(file)

        real = os.fsync
        monkeypatch.setattr(os, "fsync", meanwhile)
        pack(first)
    assert segments(tmp_path)[0].first > 0
    assert not list(tmp_path.glob("*.partial"))
    assert verify_trail(tmp_path, [KEY]).ok


def test_only_one_compresses_and_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    rules = replace(RULES, max_bytes=100)
    with opened(tmp_path, rules=rules) as store:
        for _ in range(3):
            store.append([body()], 1.0)
        left = tmp_path / f"{segments(tmp_path)[0].path.name}.gz.partial"
        left.write_bytes(b"half")
        with alone(tmp_path / "packing") as is_alone:
            assert is_alone
            store.pack()
            assert left.exists()
            assert not any(each.packed for each in segments(tmp_path))
        store.pack()
        assert not left.exists()
        assert [each.packed for each in segments(tmp_path)] == [True, True, False]
    assert verify_trail(tmp_path, [KEY]).ok


def test_what_was_changed_is_left_and_another_file_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for number in range(5):
            store.append([body(details={"x": number})], 1.0)
        file = tmp_path / name_of(0)
        changed = file.read_bytes().replace(b'{"x":2}', b'{"x":9}')
        file.write_bytes(changed)
        with opened(tmp_path) as other:
            assert [(each.kind, each.entry) for each in other.facts] == [
                ("damaged", 3), ("rotated", 3),
            ]  # fmt: skip
            other.append([body("other")], 1.0)
            # Who had the changed file open goes on in the new one too, and not in that.
            store.append([body("mine")], 1.0)
    assert file.read_bytes() == changed
    report = verify_trail(tmp_path, [KEY])
    assert not report.ok
    assert report.problems[0].kind == "changed"


@pytest.mark.parametrize("gone", ["cut", "file", "repairable"])
def test_what_is_cut_off_while_it_is_written_shows(tmp_path: Path, gone: str) -> None:
    with opened(tmp_path) as store:
        for _ in range(5):
            store.append([body()], 1.0)
        file = tmp_path / name_of(0)
        whole = lines(tmp_path)
        if gone == "file":
            file.unlink()
        else:
            os.truncate(file, sum(map(len, whole[:-1])) + (10 if gone == "repairable" else 0))
        assert store.append([body("after")], 1.0).first == 7
        assert store.facts[0].kind == "damaged"
    report = verify_trail(tmp_path, [KEY])
    assert not report.ok


def test_a_changed_head_of_the_newest_file_stops_the_start(tmp_path: Path) -> None:
    small_trail(tmp_path)
    file = tmp_path / name_of(0)
    whole = file.read_bytes()
    for changed in (b"x" + whole, whole.replace(b'"at":0.0', b'"at":1.0', 1), b""):
        file.write_bytes(changed)
        with pytest.raises(TrailError, match=r"0\.jsonl: (begins|has).*move it away"):
            opened(tmp_path).__enter__()


def test_a_file_is_on_the_disk_before_another_goes_on_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []

    def forced(file: int) -> None:
        done.append(os.fstat(file).st_ino)

    with opened(tmp_path, rules=replace(RULES, max_bytes=100)) as store:
        store.append([body()], 1.0)
        monkeypatch.setattr(os, "fdatasync", forced)
        monkeypatch.setattr(os, "fsync", forced)
        store.append([body()], 1.0)
    files = (tmp_path / name_of(0), tmp_path / name_of(2), tmp_path)
    assert done == [each.stat().st_ino for each in files]
