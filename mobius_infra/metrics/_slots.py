"""A directory in which each worker has a file that is whole at any moment, even of its death.

A slot is a number, a lock and a file. The kernel lets go of the lock when its holder dies, however
it dies, so nobody asks for process ids, which come again. The file is replaced, never changed:
whoever is killed while writing leaves the file before. The next worker takes the lowest free slot
and carries on what of its predecessor's numbers lasts, as part of its own file. So there are never
more files than there were workers at once, and nothing is ever moved from one file to another,
where a death between two writes would count it twice or not at all.

Files are not forced to the disk: they must outlive a process, not a power cut.
"""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple
from weakref import ref

from pydantic import BaseModel

from mobius_infra.core import CodecError, require
from mobius_infra.metrics._beside import gently
from mobius_infra.metrics._family import Family, split
from mobius_infra.metrics._json import read_family, write_family
from mobius_infra.metrics._merge import Part, lasting, merge

if sys.platform != "win32":
    import fcntl

log = logging.getLogger("mobius_infra")

_FILE = re.compile(r"(\d+)\.json")


class _Head(BaseModel):
    """The first line of a file; each further one is a family, or a part of one.

    In parts, because no other thread runs while a piece of JSON is written or read.
    """

    version: Literal[1] = 1
    at: float
    families: int


class Written(NamedTuple):
    """What a worker wrote last.

    Attributes:
        slot: its number.
        alive: whether the worker lives.
        at: when it wrote, in seconds since the epoch.
        families: its own, and what lasts of those who had the slot before.
    """

    slot: int
    alive: bool
    at: float
    families: Sequence[Family]


class Slot:
    """A slot, and how it is taken and written to. Its methods block.

    Args:
        directory: of all workers of the service; made if need be.
        most: series of a family that are inherited one by one.

    Attributes:
        number: of the slot; -1 while there is none.
        inherited: what lasts of those who held it before.
    """

    __slots__ = ("__weakref__", "_directory", "_inherited", "_lock", "_most", "inherited", "number")

    def __init__(self, directory: Path, most: int) -> None:
        self._directory = directory
        self._most = most
        self._lock = -1
        self._inherited: list[bytes] = []
        self.inherited: list[Family] = []
        self.number = -1

    def take(self, at: float) -> None:
        """Take the lowest free slot, and write the first snapshot in it.

        Whatever it raises, `release` must be called.

        Raises:
            OSError: if the directory can't be written.
            ConfigurationError: where the system has no locks of the kind that is needed.
        """
        require(sys.platform != "win32", "this system", sys.platform, "one with flock(2)")
        self._directory.mkdir(parents=True, exist_ok=True)
        with _alone(self._directory):
            self.number, self._lock = _take(self._directory)
            self._inherit()
            # At once, while nobody looks: from now on the slot is a living worker's, and the gauges
            # of the dead must not be taken for its own.
            self.write((), at)
        _leave_to_parent(self)

    def _inherit(self) -> None:
        path = _path(self._directory, self.number)
        before = _parse(self.number, _read(path), alive=False) if path.exists() else None
        if before is not None:
            whole = merge([Part(None, before.families)]).families
            self.inherited = lasting(whole, self._most)
            self._inherited = _lines(self.inherited)

    def write(self, own: Iterable[Family], at: float) -> None:
        """Replace the file by these families and the inherited ones.

        Raises:
            OSError: if it can't be written; then the file before stays.
        """
        if self._lock < 0:
            return  # released, or this process is a fork of the one that holds it
        lines = [*_lines(own), *self._inherited]
        head = _Head(at=at, families=len(lines)).model_dump_json().encode()
        path = _path(self._directory, self.number)
        # One name, not a new one each time: what a killed worker leaves is overwritten.
        fresh = path.with_suffix(".new")
        fresh.write_bytes(b"\n".join([head, *lines, b""]))
        fresh.replace(path)

    def leave(self) -> None:
        """Have nothing to do with the slot any more, in a fork of the process that holds it."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def release(self) -> None:
        """Give the slot to whoever comes next; what was written stays."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            _unlock(lock)


def read_all(directory: Path, but: int | None = None) -> tuple[list[Written], int]:
    """Read what all workers wrote, `but` the one with that slot; and count unreadable files."""
    if not directory.is_dir():
        return [], 0
    # No slot changes hands meanwhile, so that nobody's file is taken for another's.
    with _alone(directory):
        found = [
            (number, _read(_path(directory, number)), _is_held(directory, number))
            for number in _numbers(directory)
            if number != but
        ]
    parsed = [_parse(number, data, alive=alive) for number, data, alive in found]
    whole = [each for each in parsed if each is not None]
    return whole, len(parsed) - len(whole)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until no other process takes slots or looks who has them; both take milliseconds."""
    lock = _open(directory / "lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        _unlock(lock)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)


def _take(directory: Path) -> tuple[int, int]:
    """Return the lowest free number, and its lock."""
    for number in count():
        lock = _open(directory / f"{number}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return number, lock
    raise AssertionError  # pragma: no cover - numbers do not end


def _is_held(directory: Path, number: int) -> bool:
    lock = _open(directory / f"{number}.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return True
    _unlock(lock)
    return False


def _unlock(lock: int) -> None:
    # Not only closed: a process that was forked meanwhile has it open, too.
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _leave_to_parent(slot: Slot) -> None:
    """Let go of the lock in forks: else the slot would seem held while any of them lives."""
    held: Callable[[], Slot | None] = ref(slot)

    def leave() -> None:
        mine = held()
        if mine is not None:
            mine.leave()

    os.register_at_fork(after_in_child=leave)


def _numbers(directory: Path) -> list[int]:
    found = (_FILE.fullmatch(name) for name in os.listdir(directory))
    return sorted(int(each[1]) for each in found if each)


def _path(directory: Path, number: int) -> Path:
    return directory / f"{number}.json"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # deleted meanwhile, or another user's: no snapshot, so it is counted as such


def _lines(families: Iterable[Family]) -> list[bytes]:
    return [write_family(each, sketches=True) for each in gently(split(families))]


def _parse(number: int, data: bytes, *, alive: bool) -> Written | None:
    """Return what a file says; None, and a line in the log, if it can't be read."""
    try:
        head, *lines = data.splitlines()
        said = _Head.model_validate_json(head)
        if said.families != len(lines):
            raise CodecError("metrics", f"{len(lines)} of {said.families} families")
        return Written(number, alive, said.at, list(map(read_family, gently(lines))))
    except (ValueError, CodecError):
        # By a power cut, a full disk of another's making, or another version.
        log.warning("the numbers of worker %d can't be read", number, exc_info=True)
        return None
