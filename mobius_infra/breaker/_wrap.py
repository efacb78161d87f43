"""A breaker around an async function: one closure for each set of rules, chosen at decoration.

A closed circuit allocates no permit and asks nobody: its generation is all that a late end needs.
In any other state a call goes by `CircuitBreaker.call_with`.
"""

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mobius_infra.breaker._machine import Machine
from mobius_infra.breaker._policy import Policy
from mobius_infra.breaker._state import Outcome, Permit, State
from mobius_infra.breaker._window import CallWindow

if TYPE_CHECKING:
    from mobius_infra.breaker._breaker import CircuitBreaker

P = ParamSpec("P")
R = TypeVar("R")

Guarded = Callable[P, Coroutine[Any, Any, R]]


def guard(
    breaker: "CircuitBreaker", machine: Machine, policy: Policy, func: Callable[P, Awaitable[R]]
) -> Guarded[P, R]:
    """Return `func` under `breaker`, by the shortest way that its rules allow."""
    rules = policy.rules
    if policy.verdicts.failed_if is not None:
        return _judged(breaker, func)
    if rules.slow_after is not None:
        return _timed(breaker, machine, policy.clock.monotonic, rules.slow_after, func)
    if isinstance(machine.window, CallWindow):
        return _counted(breaker, machine, machine.window, func)
    return _dated(breaker, machine, policy.clock.monotonic, func)


def _judged(breaker: "CircuitBreaker", func: Callable[P, Awaitable[R]]) -> Guarded[P, R]:
    """Results count too."""

    @wraps(func)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return await breaker.call(func, *args, **kwargs)

    return wrapper


def _counted(
    breaker: "CircuitBreaker",
    machine: Machine,
    window: CallWindow,
    func: Callable[P, Awaitable[R]],
) -> Guarded[P, R]:
    """No rule needs to know the time: no clock is read, and `Machine.succeed` is written out."""
    closed, alone = State.CLOSED, breaker.policy.fleet is None

    @wraps(func)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if machine.state is not closed:
            permit = breaker.admit() if alone else await breaker.acquire()
            return await breaker.call_with(permit, func, *args, **kwargs)
        generation = machine.generation
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            breaker.settle_error(Permit(generation, 0.0), error)
            raise
        machine.successes += 1
        if machine.generation == generation:
            machine.failures_in_a_row = 0
            window.unseen += 1
        return result

    return wrapper


def _dated(
    breaker: "CircuitBreaker",
    machine: Machine,
    monotonic: Callable[[], float],
    func: Callable[P, Awaitable[R]],
) -> Guarded[P, R]:
    """A window of seconds: the clock is read when a call ends."""
    closed, alone = State.CLOSED, breaker.policy.fleet is None

    @wraps(func)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if machine.state is not closed:
            permit = breaker.admit() if alone else await breaker.acquire()
            return await breaker.call_with(permit, func, *args, **kwargs)
        generation = machine.generation
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            breaker.settle_error(Permit(generation, 0.0), error)
            raise
        machine.successes += 1
        if machine.generation == generation:
            machine.succeed(monotonic())
        return result

    return wrapper


def _timed(
    breaker: "CircuitBreaker",
    machine: Machine,
    monotonic: Callable[[], float],
    slow_after: float,
    func: Callable[P, Awaitable[R]],
) -> Guarded[P, R]:
    """A slow rule: the clock is read before and after."""
    closed, alone = State.CLOSED, breaker.policy.fleet is None

    @wraps(func)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if machine.state is not closed:
            permit = breaker.admit() if alone else await breaker.acquire()
            return await breaker.call_with(permit, func, *args, **kwargs)
        generation, started = machine.generation, monotonic()
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            breaker.settle_error(Permit(generation, started), error)
            raise
        now = monotonic()
        if now - started > slow_after:
            breaker.settle(Permit(generation, started), Outcome.SUCCESS)
            return result
        machine.successes += 1
        if machine.generation == generation:
            machine.succeed(now)
        return result

    return wrapper
