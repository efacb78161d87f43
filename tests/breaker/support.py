"""What the tests of the breaker call, and how it fails."""

from typing import Any

import pytest

from mobius_infra.breaker import Backoff, CircuitBreaker, State
from mobius_infra.core import Event
from mobius_infra.testing import ManualClock


class DependencyError(Exception):
    """The dependency failed."""


def make(clock: ManualClock, **options: Any) -> CircuitBreaker:
    """A breaker that opens after two failures in a row, for exactly ten seconds."""
    given = {
        "consecutive_failures": 2, "failure_rate": None, "draw": lambda: 0.0,
        "backoff": Backoff(10.0, 40.0), **options,
    }  # fmt: skip
    return CircuitBreaker("upstream", clock=clock, **given)


def state_of(breaker: CircuitBreaker) -> State:
    """Read the state anew: the type checker would take an attribute's value for settled."""
    return breaker.state


def hear(breaker: CircuitBreaker) -> list[Event]:
    """Return the list that the breaker's events will be in."""
    heard: list[Event] = []
    breaker.events.subscribe(heard.append)
    return heard


async def call(breaker: CircuitBreaker, error: BaseException | None = None) -> str:
    """Call a decorated function that answers, or raises `error`."""

    @breaker
    async def dependency() -> str:
        if error is not None:
            raise error
        return "answer"

    return await dependency()


async def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    """Call a decorated function that fails."""
    for _ in range(times):
        with pytest.raises(DependencyError):
            await call(breaker, DependencyError())


async def trip(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """Open a breaker made by `make`, and wait until it is time for a probe."""
    await fail(breaker, 2)
    assert breaker.state is State.OPEN
    clock.tick(10)
