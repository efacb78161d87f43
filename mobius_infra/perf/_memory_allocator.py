"""What glibc's allocator keeps, and how to make it give that back. Elsewhere: nothing."""

import ctypes
from collections.abc import Callable

_FIELDS = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
    "keepcost",
)  # fmt: skip


class _Info(ctypes.Structure):
    """`struct mallinfo2`, mallinfo(3)."""

    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]


class Allocator:
    """The C library's allocator, as far as it can be asked.

    Small Python objects don't come from it but from Python's own arenas, which are not counted
    here: what is free in them can't be asked for.
    """

    __slots__ = ("_info", "_trim")

    def __init__(self) -> None:
        # Any: what ctypes calls a function.
        self._info = self._trim = None
        try:
            library = ctypes.CDLL(None)
        except (OSError, TypeError):  # not on Windows
            return
        self._info = getattr(library, "mallinfo2", None)  # glibc 2.33
        self._trim = getattr(library, "malloc_trim", None)
        if self._info is not None:
            self._info.argtypes, self._info.restype = [], _Info
        if self._trim is not None:
            self._trim.argtypes, self._trim.restype = [ctypes.c_size_t], ctypes.c_int

    def slack(self) -> int | None:
        """Return the bytes that are free, but not given back to the system; None: not known."""
        return None if self._info is None else int(self._info().fordblks)

    @property
    def trim(self) -> Callable[[], bool] | None:
        """Gives free memory back, and says whether there was any; None: it can't.

        It walks through the whole heap, without the interpreter's lock: call it in a thread.
        """
        trim = self._trim
        return None if trim is None else lambda: bool(trim(0))

    def __repr__(self) -> str:
        return f"Allocator(slack={self.slack()}, trims={self._trim is not None})"
