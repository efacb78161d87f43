"""Signals, heard in the loop that runs."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

from mobius_infra.core import require

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Ear:
    """A handler that can be told from those of others."""

    __slots__ = ("_hear", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, hear: Callable[[str], None]) -> None:
        self._loop = loop
        self._hear = hear

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._hear, signal.Signals(number).name)


@contextmanager
def listening(signals: Sequence[signal.Signals], hear: Callable[[str], None]) -> Iterator[None]:
    """Call `hear` in the running loop with the name of each signal that comes.

    Raises:
        ConfigurationError: outside the main thread, where Python hears none; or if another
            `Lifespan` listens already, which would be deaf from now on.
    """
    if signals:
        main = threading.current_thread() is threading.main_thread()
        require(main, "signals", signals, "() in a thread that is not the main one")
    ear = _Ear(asyncio.get_running_loop(), hear)
    with ExitStack() as before:
        for each in signals:
            # Not the loop's own handlers: they can't say what was there before.
            handler = signal.getsignal(each)
            free = not isinstance(handler, _Ear)
            require(free, "signals", signals, "() while another Lifespan listens: be a part of it")
            signal.signal(each, ear)
            if handler is not None:  # else it is not Python's, and can't be put back
                before.callback(signal.signal, each, handler)
        yield
