"""uvloop where it is installed, the standard event loop where it is not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mobius_infra.core import MissingExtraError, import_extra

R = TypeVar("R")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def loop_factory() -> LoopFactory:
    """Return what makes the fastest event loop there is: for `asyncio.Runner(loop_factory=…)`."""
    try:
        module = import_extra("mobius_infra.perf._uvloop_loop", feature="uvloop", extra="perf")
    except MissingExtraError:
        return asyncio.new_event_loop
    factory: LoopFactory = module.new_event_loop
    return factory


# Any: the send and yield types of a coroutine, which no caller sees.
def run(main: Coroutine[Any, Any, R], *, debug: bool | None = None) -> R:
    """Run a coroutine as `asyncio.run` does, with uvloop if it is installed."""
    with asyncio.Runner(debug=debug, loop_factory=loop_factory()) as runner:
        return runner.run(main)


def install_uvloop() -> bool:
    """Let every event loop made from now on be uvloop's; say whether it is installed.

    For programs whose loop is made by somebody else, as by a framework's runner; `run` is better
    where it can be used, since it changes nothing for others.
    """
    try:
        module = import_extra("mobius_infra.perf._uvloop_loop", feature="uvloop", extra="perf")
    except MissingExtraError:
        return False
    asyncio.set_event_loop_policy(module.Policy())
    return True
