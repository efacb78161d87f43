"""SQLite, where it is more than one connection: several processes, and sudden death."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mobius_infra.core import BackendError, BackendTimeoutError, Event, open_backend
from mobius_infra.core._backend import BackendLost, BackendRestored
from mobius_infra.core.backends._sqlite_direct import MOST, Direct
from mobius_infra.testing import ManualClock
from tests.core.sql.workers import ADD

ROOT = Path(__file__).parents[3]


def worker(what: str, url: str, number: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.core.sql.workers", what, url, str(number)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_eight_processes_count_to_eight_thousand(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db?timeout=60"
    processes = [worker("count", url, 1_000) for _ in range(8)]
    try:
        codes = [await asyncio.to_thread(process.wait, 240) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert codes == [0] * 8
    async with open_backend(url) as backend:
        assert await backend.run(ADD, "counter", 0) == (8_000,)


async def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/killed.db?timeout=60"
    acknowledged: list[int] = []
    # Killed after ever other numbers of writes, so that death comes at ever other moments.
    for lines in (1, 2, 3, 5, 8, 40, 130):
        process = worker("acknowledge", url, len(acknowledged))
        assert process.stdout is not None
        try:
            acknowledged += [int(process.stdout.readline()) for _ in range(lines)]
        finally:
            process.kill()
            rest, _ = process.communicate()
        acknowledged += [int(line) for line in rest.splitlines(keepends=True) if line[-1] == "\n"]
    async with open_backend(url) as backend:
        stored = await backend.get_many([f"n{number}" for number in acknowledged])
    assert stored == [str(number).encode() for number in acknowledged]
    with sqlite3.connect(tmp_path / "killed.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


async def test_expired_rows_are_deleted_in_small_batches(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_backend(f"sqlite:///{tmp_path}/x.db?timeout=60", clock=clock) as backend:
        await backend.set_many({f"k{n}": b"" for n in range(150)}, ttl=1)
        clock.tick(2)
        for _ in range(128):
            await backend.set("stays", b"")
    with sqlite3.connect(tmp_path / "x.db") as database:
        assert database.execute("SELECT count(*) FROM mobius_value").fetchone() == (1,)
    database.close()


async def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    async with open_backend(url) as backend:
        await backend.ping()
    with sqlite3.connect(tmp_path / "new.db") as database:
        database.execute("UPDATE mobius_schema SET version = 99")
    database.close()
    async with open_backend(url) as backend:
        with pytest.raises(BackendError, match="version 99"):
            await backend.ping()


async def test_a_lock_that_is_held_too_long_is_a_time_out_told_once(tmp_path: Path) -> None:
    path, heard = tmp_path / "locked.db", list[Event]()
    async with open_backend(f"sqlite:///{path}?timeout=0.1") as backend:
        backend.events.subscribe(heard.append)
        await backend.set("k", b"1")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(BackendTimeoutError, match="locked"):
                await backend.set("k", b"2")
        assert await backend.get("k") == b"1"  # reading goes on meanwhile
        other.execute("ROLLBACK")
        other.close()
        await backend.set("k", b"3")
    kinds = [type(event) for event in heard]
    assert kinds[0] is BackendLost
    assert kinds[-1] is BackendRestored
    assert kinds.count(BackendLost) == kinds.count(BackendRestored)


class Broken:
    """A connection of the driver that always fails."""

    async def execute_fetchall(self, sql: str, parameters: object = (), /) -> list[object]:
        raise sqlite3.OperationalError("disk I/O error")


async def test_plain_statements_whose_connection_broke_go_by_another(tmp_path: Path) -> None:
    async with open_backend(f"sqlite:///{tmp_path}/x.db") as backend:
        await backend.set("k", b"1")
        backend._store.direct = Direct(Broken(), Broken())  # type: ignore[attr-defined]
        await backend.set("k", b"2")
        assert await backend.get("k") == b"2"


@pytest.mark.parametrize("many", [1, MOST, MOST + 1, 3 * MOST])
async def test_any_number_of_values_is_written_and_read(tmp_path: Path, many: int) -> None:
    async with open_backend(f"sqlite:///{tmp_path}/x.db") as backend:
        values = {f"k{n}": b"%d" % n for n in range(many)}
        for _ in range(2):  # the second time over those of the first
            await backend.set_many(values, ttl=60)
            assert await backend.get_many([*values, "none"]) == [*values.values(), None]


async def test_a_value_replaces_the_state_of_a_script(tmp_path: Path) -> None:
    async with open_backend(f"sqlite:///{tmp_path}/x.db") as backend:
        await backend.ping()
        assert await backend.run(ADD, "k", 1) == (1,)
        await backend.set("k", b"value")
        assert await backend.get("k") == b"value"
        assert await backend.run(ADD, "k", 1) == (1,)  # from the beginning


async def test_a_write_whose_caller_is_cancelled_is_done(tmp_path: Path) -> None:
    async with open_backend(f"sqlite:///{tmp_path}/x.db") as backend:
        await backend.ping()
        task = asyncio.create_task(backend.set("k", b"1"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await backend.set("other", b"")  # behind it in the line
        assert await backend.get("k") == b"1"


async def test_scripts_and_plain_writes_share_the_lock(tmp_path: Path) -> None:
    async with open_backend(f"sqlite:///{tmp_path}/x.db") as backend:
        await backend.ping()
        scripts = [backend.run(ADD, "n", 1) for _ in range(50)]
        writes = [backend.set(f"k{n}", b"") for n in range(50)]
        await asyncio.gather(*scripts, *writes)
        assert await backend.run(ADD, "n", 0) == (50,)


async def test_the_folder_of_the_file_is_made(tmp_path: Path) -> None:
    async with open_backend(f"sqlite:///{tmp_path}/a/b/c.db") as backend:
        await backend.ping()
    assert (tmp_path / "a/b/c.db").exists()
