"""Several processes answer one scrape, however each of them ends."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mobius_infra.metrics import Workers
from mobius_infra.metrics._family import Buckets, Quantiles
from tests.metrics.looking import look, worker

ROOT = Path(__file__).parents[2]
AGE = "mobius_workers_age_seconds"


class Worker:
    """A process of `tests/metrics/worker.py`."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, "-m", "tests.metrics.worker", str(directory)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def slot(self) -> int:
        """Its slot; to be read once, first."""
        return int(self.read())

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def tell(self, command: str) -> str:
        self.send(command)
        return self.read()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


Start = Callable[[], Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin() -> Worker:
            worker = Worker(tmp_path)
            stack.callback(worker.close)
            return worker

        yield begin


async def test_workers_answer_as_one_and_what_one_counted_outlives_it(
    tmp_path: Path, start: Start
) -> None:
    one, other = start(), start()
    assert {one.slot, other.slot} == {0, 1}
    for each, number in ((one, 3), (other, 4)):
        assert each.tell(f"add {number}") == each.tell("write") == "done"
    seen = await look(tmp_path)
    assert seen["orders"] == {(): 7}
    assert sorted(seen["waiting"].values()) == [3, 4]  # type: ignore[type-var]
    assert seen["waiting"].keys() == {worker(0), worker(1)} == seen[AGE].keys()
    assert seen["build"] == {(("version", "1"),): 1}

    one.tell("add 100")
    one.kill()
    seen = await look(tmp_path)
    # What was added after the last snapshot is lost: that is the bound.
    assert seen["orders"] == {(): 7}
    assert list(seen["waiting"].values()) == [4]
    assert len(seen[AGE]) == 1
    assert seen["took_seconds"] == {(): Buckets((1.0, 2.0, math.inf), (7, 0, 0), 7.0)}
    size = seen["size_bytes"][()]
    assert isinstance(size, Quantiles)
    assert (size.count, size.total) == (7, 7.0)
    assert dict(size.values)[0.5] == pytest.approx(1, rel=0.01)

    assert other.tell("end") == ""
    seen = await look(tmp_path)
    assert seen["orders"] == {(): 7}
    assert seen["waiting"] == seen[AGE] == seen["build"] == {}


async def test_an_orderly_end_loses_nothing(tmp_path: Path, start: Start) -> None:
    workers = [start() for _ in range(2)]
    for each in workers:
        each.read()
        each.send("add 1000")
        each.send("add 1")
        each.send("end")
    for each in workers:
        assert each.process.wait(60) == 0
    assert (await look(tmp_path))["orders"] == {(): 2002}


async def test_a_worker_killed_in_mid_write_leaves_the_file_before(
    tmp_path: Path, start: Start
) -> None:
    one = start()
    one.read()
    one.tell("add 5")
    one.tell("write")
    one.tell("add 5")
    assert one.tell("die") == ""
    assert one.process.wait(60) == -signal.SIGKILL
    assert (tmp_path / "0.new").stat().st_size > 0
    assert (await look(tmp_path))["orders"] == {(): 5}

    successor = start()
    assert successor.slot == 0
    successor.tell("add 1")
    successor.tell("write")
    seen = await look(tmp_path)
    assert (seen["orders"], seen["waiting"]) == ({(): 6}, {worker(0): 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.json", "0.lock", "lock"]


async def test_killed_at_any_moment_nothing_that_was_written_is_lost(
    tmp_path: Path, start: Start
) -> None:
    reader, written, last = Workers(tmp_path), 0, 0
    for round_ in range(3):
        one = start()
        assert one.slot == 0
        one.send("always")
        for _ in range(20 + 7 * round_):
            said = int(one.read())
            [found] = [each for each in await reader.collect() if each.name == "orders"]
            now = found.series[0].value
            assert isinstance(now, int)
            assert now >= max(last, written + said)
            last = now
        one.kill()
        assert one.process.stdout is not None
        rest = one.process.stdout.read().split()
        written += int(rest[-1]) if rest else said
        # It may have been killed after it had written, before it could say so.
        seen = (await look(tmp_path))["orders"][()]
        assert seen in (written, written + 1)
        last = written = int(seen)
    assert reader.stats().failures == {"write": 0, "read": 0, "render": 0}
    assert len(list(tmp_path.glob("*.json"))) == 1


async def test_a_fork_that_outlives_its_worker_does_not_keep_it_alive(
    tmp_path: Path, start: Start
) -> None:
    one = start()
    one.read()
    one.tell("add 5")
    one.tell("write")
    child = int(one.tell("fork"))
    try:
        one.kill()
        assert (await look(tmp_path))["waiting"] == {}
        assert start().slot == 0
    finally:
        os.kill(child, signal.SIGKILL)
