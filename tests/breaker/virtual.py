"""An event loop whose time jumps, to hold what asyncio itself times beside ours."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mobius_infra.core import SystemClock

T = TypeVar("T")


class LoopClock(SystemClock):
    """The running loop's time, so that no real time mixes with it."""

    __slots__ = ()

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Waits for nothing: where it would sleep, its time moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__()
        self._selector: Any
        select: Callable[[float | None], Any] = self._selector.select

        def jump(timeout: float | None = None) -> Any:
            self.now += timeout or 0.0
            return select(0 if timeout is not None else None)

        self._selector.select = jump

    def time(self) -> float:
        return self.now


def run_virtually(main: Coroutine[Any, Any, T], *, eager: bool = False) -> T:
    """Run `main` in a loop of its own, by eager tasks if asked for."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        if eager:
            # Not there in 3.11.
            runner.get_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        return runner.run(main)
