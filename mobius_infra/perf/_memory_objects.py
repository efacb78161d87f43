"""Objects that are dear to make, used again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from mobius_infra.core import Events, Stats, counter, gauge
from mobius_infra.perf._checks import require_count, require_name

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ObjectPoolStats(Stats):
    """The numbers of a pool of objects."""

    made: int = counter("Objects made")
    reused: int = counter("Times that one was used again")
    dropped: int = counter("Objects given back when there were enough")
    idle: int = gauge("Objects that wait to be used")


class ObjectPool(Generic[T]):
    """Keeps up to `size` objects that nobody uses.

        buffers = ObjectPool("buffers", lambda: bytearray(1 << 20), size=16)
        with buffers.lend() as buffer:
            ...

    It pays for what takes the system's help to make, such as large buffers (a megabyte: some 10
    times), compressors and parsers. It does not for small objects: Python keeps these itself, and
    a pool of them is slower. It is never waited for: where there is none idle one is made.

    An object whose block raised is not used again: who knows what state it is in.

    Args:
        name: for its numbers.
        make: makes an object.
        reset: called with an object that is given back, before it is used again.
        size: idle objects kept at most.

    Raises:
        ConfigurationError: if `size` is not positive.
    """

    __slots__ = (
        "_dropped", "_idle", "_made", "_make", "_reset", "_reused", "events", "name", "size",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        make: Callable[[], T],
        *,
        reset: Callable[[T], object] | None = None,
        size: int = 16,
    ) -> None:
        require_name(name)
        require_count("size", size)
        self.name = name
        self.size = size
        self.events = Events()
        self._make = make
        self._reset = reset
        self._idle: list[T] = []
        self._made = self._reused = self._dropped = 0

    @contextmanager
    def lend(self) -> Iterator[T]:
        """Give an object for the length of a block. Threads may call it too."""
        try:
            item = self._idle.pop()  # last in, first out: the warmest
            self._reused += 1
        except IndexError:
            item = self._make()
            self._made += 1
        yield item
        if len(self._idle) >= self.size:
            self._dropped += 1
            return
        if self._reset is not None:
            self._reset(item)
        self._idle.append(item)

    def clear(self) -> None:
        """Forget all idle objects: `memory.relieve("high", buffers.clear)`."""
        self._idle.clear()

    def stats(self) -> ObjectPoolStats:
        """Return the numbers as they are now."""
        return ObjectPoolStats(
            made=self._made, reused=self._reused, dropped=self._dropped, idle=len(self._idle)
        )

    def __repr__(self) -> str:
        return f"ObjectPool({self.name!r}, idle={len(self._idle)} of {self.size})"
