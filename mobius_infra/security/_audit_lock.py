"""Locks of files. Where there are none, trails can be read and not written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None


@contextmanager
def locked(file: int) -> Iterator[None]:
    """Be the only one, of all processes, that has the lock of an open file."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def undisturbed(path: Path) -> Iterator[None]:
    """Keep those that write out for a moment, where that can be: a copy has no lock."""
    try:
        file = path.open("rb")
    except OSError:
        yield
        return
    with file:
        if CAN_LOCK:
            fcntl.flock(file, fcntl.LOCK_SH)
        yield
