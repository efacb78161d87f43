"""What the tests of the breaker call, and how it fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mobius_infra.breaker import Backoff, CircuitBreaker, Outcome, Permit, Rule, State
from mobius_infra.breaker._state import Change
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


class Told:
    """A fleet of one circuit that notes what it hears, and grants or refuses as told."""

    def __init__(self) -> None:
        self.breaker: CircuitBreaker | None = None
        self.changes: list[tuple[State, Rule | None]] = []
        self.ends: list[Outcome] = []
        self.claims = 0
        self.grant = True
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None
        self.on_join: Callable[[CircuitBreaker], object] = lambda breaker: None

    def join(self, breaker: CircuitBreaker) -> "Told":
        self.breaker = breaker
        self.on_join(breaker)
        return self

    def changed(self, change: Change) -> None:
        rule = None if change.opening is None else change.opening.rule
        self.changes.append((change.after, rule))

    async def claim(self, permit: Permit) -> bool:
        self.claims += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.grant

    def settled(self, permit: Permit, outcome: Outcome) -> None:
        self.ends.append(outcome)
