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
def alone(path: Path) -> Iterator[bool]:
    """Say whether nobody else is at it, of all processes and threads; do not wait for that."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


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
