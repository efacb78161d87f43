"""The files of a trail: named by the place of their first entry, compressed when closed."""

import gzip
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from mobius_infra.security._audit_errors import FileDroppedError, TrailError
from mobius_infra.security._audit_lock import alone, locked, undisturbed

CURRENT: Final = "current"
"""The file that is locked by who writes, and names the newest segment."""
MAX_LINE: Final = 1 << 20
"""Bytes of the longest line that is read as one; a longer one is none of ours."""

PLAIN, PACKED = ".jsonl", ".jsonl.gz"
_DIGITS = 16


class Segment(NamedTuple):
    """One file.

    Attributes:
        first: the place of its first entry.
        path: where it is.
        size: bytes that are to be read; None for all.
    """

    first: int
    path: Path
    size: int | None = None

    @property
    def packed(self) -> bool:
        """Whether it is compressed."""
        return self.path.name.endswith(PACKED)


def name_of(first: int) -> str:
    """Return the name of a file by the place of its first entry."""
    return f"{first:0{_DIGITS}}{PLAIN}"


def segments(directory: Path) -> list[Segment]:
    """Return the files of a trail in order. Where one is there twice, the plain one: it is whole.

    Raises:
        OSError: if the directory can't be read.
    """
    found: dict[int, Path] = {}
    for path in directory.iterdir():
        digits, dot, rest = path.name.partition(".")
        is_one = len(digits) == _DIGITS and digits.isascii() and digits.isdigit()
        if is_one and dot + rest in (PLAIN, PACKED):
            first = int(digits)
            if first not in found or dot + rest == PLAIN:
                found[first] = path
    return [Segment(first, found[first]) for first in sorted(found)]


def settled(directory: Path) -> list[Segment]:
    """Return the files of a trail as they are between two groups, so that no line is half there.

    Raises:
        TrailError: if there is none.
    """
    try:
        with undisturbed(directory / CURRENT):
            there = segments(directory)
            if there and not there[-1].packed:
                there[-1] = there[-1]._replace(size=there[-1].path.stat().st_size)
    except OSError as error:
        raise TrailError(str(directory), f"can't be read: {error.strerror}") from error
    if not there:
        raise TrailError(str(directory), "there is none")
    return there


def open_segment(segment: Segment) -> BinaryIO:
    """Open it for reading, also if it is compressed just now.

    Raises:
        OSError: if it can't be read.
    """
    if not segment.packed:
        with suppress(FileNotFoundError):
            return segment.path.open("rb")
    packed = segment.path.with_name(segment.path.name.partition(".")[0] + PACKED)
    return gzip.open(packed, "rb")  # type: ignore[return-value]  # reads bytes as a file does


def lines_of(segment: Segment) -> Iterator[bytes]:
    """Read its lines, each with its end; the last may have none.

    Raises:
        FileDroppedError: if it is gone, and so are all before it, as retention does that.
        TrailError: if it can't be read, such as a damaged compressed one.
    """
    try:
        with open_segment(segment) as file:
            left = MAX_LINE if segment.size is None else segment.size
            while line := file.readline(min(left, MAX_LINE)):
                yield line
                left -= len(line) if segment.size is not None else 0
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, FileNotFoundError) and _is_dropped(segment):
            raise FileDroppedError(str(segment.path)) from error
        raise TrailError(str(segment.path), f"can't be read: {error}") from error


def _is_dropped(segment: Segment) -> bool:
    # Without the lock: who writes reads too, and has it.
    there = segments(segment.path.parent)
    return bool(there) and there[0].first > segment.first


def pack_closed(directory: Path) -> None:
    """Compress all files but the newest, unless another process or thread is at it.

    Raises:
        OSError: if one could not be written; it stays plain.
    """
    with alone(directory / "packing") as is_alone:
        if is_alone:
            for left in directory.glob(f"*{PACKED}.partial"):
                left.unlink()  # by one that was killed
            for each in segments(directory)[:-1]:
                if not each.packed:
                    pack(each)


def pack(segment: Segment) -> None:
    """Compress a closed file. Whenever this is killed, one whole file is there.

    Raises:
        OSError: if it can't be written; the plain one stays.
    """
    target = segment.path.with_name(segment.path.name.partition(".")[0] + PACKED)
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.touch(0o600)
        with segment.path.open("rb") as plain, partial.open("wb") as raw:
            # No name and no time in it: the same entries give the same file.
            with gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed:
                shutil.copyfileobj(plain, packed, 1 << 18)
            raw.flush()
            os.fsync(raw.fileno())
        # Locked by a handle of its own: who writes must not drop the file between look and rename,
        # which would bring it back.
        with (target.parent / CURRENT).open("rb") as current, locked(current.fileno()):
            if segment.path.exists():
                partial.rename(target)
                force_directory(target.parent)
                segment.path.unlink()
    except FileNotFoundError:
        pass  # it was dropped meanwhile
    finally:
        partial.unlink(missing_ok=True)


def force_directory(directory: Path) -> None:
    """Force to the disk which files there are.

    Raises:
        OSError: if it can't be.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def force(file: int) -> None:
    """Force to the disk what was written.

    Raises:
        OSError: if it can't be; then nobody knows what is there.
    """
    if sys.platform == "darwin":
        os.fsync(file)
    else:
        os.fdatasync(file)


def write_all(file: int, data: bytes) -> None:
    """Write all of it.

    Raises:
        OSError: if a part could not be written; some of it may be there.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
