"""A file of lines that never grows past a bound, and in which every line that counts is whole."""

import os
from contextlib import suppress
from pathlib import Path


class RotatingFile:
    """Appends lines; when the file is full it becomes `name.1`, that one `name.2`, and so on.

    It is opened for each line, so whoever moves or deletes it meanwhile does no harm. One process
    writes a file. It blocks.

    Args:
        path: of the file; its directory is made if need be.
        max_bytes: of one file.
        backups: files beside it; with them it takes at most `max_bytes * (backups + 1)`.
        fsync: whether a line is forced to the disk before `append` returns.
    """

    __slots__ = ("_backups", "_fsync", "_max_bytes", "path", "rotations")

    def __init__(self, path: Path, max_bytes: int, backups: int, *, fsync: bool) -> None:
        self.path = path
        self.rotations = 0
        self._max_bytes = max_bytes
        self._backups = backups
        self._fsync = fsync

    def append(self, line: bytes) -> None:
        """Write `line`, which ends in a new line and is no longer than the file may be.

        Raises:
            OSError: if it can't be written whole; then nothing of it stays, if that can be helped.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._size() + len(line) > self._max_bytes:
            self._rotate()
        # Read as well, in order to see how it ends.
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._write(file, line)
        finally:
            os.close(file)
        if self._fsync:
            self._force(self.path.parent)

    def _size(self) -> int:
        # Only a file is moved out of the way, never a directory that somebody gave by mistake; and
        # one more for a line that was torn, and must be ended.
        return self.path.stat().st_size + 1 if self.path.is_file() else 0

    def _write(self, file: int, line: bytes) -> None:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line  # whoever wrote last was killed in mid-line
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
            if self._fsync:
                os.fsync(file)
        except OSError:
            # A full disk took a part. If that can't be undone, the next line begins a fresh one.
            with suppress(OSError):
                os.ftruncate(file, size)
            raise

    def _rotate(self) -> None:
        names = [self.path, *(self._backup(number + 1) for number in range(self._backups))]
        # Only as far as there are files: a killed rotation left a gap, and room is made by that.
        there = next((at for at, name in enumerate(names) if not name.exists()), len(names))
        if there == len(names):
            names[-1].unlink()
            there -= 1
        for at in range(there, 0, -1):
            names[at - 1].rename(names[at])
        self.rotations += 1

    def _backup(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    @staticmethod
    def _force(directory: Path) -> None:
        """Force to the disk which files there are."""
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
